#include "notifier/substrate/arbiter.hpp"

#include <doctest/doctest.h>

#include <fstream>

#include "notifier/substrate/sync/events.hpp"
#include "notifier/substrate/sync/mutex.hpp"
#include "notifier/substrate/sync/rcu.hpp"
#include "notifier/substrate/sync/rw_semaphore.hpp"
#include "notifier/substrate/sync/spinlock.hpp"
#include "notifier/substrate/sync/wait_queue.hpp"
#include "notifier/substrate/test_machine.hpp"

using namespace secmmu;
using namespace secmmu::literals;

namespace {
Arbiter& arbiter() { return machine().arbiter(); }

std::uint64_t resident_kib() {
  std::ifstream statm("/proc/self/statm");
  std::uint64_t size = 0;
  std::uint64_t resident = 0;
  statm >> size >> resident;
  return resident * 4;
}
}  // namespace

TEST_CASE("the earliest task goes first, then the lowest id") {
  machine().reset();
  std::string order;
  const auto walker = [&order](char letter, Time cost) {
    return [&order, letter, cost] {
      for (int i = 0; i < 3; ++i) {
        arbiter().step(cost);
        order += letter;
      }
    };
  };
  CHECK(machine().run({{"a", -1, walker('a', 10_ns)}, {"b", -1, walker('b', 10_ns)}, {"c", -1, walker('c', 25_ns)}}) ==
        RunEnd::quiet);
  CHECK(order == "ababcabcc");
  CHECK(arbiter().now() == 75_ns);
}

TEST_CASE("a mutex lets one in at a time, in order of arrival, and the waiter gives up its core") {
  machine().reset();
  Mutex mutex(arbiter(), "m", "m");
  std::string order;
  const auto body = [&](char letter) {
    return [&, letter] {
      mutex.lock();
      order += letter;
      arbiter().step(100_us);
      order += letter;
      mutex.unlock();
    };
  };
  bool ran_meanwhile = false;
  machine().run({{"a", 0, body('a')},
                 {"b", 1, body('b'), 1_us},
                 {"c", 2, body('c'), 2_us},
                 {"on the core of b", 1, [&] { ran_meanwhile = order == "a"; }, 5_us}});
  CHECK(order == "aabbcc");
  CHECK(ran_meanwhile);
}

TEST_CASE("a spinning task keeps its core") {
  machine().reset();
  SpinLock lock(arbiter(), "s", "s");
  std::string order;
  machine().run({{"holder", 0,
                  [&] {
                    lock.lock();
                    arbiter().step(10_us);
                    lock.unlock();
                  }},
                 {"spinner", 1,
                  [&] {
                    lock.lock();
                    order += 's';
                    lock.unlock();
                  },
                  1_us},
                 {"other", 1, [&] { order += 'o'; }, 2_us}});
  CHECK(order == "so");
}

TEST_CASE("an interrupt runs on top of a long step, at its time, and stretches the step") {
  machine().reset();
  Time served;
  const Task* on_top_of = nullptr;
  bool could_sleep = true;
  const Interrupt interrupt{"test", [&] {
                              served = arbiter().now();
                              on_top_of = &arbiter().current();
                              could_sleep = arbiter().current().may_sleep();
                              arbiter().step(1_us);
                            }};
  Time ended;
  const Task* worker = nullptr;
  machine().run({{"worker", 0,
                  [&] {
                    worker = &arbiter().current();
                    arbiter().step(100_us);
                    ended = arbiter().now();
                  }},
                 {"sender", 1, [&] {
                    arbiter().step(10_us);
                    arbiter().processors()[0]->post(interrupt, 500_ns);
                  }}});
  CHECK(served == 10_us + 500_ns + arbiter().costs.interrupt_entry);
  CHECK(on_top_of == worker);
  CHECK_FALSE(could_sleep);
  CHECK(ended == 100_us + 1_us + arbiter().costs.interrupt_entry + arbiter().costs.interrupt_exit);
}

TEST_CASE("an idle core serves interrupts and so does a spinning one, but interrupts off delay them") {
  machine().reset();
  int served = 0;
  const Interrupt interrupt{"test", [&] { ++served; }};
  SpinLock lock(arbiter(), "s", "s");
  std::vector<int> seen;
  machine().run({{"holder", 0,
                  [&] {
                    lock.lock_irq();
                    arbiter().step(10_us);
                    arbiter().processors()[0]->post(interrupt, 0_ns);
                    arbiter().step(10_us);
                    seen.push_back(served);  // still off
                    lock.unlock_irq();
                    seen.push_back(served);
                  }},
                 {"spinner", 1, [&] { lock.lock(); lock.unlock(); }, 1_us},
                 {"sender", 2, [&] {
                    arbiter().step(5_us);
                    arbiter().processors()[1]->post(interrupt, 0_ns);
                    arbiter().processors()[3]->post(interrupt, 0_ns);
                    arbiter().step(3_us);
                    seen.push_back(served);  // by the spinner and by the idle core
                  }}});
  CHECK(seen == std::vector<int>{2, 2, 3});
}

TEST_CASE("readers share, a waiting writer stops new readers") {
  machine().reset();
  RwSemaphore sem(arbiter(), "rw", "rw");
  std::string order;
  const auto reader = [&](char letter) {
    return [&, letter] {
      sem.lock_read();
      order += letter;
      arbiter().step(50_us);
      sem.unlock_read();
    };
  };
  machine().run({{"r1", 0, reader('1')},
                 {"r2", 1, reader('2'), 1_us},
                 {"w", 2,
                  [&] {
                    sem.lock_write();
                    order += 'w';
                    arbiter().step(10_us);
                    sem.unlock_write();
                  },
                  2_us},
                 {"r3", 3, reader('3'), 3_us}});
  CHECK(order == "12w3");
}

TEST_CASE("sleeping under a spinlock is reported with the reason") {
  machine().reset();
  std::string why;
  arbiter().bus().listen<SleptInAtomic>([&](const SleptInAtomic& event, const Stamp&) { why = event.what + ": " + event.why; });
  SpinLock spin(arbiter(), "s", "tfh");
  Mutex mutex(arbiter(), "m", "gms");
  machine().run({{"a", 0, [&] {
                    spin.lock();
                    mutex.lock();
                    mutex.unlock();
                    spin.unlock();
                  }}});
  CHECK(why == "mutex gms: it holds spinlock tfh");
}

TEST_CASE("a lock order that can deadlock is reported although no deadlock happens") {
  machine().reset();
  std::string cycle;
  arbiter().bus().listen<LockOrderBroken>([&](const LockOrderBroken& event, const Stamp&) { cycle = event.cycle; });
  Mutex a(arbiter(), "A", "a");
  Mutex b(arbiter(), "B", "b");
  const auto both = [&](Mutex& first, Mutex& second) {
    return [&] {
      first.lock();
      second.lock();
      second.unlock();
      first.unlock();
    };
  };
  CHECK(machine().run({{"ab", 0, both(a, b)}, {"ba", 1, both(b, a), 100_us}}) == RunEnd::quiet);
  CHECK(cycle == "B -> A -> B");
  CHECK(arbiter().unfinished().empty());
}

TEST_CASE("a deadlock ends the run and is told in words") {
  machine().reset();
  Mutex a(arbiter(), "A", "a");
  Mutex b(arbiter(), "B", "b");
  const auto both = [&](Mutex& first, Mutex& second) {
    return [&] {
      first.lock();
      arbiter().step(1_us);
      second.lock();
    };
  };
  CHECK(machine().run({{"ab", 0, both(a, b)}, {"ba", 1, both(b, a)}}) == RunEnd::quiet);
  CHECK(arbiter().unfinished().size() == 2);
  const std::string story = arbiter().explain_waiting();
  CHECK_MESSAGE(story.find("task0 waits for mutex b (held by task6 since 20ns), since 1.04us.") != std::string::npos, story);
  CHECK_MESSAGE(story.find("Cycle: task0 -> task6 -> task0.") != std::string::npos, story);
}

TEST_CASE("a wait queue wakes everybody whose condition holds") {
  machine().reset();
  WaitQueue queue(arbiter(), "q");
  int level = 0;
  std::string order;
  machine().run({{"one", 0, [&] { queue.wait_until([&] { return level >= 1; }, "level 1"); order += '1'; }},
                 {"two", 1, [&] { queue.wait_until([&] { return level >= 2; }, "level 2"); order += '2'; }},
                 {"waker", 2, [&] {
                    for (int i = 0; i < 2; ++i) {
                      arbiter().step(10_us);
                      ++level;
                      queue.wake_all();
                    }
                  }}});
  CHECK(order == "12");
}

TEST_CASE("synchronize waits for the readers that were there, and for no later one") {
  machine().reset();
  SrcuDomain srcu(arbiter(), "srcu", machine().worker(0));
  Time first_left;
  Time second_left;
  Time returned;
  bool called_back = false;
  machine().run({{"reader 1", 0,
                  [&] {
                    const auto section = srcu.read_lock();
                    arbiter().sleep_until(50_us);  // an SRCU reader may sleep
                    srcu.read_unlock(section);
                    first_left = arbiter().now();
                  }},
                 {"updater", 1,
                  [&] {
                    arbiter().step(10_us);
                    srcu.call([&] { called_back = true; });
                    srcu.synchronize();
                    returned = arbiter().now();
                    srcu.barrier();
                    CHECK(called_back);
                  }},
                 {"reader 2", 2, [&] {
                    arbiter().step(20_us);
                    const auto section = srcu.read_lock();
                    arbiter().step(500_us);
                    srcu.read_unlock(section);
                    second_left = arbiter().now();
                  }}},
                [&] { srcu.reset(); });
  CHECK(returned > first_left);
  CHECK(returned < second_left);
  CHECK(called_back);
}

TEST_CASE("synchronize inside its own read section waits for itself, and the story says so") {
  machine().reset();
  SrcuDomain srcu(arbiter(), "srcu", machine().worker(0));
  machine().run({{"a", 0, [&] {
                    srcu.read_lock();
                    srcu.synchronize();
                  }}},
                [&] { srcu.reset(); });
  CHECK(arbiter().unfinished().size() == 1);
  CHECK(arbiter().explain_waiting().find("it waits for itself") != std::string::npos);
}

TEST_CASE("an RCU reader may not sleep") {
  machine().reset();
  Rcu rcu(arbiter(), "rcu", machine().worker(0));
  std::string why;
  arbiter().bus().listen<SleptInAtomic>([&](const SleptInAtomic& event, const Stamp&) { why = event.why; });
  machine().run({{"a", 0, [&] {
                    const auto section = rcu.read_lock();
                    arbiter().sleep_until(1_ms);
                    rcu.read_unlock(section);
                  }}},
                [&] { rcu.reset(); });
  CHECK(why == "it is inside an RCU read section");
}

TEST_CASE("limits: time and steps end a run that would not end") {
  machine().reset();
  const auto forever = [] {
    for (;;) arbiter().step(1_ns);
  };
  CHECK(machine().run({{"a", 0, forever}}, {}, {1_us, UINT64_MAX}) == RunEnd::limit);
  CHECK(machine().run({{"a", 0, forever}}, {}, {kForever, 1000}) == RunEnd::limit);
  CHECK(machine().run({{"a", 0, [] { for (;;) arbiter().step(0_ns); }}}, {}, {1_us, 1000}) == RunEnd::limit);
}

TEST_CASE("a thousand runs with resets in the middle give the same order and flat memory") {
  machine().reset();
  SpinLock spin(arbiter(), "s", "s");
  Mutex mutex(arbiter(), "m", "m");
  SrcuDomain srcu(arbiter(), "srcu", machine().worker(0));
  const auto once = [&](std::uint64_t steps) {
    std::string order;
    const auto body = [&](char letter) {
      return [&, letter] {
        std::vector<int> ballast(100, letter);  // freed by the unwinding
        for (;;) {
          mutex.lock();
          order += letter;
          const auto section = srcu.read_lock();
          arbiter().step(1_us);
          srcu.read_unlock(section);
          mutex.unlock();
          spin.lock();
          spin.unlock();
        }
      };
    };
    CHECK(machine().run({{"a", 0, body('a')}, {"b", 1, body('b')}, {"c", 1, body('c')}, {"d", -1, body('d')}},
                        [&] {
                          spin.reset();
                          mutex.reset();
                          srcu.reset();
                        },
                        {kForever, steps}) == RunEnd::limit);
    return order + to_text(arbiter().now());
  };
  const std::string expected = once(200);
  for (std::uint64_t i = 0; i < 100; ++i) once(i);  // wherever the tasks stand
  const std::uint64_t before = resident_kib();
  for (int i = 0; i < 1000; ++i) REQUIRE(once(200) == expected);
  CHECK(resident_kib() <= before + 512);
}

TEST_CASE("stretched steps never shorten, and the seed decides") {
  machine().reset();
  const auto once = [](std::uint64_t seed) {
    arbiter().set_stretch(100, seed);
    machine().run({{"a", 0, [] { for (int i = 0; i < 10; ++i) arbiter().step(1_us); }}});
    return arbiter().now();
  };
  CHECK(once(1) == once(1));
  CHECK(once(1) != once(2));
  CHECK(once(3) >= 10_us);
  CHECK(once(3) <= 20_us);
}

TEST_CASE("an exception of a task ends the run and reaches the director, and the machine can be reset") {
  machine().reset();
  const auto failing = [] {
    machine().run({{"a", 0, [] {
                      arbiter().step(1_us);
                      throw std::runtime_error("out of luck");
                    }},
                   {"b", 1, [] { for (;;) arbiter().step(1_us); }}});
  };
  CHECK_THROWS_WITH(failing(), "out of luck");
  CHECK(machine().run({{"a", 0, [] { arbiter().step(1_us); }}}) == RunEnd::quiet);
}

TEST_CASE("texts of times") {
  CHECK(to_text(0_ns) == "0ns");
  CHECK(to_text(1_ps) == "1ps");
  CHECK(to_text(1500_ns) == "1.5us");
  CHECK(to_text(1'000'001_us) == "1.000001s");
}
