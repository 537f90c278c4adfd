#include <functional>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "notifier/intervals/interval_subscription.hpp"
#include "notifier/test_world.hpp"

using namespace secmmu;
using namespace secmmu::literals;
using namespace secmmu::testing;

namespace {

class Mirror final : public IntervalSubscription {
 public:
  Mirror(NotifierCore& core, std::string name) : core_(core), name_(std::move(name)) {}
  const std::string& name() const override { return name_; }
  bool invalidate(const InvalidateRange& range, std::uint64_t sequence) override {
    ++calls;
    last_event = range.event;
    if (refuses && !range.blockable) return false;
    core_.set_sequence(*this, sequence);
    if (script) script();
    return true;
  }
  int calls = 0;
  bool refuses = false;
  InvalidateEvent last_event = InvalidateEvent::unmap;
  std::function<void()> script;

 private:
  NotifierCore& core_;
  std::string name_;
};

constexpr VirtAddr kStart{16 * kPageSize};     // the pages of World::range() are 16 to 20
constexpr std::uint64_t kLength = 4 * kPageSize;

struct Changes {
  explicit Changes(Bus& bus) {
    bus.listen<SequenceChanged>([this](const SequenceChanged& e, const Stamp&) {
      all.push_back(fmt::format("{}/{}", e.sequence, e.active));
    });
    bus.listen<IntervalTouched>([this](const IntervalTouched&, const Stamp&) { ++touched; });
  }
  std::string text() const { return fmt::format("{}", fmt::join(all, " ")); }
  std::vector<std::string> all;
  int touched = 0;
};

}  // namespace

TEST_CASE("intervals: a range that hits makes the sequence odd until the last range of the mm is closed") {
  World world("v6.10");
  Mirror a(world.core, "a");
  Changes changes(machine().arbiter().bus());
  CHECK(world.alone([&] {
    CHECK(world.core.interval_insert(a, world.mm, kStart, kLength) == Errno::ok);
    InvalidateRange elsewhere = world.range(true, {{100}, {101}});
    InvalidateRange here = world.range();
    world.core.invalidate_range_start(elsewhere);
    world.core.invalidate_range_start(here);
    world.core.invalidate_range_end(here);
    world.core.invalidate_range_end(elsewhere);
    world.core.interval_remove(a);
  }));
  CHECK(a.calls == 1);
  CHECK(changes.text() == "2/0 2/1 3/2 3/1 4/0");
  CHECK(world.mm.count().value() == 1);
}

TEST_CASE("intervals: an insertion in an open range counts as hit, and waits while the tree is walked") {
  World world("v6.10");
  Mirror a(world.core, "a");
  Mirror b(world.core, "b");
  Mirror c(world.core, "c");
  bool waited = false;
  bool done = false;
  CHECK(world.alone([&] {
    machine().arbiter().bus().listen<IntervalReadBegin>(
        [&](const IntervalReadBegin& e, const Stamp&) { waited = e.waited; });
    world.core.interval_insert(a, world.mm, kStart, kLength);
    InvalidateRange elsewhere = world.range(true, {{100}, {101}});
    world.core.invalidate_range_start(elsewhere);
    world.core.interval_insert(b, world.mm, kStart, kLength);  // even sequence: it comes in and makes it odd
    world.core.interval_insert(c, world.mm, kStart, kLength);  // odd: deferred
    InvalidateRange here = world.range();
    world.core.invalidate_range_start(here);
    CHECK(b.calls == 1);
    CHECK(c.calls == 0);
    world.core.invalidate_range_end(here);
    world.core.invalidate_range_end(elsewhere);
    world.invalidate();
    CHECK(c.calls == 1);
    const std::uint64_t sequence = world.core.read_begin(c);
    const bool first = world.core.read_retry(c, sequence);
    world.invalidate();
    const bool second = world.core.read_retry(c, sequence);
    CHECK_FALSE(first);
    CHECK(second);
    done = true;
  }));
  CHECK(done);
  CHECK_FALSE(waited);
}

TEST_CASE("intervals: a reader waits for the end of the range, a removal too") {
  World world("v6.10");
  Mirror a(world.core, "a");
  std::vector<std::string> order;
  world.run({{"invalidator", 0,
              [&] {
                world.core.interval_insert(a, world.mm, kStart, kLength);
                InvalidateRange here = world.range();
                world.core.invalidate_range_start(here);
                machine().arbiter().step(100_us);
                order.emplace_back("end");
                world.core.invalidate_range_end(here);
              }},
             {"reader", 1, [&] {
                machine().arbiter().sleep_until(Time{50'000'000});
                world.core.read_begin(a);
                order.emplace_back("read");
              }}});
  CHECK(order == std::vector<std::string>{"end", "read"});
  Mirror b(world.core, "b");
  order.clear();
  world.run({{"invalidator", 0,
              [&] {
                world.core.interval_insert(b, world.mm, kStart, kLength);
                InvalidateRange here = world.range();
                world.core.invalidate_range_start(here);
                machine().arbiter().step(100_us);
                order.emplace_back("end");
                world.core.invalidate_range_end(here);
              }},
             {"remover", 1, [&] {
                machine().arbiter().sleep_until(Time{50'000'000});
                world.core.interval_remove(b);
                order.emplace_back("removed");
              }}});
  CHECK(order == std::vector<std::string>{"end", "removed"});
}

TEST_CASE("intervals: who refuses a range that may not block leaves nothing open, a refusal from the list does") {
  World world("v6.10");
  Mirror a(world.core, "a");
  Changes changes(machine().arbiter().bus());
  Subscriber list("list", {Callback::start});
  CHECK(world.alone([&] {
    world.core.interval_insert(a, world.mm, kStart, kLength);
    a.refuses = true;
    InvalidateRange range = world.range(false);
    const Errno refused = world.core.invalidate_range_start(range);
    CHECK(refused == Errno::eagain);
    CHECK(changes.all.back() == "4/0");
    a.refuses = false;
    list.answer = Errno::eagain;
    world.subscribe({&list});
    InvalidateRange again = world.range(false);
    const Errno from_list = world.core.invalidate_range_start(again);
    CHECK(from_list == Errno::eagain);
  }));
  CHECK(changes.all.back() == "5/1");  // odd and counted, for ever: so in Linux to this day
}

TEST_CASE("intervals: told before the list at start, at the end and when the mm ends, and there until removed") {
  World world("v6.10");
  Mirror a(world.core, "a");
  Subscriber list("list", {Callback::start, Callback::end, Callback::release});
  CHECK(world.alone([&] {
    world.core.interval_insert(a, world.mm, kStart, kLength);
    world.subscribe({&list});
    world.invalidate();
    world.mm.exit();
    CHECK(a.last_event == InvalidateEvent::release);
    CHECK(a.mm() != nullptr);
    CHECK(world.mm.freed == 0);
    world.core.interval_remove(a);
  }));
  CHECK(world.story() == "+list S1 a:invalidate a:invalidate. list:invalidate_range_start list:invalidate_range_start. s1 E1 "
                         "list:invalidate_range_end list:invalidate_range_end. e1 R a:invalidate a:invalidate. list:release "
                         "list:release. -list r");
  CHECK(world.mm.freed == 0);  // the list subscriber still holds the structure
}

TEST_CASE("intervals: errors of an insertion leave nothing behind") {
  World world("v6.10");
  Mirror a(world.core, "a");
  CHECK(world.alone([&] {
    world.core.allocation_fails = [] { return true; };
    const Errno memory = world.core.interval_insert(a, world.mm, kStart, kLength);
    CHECK(memory == Errno::enomem);
    world.core.allocation_fails = nullptr;
    world.mm.signal_pending = true;
    const Errno signal = world.core.interval_insert(a, world.mm, kStart, kLength);
    CHECK(signal == Errno::eintr);
    world.mm.signal_pending = false;
    const Errno empty = world.core.interval_insert(a, world.mm, kStart, 0);
    CHECK(empty == Errno::eoverflow);
    const Errno beyond = world.core.interval_insert(a, world.mm, VirtAddr{UINT64_MAX - 4095}, 4097);
    CHECK(beyond == Errno::eoverflow);
    CHECK(a.mm() == nullptr);
    CHECK(world.mm.count().value() == 1);
    const Errno last = world.core.interval_insert(a, world.mm, VirtAddr{UINT64_MAX - 4095}, 4096);
    CHECK(last == Errno::ok);
    world.core.interval_remove(a);
    CHECK(world.mm.count().value() == 1);
  }));
}

TEST_CASE("intervals: after the end of the mm v5.5 still takes an insertion, v6.1 does not (c9682d10271e)") {
  for (const auto& [kernel, answer] : {std::pair{"v5.5", Errno::ok}, {"v6.1", Errno::einval}}) {
    CAPTURE(kernel);
    World world(kernel);
    Mirror early(world.core, "early");
    Mirror late(world.core, "late");
    Errno got = Errno::eagain;
    CHECK(world.alone([&] {
      world.core.interval_insert(early, world.mm, kStart, kLength);
      world.mm.count().get();
      world.mm.exit();
      got = world.core.interval_insert(late, world.mm, kStart, kLength);
    }));
    CHECK(got == answer);
  }
}

TEST_CASE("intervals: a removal beside the end of the range, v5.5 works on freed memory, v6.1 never (319561669a59)") {
  for (const auto& [kernel, races] : {std::pair{"v5.5", true}, {"v6.1", false}}) {
    CAPTURE(kernel);
    int touched = 0;
    for (std::uint64_t delay = 0; delay < 400; ++delay) {
      World world(kernel);
      Mirror a(world.core, "a");
      Changes changes(machine().arbiter().bus());
      world.run({{"invalidator", 0,
                  [&] {
                    world.core.interval_insert(a, world.mm, kStart, kLength);
                    InvalidateRange here = world.range();
                    world.core.invalidate_range_start(here);
                    machine().arbiter().step(10_us);
                    world.core.invalidate_range_end(here);
                  }},
                 {"remover", 1, [&] {
                    machine().arbiter().step(Time{13'000'000 + delay * 1'000});
                    if (a.mm() != nullptr) world.core.interval_remove(a);
                  }}});
      touched += changes.touched;
    }
    CHECK((touched > 0) == races);
  }
}

TEST_CASE("intervals do not exist before v5.5") {
  World world("v4.19");
  Mirror a(world.core, "a");
  CHECK(world.alone(
      [&] { CHECK_THROWS_AS(world.core.interval_insert(a, world.mm, kStart, kLength), AbsentInKernel); }));
}
