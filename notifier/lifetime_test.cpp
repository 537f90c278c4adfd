// Registration, unregister, the end of the mm, and how they race.
#include <algorithm>
#include <cstdlib>
#include <stdexcept>

#include <doctest/doctest.h>

#include "notifier/test_world.hpp"

using namespace secmmu;
using namespace secmmu::literals;
using namespace secmmu::testing;

namespace {

Arbiter& arbiter() { return machine().arbiter(); }

// Whoever is ready may go next, and so may whoever waits for a later time: the others are late then. Stays with
// one task for some steps, because races need one that gets far while the other stands still.
class AnyOrder final : public Strategy {
 public:
  explicit AnyOrder(std::uint64_t seed) : random_(seed, "any order") {}
  Task* choose(const std::vector<Task*>& ready) override {
    const bool may_stay = std::find(ready.begin(), ready.end(), last_) != ready.end();
    if (!may_stay || random_.below(8) == 0) last_ = ready[random_.below(ready.size())];
    return last_;
  }

 private:
  RandomStream random_;
  Task* last_ = nullptr;
};

constexpr const char* kKernels[] = {"v3.2", "v3.5.6", "v3.7", "v3.9", "v3.15", "v4.16", "v6.1", "v6.10"};

}  // namespace

TEST_CASE("a registration that fails leaves nothing behind") {
  enum class Trouble { signal, memory, both_ways, no_users };
  struct Row {
    const char* kernel;
    Trouble trouble;
    Errno answer;
    bool reported;
  };
  const Row rows[] = {
      {"v3.2", Trouble::signal, Errno::eintr, false},     {"v3.7", Trouble::signal, Errno::eintr, false},
      {"v6.10", Trouble::signal, Errno::eintr, false},    {"v3.2", Trouble::memory, Errno::enomem, false},
      {"v3.7", Trouble::memory, Errno::enomem, false},    {"v6.10", Trouble::memory, Errno::enomem, false},
      {"v3.2", Trouble::no_users, Errno::einval, true},   {"v6.10", Trouble::no_users, Errno::einval, true},
      {"v6.10", Trouble::both_ways, Errno::einval, true},
  };
  for (const Row& row : rows) {
    CAPTURE(row.kernel);
    CAPTURE(static_cast<int>(row.trouble));
    World world(row.kernel);
    CallbackSet has = kEverything;
    if (row.trouble == Trouble::both_ways) has.add(Callback::secondary_tlbs);
    Subscriber a("a", has);
    if (row.trouble == Trouble::signal) world.mm.signal_pending = true;
    if (row.trouble == Trouble::memory) world.core.allocation_fails = [] { return true; };
    if (row.trouble == Trouble::no_users) world.mm.users().put();
    CHECK(world.alone([&] {
      CHECK(world.core.register_subscription(a, world.mm) == row.answer);
      CHECK(arbiter().current().context().locks.empty());
      CHECK(arbiter().current().may_sleep());
    }));
    CHECK(world.mm.subscriptions == nullptr);
    CHECK(world.mm.count().value() == 1);
    CHECK(a.mm() == nullptr);
    CHECK(world.log.empty());
    CHECK(world.warnings.size() == (row.reported ? 1u : 0u));
    CHECK_FALSE(world.mm.mmap_lock().held());
    CHECK_FALSE(world.mm.rmap_lock.held());

    if (row.trouble != Trouble::signal && row.trouble != Trouble::memory) continue;
    world.mm.signal_pending = false;  // and once the trouble is over, it works
    world.core.allocation_fails = nullptr;
    CHECK(world.alone([&] { CHECK(world.core.register_subscription(a, world.mm) == Errno::ok); }));
    CHECK(world.mm.count().value() == 2);
  }
}

TEST_CASE("a second subscriber that meets a signal leaves the first alone") {
  for (const char* kernel : kKernels) {
    CAPTURE(kernel);
    World world(kernel);
    Subscriber a("a", kEverything);
    Subscriber b("b", kEverything);
    CHECK(world.alone([&] {
      world.subscribe({&a});
      world.mm.signal_pending = true;
      CHECK(world.core.register_subscription(b, world.mm) == Errno::eintr);
      world.mm.signal_pending = false;
      world.invalidate();
    }));
    CHECK(world.mm.count().value() == 2);
    CHECK(world.times("a:invalidate_range_start") == 1);
    CHECK(world.times("b:invalidate_range_start") == 0);
  }
}

TEST_CASE("devices with both kinds of callback are refused from v6.6 on") {
  for (const auto& [kernel, answer] : {std::pair{"v6.5", Errno::ok}, {"v6.6", Errno::einval}}) {
    for (const Callback other : {Callback::start, Callback::end}) {
      CAPTURE(kernel);
      World world(kernel);
      Subscriber a("a", {Callback::secondary_tlbs, other});
      CHECK(world.alone([&] { CHECK(world.core.register_subscription(a, world.mm) == answer); }));
    }
  }
}

TEST_CASE("where a registration allocates") {
  for (const auto& [kernel, first, second] : {std::tuple{"v3.2", "none", "none"},
                                              {"v3.7", "mmap rmap", ""},
                                              {"v3.8", "none", "none"},
                                              {"v5.3", "none", "none"},
                                              {"v5.4", "mmap", ""},
                                              {"v6.10", "mmap", ""}}) {
    CAPTURE(kernel);
    World world(kernel);
    Subscriber a("a", kEverything);
    Subscriber b("b", kEverything);
    std::string held;
    world.core.allocation_fails = [&] {
      const std::string mmap = world.mm.mmap_lock().held_for_write() ? "mmap" : "none";
      held = mmap + (world.mm.rmap_lock.held() ? " rmap" : "");
      return false;
    };
    CHECK(world.alone([&] {
      world.subscribe({&a});
      CHECK(held == first);
      held.clear();
      world.subscribe({&b});
      CHECK(held == second);
    }));
  }
}

TEST_CASE("registering without mmap_lock is a mistake of the model and twice is one of the driver") {
  World world("v6.10");
  Subscriber a("a", kEverything);
  CHECK(world.alone([&] {
    CHECK_THROWS_AS(world.core.register_locked(a, world.mm), std::logic_error);
    world.mm.mmap_lock().lock_write();
    CHECK(world.core.register_locked(a, world.mm) == Errno::ok);
    CHECK(world.core.register_locked(a, world.mm) == Errno::einval);
    world.mm.mmap_lock().unlock_write();
  }));
  CHECK(world.warnings == std::vector<std::string>{"registered twice"});
  CHECK(world.mm.count().value() == 2);
}

TEST_CASE("a registration waits until nobody is between start and end") {
  for (const char* kernel : {"v3.2", "v6.10"}) {
    CAPTURE(kernel);
    World world(kernel);
    Subscriber a("a", kEverything);
    CHECK(world.run({{"truncates", 0,
                      [&] {
                        world.mm.rmap_lock.lock();
                        InvalidateRange range = world.range();
                        world.core.invalidate_range_start(range);
                        arbiter().step(100_us);
                        world.core.invalidate_range_end(range);
                        world.mm.rmap_lock.unlock();
                      }},
                     {"registers", 1, [&] { world.subscribe({&a}); }, 10_us}}) == RunEnd::quiet);
    CHECK(world.story() == "S1 s1 E1 e1 +a");
  }
}

TEST_CASE("a life of two subscribers in each kernel") {
  struct Row {
    const char* kernel;
    const char* unregister;
    const char* exit;
  };
  const Row rows[] = {
      {"v3.2", "U:b -b b:release b:release. u:b", "R -c c:release c:release. -a a:release a:release. r"},
      {"v3.5.6", "U:b b:release b:release. -b u:b", "R c:release c:release. a:release a:release. -c -a r"},
      {"v3.9", "U:b -b b:release b:release. u:b", "R -c c:release c:release. -a a:release a:release. r"},
      {"v3.15", "U:b b:release b:release. -b u:b", "R c:release c:release. a:release a:release. -c -a r"},
      {"v6.10", "U:b b:release b:release. -b u:b", "R c:release c:release. a:release a:release. -c -a r"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.kernel);
    World world(row.kernel);
    Subscriber a("a", kEverything);
    Subscriber b("b", kEverything);
    Subscriber c("c", kEverything);
    CHECK(world.alone([&] {
      world.subscribe({&a, &b, &c});
      CHECK(world.mm.count().value() == 4);
      world.log.clear();
      world.core.unregister(b, world.mm);
      CHECK(world.story() == row.unregister);
      CHECK(world.mm.count().value() == 3);
      world.log.clear();
      world.mm.exit();
      CHECK(world.story() == row.exit);
      CHECK(world.mm.freed == 0);
      world.log.clear();
      world.core.unregister(a, world.mm);  // after the end of the mm: nothing to release, only the claim to drop
      CHECK(world.mm.freed == 0);
      world.core.unregister(c, world.mm);
      CHECK(world.story() == "U:a u:a U:c u:c");
      CHECK(world.mm.freed == 1);
      CHECK(world.mm.subscriptions->freed);
    }));
    CHECK(world.warnings.empty());
    CHECK(world.atomic.empty());
  }
}

TEST_CASE("the end of an mm closes its read section where its kernel does") {
  // When the section around release ends: after the first release (each), after the last, or after the last unlinking.
  for (const auto& [kernel, closes] : {std::pair{"v3.2", "-b b:release. ) -a a:release. )"},
                                       {"v3.5.6", "b:release. a:release. ) -b -a"},
                                       {"v3.9", "-b b:release. -a a:release. )"},
                                       {"v3.15", "b:release. a:release. ) -b -a"},
                                       {"v3.17", "b:release. a:release. -b -a )"},
                                       {"v6.10", "b:release. a:release. -b -a )"}}) {
    CAPTURE(kernel);
    World world(kernel);
    Subscriber a("a", kEverything);
    Subscriber b("b", kEverything);
    std::string story;
    const auto add = [&](std::string_view word) { story += (story.empty() ? "" : " ") + std::string(word); };
    Bus& bus = arbiter().bus();
    bus.listen<ReadSectionLeft>([&](const ReadSectionLeft&, const Stamp&) { add(")"); });
    bus.listen<Unlinked>([&](const Unlinked& e, const Stamp&) { add("-" + std::string(e.subscriber)); });
    bus.listen<CallbackEnd>([&](const CallbackEnd& e, const Stamp&) { add(std::string(e.subscriber) + ":release."); });
    CHECK(world.alone([&] {
      world.subscribe({&a, &b});
      world.mm.exit();
    }));
    CHECK(story == closes);
  }
}

TEST_CASE("the end of an mm without subscribers waits for nobody") {
  for (const auto& [kernel, grace_periods] : {std::pair{"v3.2", 1}, {"v4.16", 1}, {"v6.10", 0}}) {
    CAPTURE(kernel);
    World world(kernel);
    Subscriber a("a", kEverything);
    int counted = 0;
    arbiter().bus().listen<GracePeriodEnded>([&](const GracePeriodEnded&, const Stamp&) { ++counted; });
    CHECK(world.alone([&] {
      world.subscribe({&a});
      world.core.unregister(a, world.mm);
      counted = 0;
      world.mm.exit();
    }));
    CHECK(counted == grace_periods);
    CHECK(world.mm.freed == 1);
    World never(kernel);
    CHECK(never.alone([&] { never.mm.exit(); }));
    CHECK(never.story() == "R r");
  }
}

TEST_CASE("release may sleep inside SRCU but not inside RCU") {
  for (const auto& [kernel, reported] : {std::pair{"v3.2", true}, {"v3.6", true}, {"v3.7", false}, {"v6.10", false}}) {
    for (const bool at_exit : {false, true}) {
      CAPTURE(kernel);
      CAPTURE(at_exit);
      World world(kernel);
      Subscriber a("a", kEverything);
      a.script = [&](Callback) {
        arbiter().might_sleep("the driver's work");
        arbiter().sleep_until(arbiter().now() + 3_us);
      };
      CHECK(world.alone([&] {
        world.subscribe({&a});
        if (at_exit)
          world.mm.exit();
        else
          world.core.unregister(a, world.mm);
      }));
      CHECK(world.atomic.empty() == !reported);
    }
  }
}

// unregister in one task against the end of the mm in another: at each relative delay, with a release that is
// short and with one that is longer than a grace period, and in random orders of all steps.
TEST_CASE("unregister against the end of the mm") {
  struct Row {
    const char* kernel;
    bool release_may_run_twice;
    bool may_delete_twice;
  };
  const Row rows[] = {{"v3.2", false, false}, {"v3.5.6", true, true}, {"v3.7", true, true},
                      {"v3.9", false, false}, {"v3.15", true, false}, {"v6.10", true, false}};
  struct Timing {
    Time release;
    bool any_order;
  };
  const Timing timings[] = {{60_ns, false}, {30_us, false}, {60_ns, true}};
  for (const Row& row : rows) {
    int release_twice = 0;
    int release_at_once = 0;
    int deleted_twice = 0;
    int exit_found_it = 0;
    int unregister_found_it = 0;
    const auto race = [&](const Timing& timing, int delay) {
      CAPTURE(row.kernel);
      CAPTURE(delay);
      CAPTURE(timing.any_order);
      World world(row.kernel);
      Subscriber a("a", kEverything);
      Subscriber b("b", kEverything);
      int inside = 0;
      int most_inside = 0;
      a.script = [&](Callback) {
        most_inside = std::max(most_inside, ++inside);
        arbiter().step(timing.release);
        --inside;
      };
      world.alone([&] { world.subscribe({&a, &b}); });
      AnyOrder any_order(static_cast<std::uint64_t>(delay + 1'000));
      if (timing.any_order) arbiter().set_strategy(&any_order);
      const Time base = 1_us;
      const Time late = base + Time{static_cast<std::uint64_t>(std::abs(delay)) * 1'000};
      CHECK(world.run({{"exits", 0, [&] { world.mm.exit(); }, delay < 0 ? late : base},
                       {"unregisters", 1, [&] { world.core.unregister(a, world.mm); }, delay < 0 ? base : late}}) ==
            RunEnd::quiet);
      arbiter().set_strategy(nullptr);
      CHECK(arbiter().unfinished().empty());
      const int releases = world.times("a:release");
      CHECK(releases >= 1);
      CHECK(releases <= (row.release_may_run_twice ? 2 : 1));
      CHECK(world.times("-a") == 1);
      CHECK(world.times("-b") == 1);
      CHECK(world.times("b:release") == 1);
      CHECK(world.times("!a") <= (row.may_delete_twice ? 1 : 0));
      // Whoever called it: unregister waits for every release, the end of the mm for at least one.
      CHECK(world.last("a:release.") < world.first("u:a"));
      CHECK(world.first("a:release.") < world.first("r"));
      CHECK(world.last("b:release.") < world.first("r"));
      CHECK(world.mm.count().value() == 1);  // b's
      CHECK(world.mm.freed == 0);
      CHECK(world.warnings.empty());
      CHECK(world.atomic.empty());
      release_twice += releases == 2 ? 1 : 0;
      release_at_once += most_inside == 2 ? 1 : 0;
      deleted_twice += world.times("!a");
      exit_found_it += releases == 1 && world.first("-a") < world.first("U:a") ? 1 : 0;
      unregister_found_it += world.first("-a") < world.first("R") ? 1 : 0;
    };
    for (const Timing& timing : timings)
      for (int delay = -700; delay < 700; delay += 2) race(timing, delay);
    CAPTURE(row.kernel);
    // The sweep met each case that this kernel has.
    CHECK((release_twice > 0) == row.release_may_run_twice);
    CHECK((release_at_once > 0) == row.release_may_run_twice);
    CHECK((deleted_twice > 0) == row.may_delete_twice);
    CHECK(exit_found_it > 0);
    CHECK(unregister_found_it > 0);
  }
}

// Bug B01: whoever unlinks first leaves a time in which an invalidation reaches nobody and the device still has
// its translations.
TEST_CASE("an invalidation between unlinking and release is lost where unlinking comes first") {
  for (const bool by_exit : {false, true}) {
    for (const auto& [kernel, loses] :
         {std::pair{"v3.2", true}, {"v3.5.6", false}, {"v3.9", true}, {"v3.10", false}, {"v6.10", false}}) {
      int lost = 0;
      for (unsigned delay = 0; delay < 300; ++delay) {
        World world(kernel);
        Subscriber a("a", kEverything);
        CHECK(world.run({{"registers", 2, [&] { world.subscribe({&a}); }},
                         {"goes", 0,
                          [&] {
                            if (by_exit)
                              world.mm.exit();
                            else
                              world.core.unregister(a, world.mm);
                          },
                          20_us},
                         {"truncates", 1, [&] { world.invalidate(); }, 20_us + Time{delay * 1'000}}}) == RunEnd::quiet);
        const bool told = world.times("a:invalidate_range_start") == 1;
        const bool released = world.first("a:release") < world.first("s1");
        lost += !told && !released ? 1 : 0;
      }
      CAPTURE(kernel);
      CAPTURE(by_exit);
      CHECK((lost > 0) == loses);
    }
  }
}

TEST_CASE("unregister inside one's own callback waits for itself") {
  World world("v6.10");
  Subscriber a("a", kEverything);
  a.script = [&](Callback callback) {
    if (callback == Callback::start) world.core.unregister(a, world.mm);
  };
  CHECK(world.run({{"announces", 0, [&] {
                      world.subscribe({&a});
                      world.invalidate();
                    }}}) == RunEnd::quiet);
  CHECK(arbiter().unfinished().size() == 1);
  CHECK(world.times("u:a") == 0);
}

TEST_CASE("unregistering twice is reported where it can be seen") {
  World world("v3.2");
  Subscriber a("a", kEverything);
  CHECK(world.alone([&] {
    world.subscribe({&a});
    world.core.unregister(a, world.mm);
    world.core.unregister(a, world.mm);  // deletes a poisoned entry, and drops the users' claim
    CHECK(world.mm.freed == 1);
    world.core.unregister(a, world.mm);
  }));
  CHECK(world.times("!a") == 1);
  CHECK(world.warnings == std::vector<std::string>{"unregistered from an mm on which nobody has a claim"});
}

TEST_CASE("a subscription can be registered again after its unregister") {
  for (const char* kernel : kKernels) {
    CAPTURE(kernel);
    World world(kernel);
    Subscriber a("a", kEverything);
    CHECK(world.alone([&] {
      for (int i = 0; i < 3; ++i) {
        world.subscribe({&a});
        CHECK(a.mm() == &world.mm);
        world.core.unregister(a, world.mm);
        CHECK(a.mm() == nullptr);
      }
      CHECK(a.serial() == 3);
      world.core.note_freed(a);
    }));
    CHECK(world.times("a:release") == 3);
    CHECK(world.times("free:a") == 1);
    CHECK(world.times("!a") == 0);
  }
}

TEST_CASE("a reset in the middle leaves no trace in the next run") {
  World world("v6.10");
  Subscriber a("a", kEverything);
  Subscriber b("b", kEverything);
  const auto play = [&](RunLimits limits) {
    world.timed.clear();
    world.mm.subscriptions.reset();
    world.mm.mmap_lock().reset();
    world.mm.rmap_lock.reset();
    a.forget_registration();
    b.forget_registration();
    while (world.mm.count().value() < 1) world.mm.count().get();
    while (world.mm.count().value() > 1) world.mm.count().put();
    if (world.mm.users().value() < 1) world.mm.users().get();
    const auto work = [](Callback) { arbiter().step(100_ns); };
    a.script = work;
    b.script = work;
    return world.run({{"main", 0,
                       [&] {
                         world.subscribe({&a, &b});
                         for (int i = 0; i < 3; ++i) world.invalidate();
                         world.mm.exit();
                       }},
                      {"unregisters", 1, [&] { world.core.unregister(a, world.mm); }, 15_us}},
                     limits);
  };
  CHECK(play({}) == RunEnd::quiet);
  const std::vector<std::string> whole = world.timed;
  CHECK(whole.size() > 20);
  std::uint64_t steps = arbiter().steps();
  CHECK(steps > 50);
  for (std::uint64_t stop = 1; stop < steps; ++stop) {
    RunLimits limits;
    limits.steps = stop;
    play(limits);
    CHECK(play({}) == RunEnd::quiet);
    CHECK(world.timed == whole);
    CHECK(a.serial() == 1);
  }
}
