// What a walker along the list sees while others edit it.
#include <doctest/doctest.h>

#include "notifier/test_world.hpp"

using namespace secmmu;
using namespace secmmu::literals;
using namespace secmmu::testing;

namespace {

Arbiter& arbiter() { return machine().arbiter(); }

}  // namespace

TEST_CASE("an unlinked entry keeps its way on") {
  machine().reset();
  World world("v6.10");
  Subscriptions list(arbiter(), world.mm);
  Subscriber a("a", {});
  Subscriber b("b", {});
  Subscriber c("c", {});
  CHECK(list.empty());
  for (Subscriber* entry : {&a, &b, &c}) list.add_head(*entry);
  CHECK(list.first() == &c);
  list.remove(b);
  CHECK(Subscriptions::after(c) == &a);
  CHECK(Subscriptions::after(b) == &a);
  list.remove(a);
  CHECK(Subscriptions::after(c) == nullptr);
  CHECK(Subscriptions::after(b) == &a);  // as it was when b was unlinked
  list.remove(c);
  CHECK(list.empty());
}

// The list is c b a. A walker (start) is held up inside the callback of `stands_on` while others edit.
TEST_CASE("a walker and the edits around it") {
  struct Row {
    const char* what;
    char stands_on;
    const char* unlink;  // in this order
    bool adds;
    const char* called;
  };
  const Row rows[] = {
      {"nobody edits", 'c', "", false, "cba"},
      {"what is unlinked ahead is not called", 'c', "b", false, "ca"},
      {"what is unlinked behind does not matter", 'b', "c", false, "cba"},
      {"a walker on an unlinked entry continues", 'b', "b", false, "cba"},
      {"a walker on an unlinked entry still meets the next one, although it was unlinked after", 'c', "cb", false,
       "cba"},
      {"but not if it was unlinked before", 'c', "bc", false, "ca"},
      {"what is added at the head is behind the walker", 'c', "", true, "cba"},
      {"everything at once", 'b', "bac", true, "cba"},
  };
  for (const char* kernel : {"v3.2", "v6.10"}) {
    for (const Row& row : rows) {
      CAPTURE(kernel);
      CAPTURE(row.what);
      World world(kernel);
      Subscriber a("a", {Callback::start});
      Subscriber b("b", {Callback::start});
      Subscriber c("c", {Callback::start});
      Subscriber d("d", {Callback::start});
      std::string called;
      for (Subscriber* subscriber : {&a, &b, &c, &d})
        subscriber->script = [&, subscriber](Callback) {
          called += subscriber->name();
          if (subscriber->name()[0] == row.stands_on) arbiter().step(50_us);
        };
      const auto named = [&](char name) -> Subscriber& { return name == 'a' ? a : name == 'b' ? b : c; };
      std::vector<TestTask> tasks;
      tasks.push_back({"walker", 0, [&] {
                         world.subscribe({&a, &b, &c});
                         InvalidateRange range = world.range();
                         world.core.invalidate_range_start(range);
                         CHECK(world.times("u:a") + world.times("u:b") + world.times("u:c") == 0);
                         world.core.invalidate_range_end(range);
                       }});
      // 20us: after the three registrations, while the walker is held up.
      for (std::size_t i = 0; row.unlink[i] != '\0'; ++i)
        tasks.push_back({"unregisters", 1 + static_cast<int>(i),
                         [&, i] { world.core.unregister(named(row.unlink[i]), world.mm); }, 25_us + 3_us * i});
      if (row.adds)
        tasks.push_back(
            {"registers", -1, [&] { CHECK(world.core.register_subscription(d, world.mm) == Errno::ok); }, 22_us});
      CHECK(world.run(std::move(tasks)) == RunEnd::quiet);
      CHECK(arbiter().unfinished().empty());
      CHECK(called == row.called);
      // Everybody who unregistered was unlinked while the walker stood, and waited for it.
      for (std::size_t i = 0; row.unlink[i] != '\0'; ++i) {
        const std::string name(1, row.unlink[i]);
        CHECK(world.first("-" + name) < world.first("s1"));
        CHECK(world.first("u:" + name) > world.first("s1"));
      }
      if (row.adds) CHECK(world.first("+d") < world.first("s1"));
    }
  }
}

TEST_CASE("nobody is called after its unregister returned, whatever the delay") {
  for (const char* kernel : {"v3.2", "v3.5.6", "v3.9", "v3.15", "v6.10"}) {
    int walked_during = 0;
    for (unsigned delay = 0; delay < 400; delay += 3) {
      CAPTURE(kernel);
      CAPTURE(delay);
      World world(kernel);
      Subscriber a("a", kEverything);
      Subscriber b("b", kEverything);
      const auto work = [](Callback) { arbiter().step(20_ns); };
      a.script = work;
      b.script = work;
      CHECK(world.run({{"walker", 0,
                        [&] {
                          world.subscribe({&a, &b});
                          arbiter().sleep_until(20_us);
                          for (int i = 0; i < 200; ++i) world.invalidate();
                        }},
                       {"unregisters", 1, [&] { world.core.unregister(a, world.mm); }, 20_us + Time{delay * 1'000}}}) ==
            RunEnd::quiet);
      CHECK(arbiter().unfinished().empty());
      CHECK(world.times("-a") == 1);
      CHECK(world.last("a:invalidate_range_start.") < world.first("u:a"));
      CHECK(world.last("a:invalidate_range_end.") < world.first("u:a"));
      CHECK(world.last("a:release.") < world.first("u:a"));
      CHECK(world.times("b:invalidate_range_end.") == 200);
      CHECK(world.mm.count().value() == 2);
      if (world.last("a:invalidate_range_start") > world.first("U:a")) ++walked_during;
    }
    CHECK(walked_during > 0);
  }
}

// A search over interleavings sees only what is announced.
TEST_CASE("every look at the list and every edit of it is announced before it happens") {
  class Listener final : public Strategy {
   public:
    Task* choose(const std::vector<Task*>& ready) override {
      const Access& access = ready.front()->announced();
      if (access.kind == ObjectKind::subscriptions && access.owner == 7) seen += access.write ? 'w' : 'r';
      return ready.front();
    }
    std::string seen;
  };
  struct Row {
    const char* kernel;
    const char* registering;
    const char* announcing;
    const char* leaving;
    const char* ending;
  };
  const Row rows[] = {{"v3.2", "wwww", "rrrrrrrr", "rw", "rw"}, {"v6.10", "wwww", "rrrrrrrr", "rw", "rrrw"}};
  for (const Row& row : rows) {
    CAPTURE(row.kernel);
    World world(row.kernel);
    Subscriber a("a", kEverything);
    Subscriber b("b", kEverything);
    Listener listener;
    const auto seen_by = [&](const std::function<void()>& body) {
      listener.seen.clear();
      machine().arbiter().set_strategy(&listener);
      world.alone(body);
      machine().arbiter().set_strategy(nullptr);
      return listener.seen;
    };
    CHECK(seen_by([&] { world.subscribe({&a, &b}); }) == row.registering);
    CHECK(seen_by([&] { world.invalidate(); }) == row.announcing);
    CHECK(seen_by([&] { world.core.unregister(a, world.mm); }) == row.leaving);
    CHECK(seen_by([&] { world.mm.exit(); }) == row.ending);
  }
}
