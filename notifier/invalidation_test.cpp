#include <stdexcept>

#include <doctest/doctest.h>

#include "notifier/substrate/sync/spinlock.hpp"
#include "notifier/test_world.hpp"

using namespace secmmu;
using namespace secmmu::literals;
using namespace secmmu::testing;

namespace {

Arbiter& arbiter() { return machine().arbiter(); }
constexpr const char* kKernels[] = {"v3.2", "v3.5.6", "v3.9", "v3.15", "v4.16", "v6.1", "v6.10"};

// What a driver does that may sleep: gives up its core for a while.
void sleep_a_little() {
  arbiter().might_sleep("the driver's work");
  arbiter().sleep_until(arbiter().now() + 5_us);
}

}  // namespace

TEST_CASE("the last registered is called first, between the events of start and end") {
  for (const char* kernel : kKernels) {
    CAPTURE(kernel);
    World world(kernel);
    Subscriber a("a", kEverything);
    Subscriber b("b", {Callback::start, Callback::end});
    Subscriber c("c", {Callback::end});
    CHECK(world.alone([&] {
      world.subscribe({&a, &b, &c});
      world.invalidate();
    }));
    CHECK(world.story() ==
          "+a +b +c S1 b:invalidate_range_start b:invalidate_range_start. a:invalidate_range_start "
          "a:invalidate_range_start. s1 E1 c:invalidate_range_end c:invalidate_range_end. b:invalidate_range_end "
          "b:invalidate_range_end. a:invalidate_range_end a:invalidate_range_end. e1");
    CHECK(a.last_pages == PageRange{{16}, {20}});
    CHECK(world.warnings.empty());
    CHECK(world.atomic.empty());
  }
}

TEST_CASE("without a subscriber only the events are left, and ranges are numbered") {
  for (const char* kernel : kKernels) {
    CAPTURE(kernel);
    World world(kernel);
    CHECK(world.alone([&] {
      InvalidateRange outer = world.range();
      InvalidateRange inner = world.range();
      world.core.invalidate_range_start(outer);
      world.core.invalidate_range_start(inner);
      world.core.invalidate_range_end(inner);
      world.core.invalidate_range_end(outer);
      CHECK_FALSE(world.core.clear_flush_young(world.mm, {{1}, {2}}));
      CHECK_FALSE(world.core.has_notifiers(world.mm));
    }));
    CHECK(world.story() == "S1 s1 S2 s2 E2 e2 E1 e1");
  }
}

TEST_CASE("an empty list costs a read section until v5.4, afterwards a look") {
  for (const auto& [kernel, sections] : {std::pair{"v3.2", 2}, {"v4.16", 2}, {"v6.1", 0}, {"v6.10", 0}}) {
    CAPTURE(kernel);
    World world(kernel);
    Subscriber a("a", kEverything);
    int entered = 0;
    bool counting = false;
    arbiter().bus().listen<ReadSectionEntered>(
        [&](const ReadSectionEntered&, const Stamp&) { entered += counting ? 1 : 0; });
    CHECK(world.alone([&] {
      world.subscribe({&a});
      world.core.unregister(a, world.mm);
      CHECK(world.core.has_notifiers(world.mm));
      counting = true;
      world.invalidate();
    }));
    CHECK(entered == sections);
  }
}

TEST_CASE("a refused non-blockable start reaches everybody and is ended for those who have an end") {
  struct Row {
    const char* kernel;
    bool blockable;
    Errno answer;
    Errno result;
    const char* story;
    std::vector<std::string> warnings;
  };
  const char* const kRolledBack =
      "S1 c:invalidate_range_start c:invalidate_range_start. b:invalidate_range_start b:invalidate_range_start. "
      "a:invalidate_range_start a:invalidate_range_start. c:invalidate_range_end c:invalidate_range_end. "
      "a:invalidate_range_end a:invalidate_range_end. s1(EAGAIN)";
  const char* const kLeft =
      "S1 c:invalidate_range_start c:invalidate_range_start. b:invalidate_range_start b:invalidate_range_start. "
      "a:invalidate_range_start a:invalidate_range_start. s1(EAGAIN)";
  const Row rows[] = {
      {"v6.10", false, Errno::eagain, Errno::eagain, kRolledBack, {}},
      {"v5.12", false, Errno::eagain, Errno::eagain, kRolledBack, {}},
      {"v5.11", false, Errno::eagain, Errno::eagain, kLeft, {}},  // a and c wait for an end for ever
      {"v4.19", false, Errno::eagain, Errno::eagain, kLeft, {}},
  };
  for (const Row& row : rows) {
    CAPTURE(row.kernel);
    World world(row.kernel);
    Subscriber a("a", {Callback::start, Callback::end});
    Subscriber b("b", {Callback::start});
    Subscriber c("c", {Callback::start, Callback::end});
    b.answer = row.answer;
    CHECK(world.alone([&] {
      world.subscribe({&a, &b, &c});
      world.log.clear();
      InvalidateRange range = world.range(row.blockable);
      CHECK(world.core.invalidate_range_start(range) == row.result);
    }));
    CHECK(world.story() == row.story);
    CHECK(world.warnings == row.warnings);
  }
}

TEST_CASE("a start that may not be refused is reported and its answer is not looked at") {
  World world("v6.10");
  Subscriber a("a", {Callback::start, Callback::end});
  Subscriber b("b", {Callback::start});
  b.answer = Errno::eagain;
  CHECK(world.alone([&] {
    world.subscribe({&a, &b});
    world.log.clear();
    InvalidateRange range = world.range();
    CHECK(world.core.invalidate_range_start(range) == Errno::ok);
    world.core.invalidate_range_end(range);
  }));
  // The core ends it for those who agreed, and so does the caller, who does not know.
  CHECK(world.story() ==
        "S1 b:invalidate_range_start b:invalidate_range_start. a:invalidate_range_start a:invalidate_range_start. "
        "a:invalidate_range_end a:invalidate_range_end. s1 E1 a:invalidate_range_end a:invalidate_range_end. e1");
  CHECK(world.warnings == std::vector<std::string>{"answered EAGAIN to a start that may block; nobody looks at it"});
}

TEST_CASE("refusing with an end callback, or with something else than EAGAIN, is reported") {
  World world("v6.10");
  Subscriber a("a", {Callback::start, Callback::end});
  a.answer = Errno::ebusy;
  CHECK(world.alone([&] {
    world.subscribe({&a});
    InvalidateRange range = world.range(false);
    CHECK(world.core.invalidate_range_start(range) == Errno::ebusy);
  }));
  CHECK(world.warnings ==
        std::vector<std::string>{"answered EBUSY to a start; only EAGAIN is allowed",
                                 "refused a start although it has an end callback, which it now gets too"});
}

TEST_CASE("before v4.19 a start has no answer") {
  World world("v3.2");
  Subscriber a("a", {Callback::start, Callback::end});
  a.answer = Errno::eagain;
  CHECK(world.alone([&] {
    world.subscribe({&a});
    world.invalidate();
    InvalidateRange range = world.range(false);
    CHECK_THROWS_AS(world.core.invalidate_range_start(range), AbsentInKernel);
  }));
  CHECK(world.story() ==
        "+a S1 a:invalidate_range_start a:invalidate_range_start. s1 E1 a:invalidate_range_end a:invalidate_range_end. "
        "e1");
  CHECK(world.warnings.empty());
}

TEST_CASE("callbacks may sleep inside SRCU but not inside RCU, nor where they promised not to block") {
  struct Row {
    const char* kernel;
    bool blockable;
    bool reported;
  };
  const Row rows[] = {{"v3.2", true, true},   {"v3.6", true, true},  {"v3.7", true, false}, {"v6.10", true, false},
                      {"v6.10", false, true}, {"v5.4", false, true}, {"v5.3", false, false}};
  for (const Row& row : rows) {
    for (const Callback sleeper : {Callback::start, Callback::end}) {
      CAPTURE(row.kernel);
      CAPTURE(row.blockable);
      CAPTURE(callback_name(sleeper));
      World world(row.kernel);
      Subscriber a("a", {Callback::start, Callback::end});
      a.script = [&](Callback callback) {
        if (callback == sleeper) sleep_a_little();
      };
      CHECK(world.alone([&] {
        world.subscribe({&a});
        InvalidateRange range = world.range(row.blockable);
        world.core.invalidate_range_start(range);
        world.core.invalidate_range_end(range);
        CHECK(arbiter().current().may_sleep());
      }));
      CHECK(world.atomic.empty() == !row.reported);
      CHECK(world.times("e1") == 1);
    }
  }
}

TEST_CASE("who announces a blockable range must be able to sleep from v5.4 on") {
  for (const auto& [kernel, blockable, reports] :
       {std::tuple{"v3.2", true, 0}, {"v5.3", true, 0}, {"v5.4", true, 2}, {"v6.10", true, 2}, {"v6.10", false, 0}}) {
    CAPTURE(kernel);
    CAPTURE(blockable);
    World world(kernel);
    SpinLock lock(arbiter(), "ptl", "ptl");
    CHECK(world.alone([&] {
      InvalidateRange range = world.range(blockable);
      lock.lock();
      world.core.invalidate_range_start(range);
      world.core.invalidate_range_end(range);
      lock.unlock();
    }));
    CHECK(static_cast<int>(world.atomic.size()) == reports);
  }
}

TEST_CASE("change_pte falls back to invalidate_page until v3.6") {
  struct Row {
    const char* kernel;
    const char* story;
  };
  const Row rows[] = {
      {"v3.2", "c:invalidate_page c:invalidate_page. b:change_pte b:change_pte. a:invalidate_page a:invalidate_page."},
      {"v3.5.6",
       "c:invalidate_page c:invalidate_page. b:change_pte b:change_pte. a:invalidate_page a:invalidate_page."},
      {"v3.7", "b:change_pte b:change_pte."},
      {"v6.1", "b:change_pte b:change_pte."},
  };
  for (const Row& row : rows) {
    CAPTURE(row.kernel);
    World world(row.kernel);
    Subscriber a("a", {Callback::invalidate_page});
    Subscriber b("b", {Callback::invalidate_page, Callback::change_pte});
    Subscriber c("c", {Callback::invalidate_page, Callback::start});
    Subscriber d("d", {Callback::start, Callback::end});
    CHECK(world.alone([&] {
      world.subscribe({&a, &b, &c, &d});
      world.log.clear();
      world.core.change_pte(world.mm, {33}, {5}, true);
    }));
    CHECK(world.story() == row.story);
    CHECK(b.new_frame == Pfn{5});
    CHECK(b.last_pages == one_page({33}));
  }
}

TEST_CASE("invalidate_page reaches those who have it") {
  World world("v3.2");
  Subscriber a("a", {Callback::invalidate_page});
  Subscriber b("b", {Callback::start, Callback::end});
  Subscriber c("c", {Callback::invalidate_page});
  CHECK(world.alone([&] {
    world.subscribe({&a, &b, &c});
    world.log.clear();
    world.core.invalidate_page(world.mm, {9});
  }));
  CHECK(world.story() == "c:invalidate_page c:invalidate_page. a:invalidate_page a:invalidate_page.");
  CHECK(a.last_pages == one_page({9}));
}

TEST_CASE("secondary TLBs are told of each flush") {
  World world("v6.10");
  Subscriber a("a", {Callback::secondary_tlbs, Callback::release});
  Subscriber b("b", {Callback::start, Callback::end});
  CHECK(world.alone([&] {
    world.subscribe({&a, &b});
    world.log.clear();
    world.core.arch_invalidate_secondary_tlbs(world.mm, {{1}, {4}});
  }));
  CHECK(world.story() == "a:arch_invalidate_secondary_tlbs a:arch_invalidate_secondary_tlbs.");
  CHECK(a.last_pages == PageRange{{1}, {4}});
}

TEST_CASE("asking for a callback that the kernel does not have says so") {
  const auto throws = [](const char* kernel, auto ask) {
    CAPTURE(kernel);
    World world(kernel);
    CHECK(world.alone([&] { CHECK_THROWS_AS(ask(world), AbsentInKernel); }));
  };
  throws("v6.10", [](World& w) { w.core.invalidate_page(w.mm, {1}); });
  throws("v4.13", [](World& w) { w.core.invalidate_page(w.mm, {1}); });
  throws("v6.10", [](World& w) { w.core.change_pte(w.mm, {1}, {2}, false); });
  throws("v2.6.27", [](World& w) { w.core.change_pte(w.mm, {1}, {2}, false); });
  throws("v2.6.27", [](World& w) { w.core.test_young(w.mm, {1}); });
  throws("v3.2", [](World& w) { w.core.clear_young(w.mm, {{1}, {2}}); });
  throws("v3.2", [](World& w) { w.core.arch_invalidate_secondary_tlbs(w.mm, {{1}, {2}}); });
  throws("v3.2", [](World& w) { w.core.synchronize(); });
}

TEST_CASE("young is the answer of any, but a test stops at the first yes") {
  struct Row {
    bool a, b, c;
    const char* tested;  // who is asked by test_young
  };
  const Row rows[] = {{false, false, false, "cba"},
                      {true, false, false, "cba"},
                      {false, true, false, "cb"},
                      {false, false, true, "c"},
                      {true, true, true, "c"}};
  for (const char* kernel : {"v3.2", "v6.10"}) {
    for (const Row& row : rows) {
      CAPTURE(kernel);
      CAPTURE(row.tested);
      World world(kernel);
      Subscriber a("a", kEverything);
      Subscriber b("b", kEverything);
      Subscriber c("c", kEverything);
      Subscriber deaf("deaf", {Callback::start});
      a.young = row.a;
      b.young = row.b;
      c.young = row.c;
      deaf.young = true;
      const bool any = row.a || row.b || row.c;
      std::string asked;
      for (Subscriber* subscriber : {&a, &b, &c})
        subscriber->script = [&asked, subscriber](Callback) { asked += subscriber->name(); };
      CHECK(world.alone([&] {
        world.subscribe({&a, &b, &deaf, &c});
        CHECK(world.core.clear_flush_young(world.mm, {{8}, {12}}) == any);
        CHECK(asked == "cba");
        if (world.core.behaviour().clear_young) {
          asked.clear();
          CHECK(world.core.clear_young(world.mm, {{8}, {12}}) == any);
          CHECK(asked == "cba");
        }
        asked.clear();
        CHECK(world.core.test_young(world.mm, {9}) == any);
        CHECK(asked == row.tested);
        CHECK(arbiter().current().may_sleep());  // every section was left
      }));
      CHECK_FALSE(world.core.srcu().reading());
      CHECK_FALSE(world.core.rcu().reading());
    }
  }
}

TEST_CASE("until v3.17 only the first page of a huge page is asked about") {
  for (const auto& [kernel, pages] : {std::pair{"v3.2", PageRange{{8}, {9}}},
                                      {"v3.17", PageRange{{8}, {9}}},
                                      {"v3.18", PageRange{{8}, {12}}},
                                      {"v6.10", PageRange{{8}, {12}}}}) {
    CAPTURE(kernel);
    World world(kernel);
    Subscriber a("a", kEverything);
    CHECK(world.alone([&] {
      world.subscribe({&a});
      world.core.clear_flush_young(world.mm, {{8}, {12}});
    }));
    CHECK(a.last_pages == pages);
  }
}
