#include <stdexcept>

#include <doctest/doctest.h>

#include "notifier/test_world.hpp"

using namespace secmmu;
using namespace secmmu::literals;
using namespace secmmu::testing;

namespace {

Arbiter& arbiter() { return machine().arbiter(); }

// get as a driver does it: under mmap_lock. The answer, and the subscription if there is one.
Errno get(World& world, const void* key, Subscriber* fresh, ListSubscription*& result) {
  result = nullptr;
  world.mm.mmap_lock().lock_write();
  const Errno answer = world.core.get_locked(
      key, world.mm, [fresh] { return fresh; }, result);
  world.mm.mmap_lock().unlock_write();
  return answer;
}

}  // namespace

TEST_CASE("users of one key share a subscription until the last put") {
  World world("v6.10");
  Subscriber a("a", kEverything);
  Subscriber b("b", kEverything);
  Subscriber spare("spare", kEverything);
  const int driver_a = 0;
  const int driver_b = 0;
  CHECK(world.alone([&] {
    ListSubscription* got = nullptr;
    CHECK(get(world, &driver_a, &a, got) == Errno::ok);
    CHECK(got == &a);
    CHECK(get(world, &driver_a, &spare, got) == Errno::ok);
    CHECK(got == &a);
    CHECK(get(world, &driver_b, &b, got) == Errno::ok);
    CHECK(got == &b);
    CHECK(world.mm.count().value() == 3);

    world.core.put(a);
    world.invalidate();
    CHECK(world.times("a:invalidate_range_start") == 1);
    world.core.put(a);
    CHECK(world.times("-a") == 1);
    CHECK(a.freed == 0);  // only after a grace period
    CHECK(world.mm.count().value() == 3);
    CHECK(a.mm() == &world.mm);  // until then its mm is there
    world.invalidate();
    CHECK(world.times("a:invalidate_range_start") == 1);
    arbiter().sleep_until(arbiter().now() + 200_us);
    CHECK(a.freed == 1);
    CHECK(world.mm.count().value() == 2);
    CHECK(a.mm() == nullptr);

    CHECK(get(world, &driver_a, &spare, got) == Errno::ok);  // the key is free again
    CHECK(got == &spare);
  }));
  CHECK(world.times("a:release") == 0);  // put never calls it
  CHECK(world.times("free:a") == 1);
  CHECK(spare.freed == 0);
  CHECK(world.warnings.empty());
}

TEST_CASE("the memory of a subscription outlives a walker that stands on it") {
  World world("v6.10");
  Subscriber a("a", kEverything);
  const int driver = 0;
  a.script = [&](Callback callback) {
    if (callback == Callback::start) arbiter().step(300_us);
  };
  CHECK(world.run({{"walker", 0,
                    [&] {
                      ListSubscription* got = nullptr;
                      CHECK(get(world, &driver, &a, got) == Errno::ok);
                      InvalidateRange range = world.range();
                      world.core.invalidate_range_start(range);
                      CHECK(a.freed == 0);
                    }},
                   {"puts", 1, [&] { world.core.put(a); }, 50_us}}) == RunEnd::quiet);
  CHECK(world.first("-a") < world.first("a:invalidate_range_start."));
  CHECK(world.first("free:a") > world.first("a:invalidate_range_start."));
  CHECK(a.freed == 1);
}

TEST_CASE("get fails and leaves nothing behind") {
  World world("v6.10");
  Subscriber a("a", kEverything);
  Subscriber mixed("mixed", {Callback::secondary_tlbs, Callback::start});
  const int driver = 0;
  world.core.most_users = 2;
  CHECK(world.alone([&] {
    ListSubscription* got = nullptr;
    CHECK(get(world, &driver, nullptr, got) == Errno::enomem);
    CHECK(get(world, &driver, &mixed, got) == Errno::einval);
    CHECK(mixed.freed == 1);
    world.mm.signal_pending = true;
    CHECK(get(world, &driver, &a, got) == Errno::eintr);
    CHECK(a.freed == 1);  // the driver made it for nothing
    CHECK(got == nullptr);
    CHECK(world.mm.count().value() == 1);
    CHECK(world.mm.subscriptions == nullptr);
    world.mm.signal_pending = false;

    CHECK(get(world, &driver, &a, got) == Errno::ok);
    CHECK(get(world, &driver, &a, got) == Errno::ok);
    CHECK(get(world, &driver, &a, got) == Errno::eoverflow);
    CHECK(got == nullptr);
    world.core.put(a);
    CHECK(get(world, &driver, &a, got) == Errno::ok);
    world.core.put(a);
    CHECK(world.times("-a") == 0);
    world.core.put(a);
    CHECK(world.times("-a") == 1);
    world.core.put(a);
    CHECK(world.warnings.back() == "put more often than got");
    CHECK(arbiter().current().context().locks.empty());
  }));
  CHECK(world.mm.count().value() == 1);
}

TEST_CASE("put from a release callback lets the mm go") {
  World world("v6.10");
  Subscriber a("a", kEverything);
  const int driver = 0;
  a.script = [&](Callback callback) {
    if (callback == Callback::release) world.core.put(a);
  };
  CHECK(world.alone([&] {
    ListSubscription* got = nullptr;
    CHECK(get(world, &driver, &a, got) == Errno::ok);
    world.mm.exit();
  }));
  CHECK(world.first("-a") < world.first("a:release."));
  CHECK(world.first("free:a") > world.first("a:release."));  // not while it runs
  CHECK(world.times("-a") == 1);
  CHECK(a.freed == 1);
  CHECK(world.mm.freed == 1);
}

TEST_CASE("put after the end of the mm only drops the claim") {
  World world("v6.10");
  Subscriber a("a", kEverything);
  const int driver = 0;
  CHECK(world.alone([&] {
    ListSubscription* got = nullptr;
    CHECK(get(world, &driver, &a, got) == Errno::ok);
    world.mm.exit();
    CHECK(world.mm.freed == 0);
    world.core.put(a);
  }));
  CHECK(world.story() == "+a R a:release a:release. -a r a:free_notifier a:free_notifier. free:a");
  CHECK(world.mm.freed == 1);
}

TEST_CASE("get and put exist from v5.4 on and want mmap_lock") {
  struct Row {
    const char* kernel;
    const char* get;
    const char* put;
  };
  const Row rows[] = {
      {"v3.2", "mmu_notifier_get does not exist in this kernel", "mmu_notifier_put does not exist in this kernel"},
      {"v5.3", "mmu_notifier_get does not exist in this kernel", "mmu_notifier_put does not exist in this kernel"},
      {"v5.4", "mmu_notifier_get on app without its mmap_lock held for write",
       "mmu_notifier_put of a, which is registered nowhere"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.kernel);
    World world(row.kernel);
    Subscriber a("a", kEverything);
    const auto make = [&a]() -> ListSubscription* { return &a; };
    CHECK(world.alone([&] {
      ListSubscription* got = nullptr;
      CHECK_THROWS_WITH_AS(world.core.get_locked(&a, world.mm, make, got), row.get, std::exception);
      CHECK_THROWS_WITH_AS(world.core.put(a), row.put, std::exception);
    }));
  }
}

// Bug B15: from v5.4 on a module may go while the free of its subscription is still to come.
TEST_CASE("synchronize waits for delayed frees or for read sections only") {
  for (const auto& [waits_for, freed] : {std::pair<std::string, int>{"callbacks", 3}, {"sections", 1}}) {
    CAPTURE(waits_for);
    NotifierBehaviour behaviour = notifier_behaviour({6, 10, 0});
    behaviour.synchronize = waits_for;
    World world(behaviour);
    Subscriber a("a", kEverything);
    Subscriber b("b", kEverything);
    Subscriber c("c", kEverything);
    int freed_before = -1;
    for (Subscriber* one : {&a, &b, &c}) one->on_free = [] { arbiter().step(200_us); };
    CHECK(world.run({{"puts", 0, [&] {
                        ListSubscription* got = nullptr;
                        for (Subscriber* one : {&a, &b, &c}) CHECK(get(world, one, one, got) == Errno::ok);
                        for (Subscriber* one : {&a, &b, &c}) world.core.put(*one);
                        world.core.synchronize();
                        freed_before = a.freed + b.freed + c.freed;
                      }}}) == RunEnd::quiet);
    CHECK(freed_before == freed);
    CHECK(a.freed + b.freed + c.freed == 3);
  }
}
