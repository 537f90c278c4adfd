#include "models/mm/vma_locks.hpp"

#include <utility>

#include <doctest/doctest.h>

#include "models/mm/entries.hpp"
#include "models/mm/test_world.hpp"

using namespace secmmu;
using namespace secmmu::testing;
using namespace secmmu::literals;

namespace {

constexpr Rights kReadWrite{true, true, false};
constexpr VirtAddr kUsed{0x7f00'0000'0000};   // private, with a page
constexpr VirtAddr kApart{0x7f00'1000'0000};  // the same, far away
constexpr VirtAddr kShared{0x7f00'2000'0000};
constexpr VirtAddr kUntouched{0x7f00'3000'0000};  // private, without

// Does a fault end while another task holds mmap_lock for writing, and the VMAs of `changed` with it?
bool fault_goes_on(std::string_view kernel, VirtAddr at, bool write, PageRange changed = {}) {
  machine().reset();
  Mm* mm = nullptr;
  bool holds = false;
  bool went_on = false;
  const std::vector<TestTask> tasks{
      {"changer", 0,
       [&] {
         load_on(*mm, hardware().core(0));
         for (const VirtAddr place : {kUsed, kApart, kShared, kUntouched}) {
           VirtAddr where;
           const Errno mapped = mmap(*mm, {place, true, 8, kReadWrite, place == kShared}, where);
           REQUIRE(mapped == Errno::ok);
         }
         for (const VirtAddr place : {kUsed, kApart}) hardware().core(0).write(place, 8, 1);
         lock_for_writing(*mm);
         if (!changed.empty()) lock_vmas_for_writing(*mm, changed);
         holds = true;
         machine().arbiter().sleep_until(400_us);
         holds = false;
         unlock_for_writing(*mm);
       }},
      {"user", 1,
       [&] {
         load_on(*mm, hardware().core(1));
         const FaultResult result = handle_fault(*mm, at.page() + 1, write);
         CHECK(result == FaultResult::resolved);
         went_on = holds;
       },
       200_us}};
  const RunEnd end = mm_world().run(kernel, tasks, [&] { mm = &mm_world().system->create("app"); });
  CHECK(end == RunEnd::quiet);
  CHECK(audit(*mm_world().system) == "");
  machine().reset();
  return went_on;
}

}  // namespace

TEST_CASE("which faults go on beside a mapping call") {
  struct Row {
    std::string_view kernel;
    bool used, shared, first_read, first_write;
  };
  for (const Row& row : {Row{"v6.1", false, false, false, false}, Row{"v6.4.0", true, false, false, false},
                         Row{"v6.10", true, true, true, false}}) {
    CAPTURE(row.kernel);
    CHECK(fault_goes_on(row.kernel, kUsed, true) == row.used);
    CHECK(fault_goes_on(row.kernel, kUsed, false) == row.used);
    CHECK(fault_goes_on(row.kernel, kShared, true) == row.shared);
    CHECK(fault_goes_on(row.kernel, kUntouched, false) == row.first_read);
    CHECK(fault_goes_on(row.kernel, kUntouched, true) == row.first_write);
  }
}

TEST_CASE("a fault waits for who changes its own VMA, or one that it could join") {
  const Vpn page = kUsed.page();
  CHECK_FALSE(fault_goes_on("v6.10", kUsed, true, {page + 6, page + 7}));
  CHECK_FALSE(fault_goes_on("v6.10", kUsed, true, {page + 8, page + 9}));
  CHECK(fault_goes_on("v6.10", kUsed, true, {page + 9, page + 10}));
  CHECK(fault_goes_on("v6.10", kApart, true, {page, page + 8}));
}

// A write that breaks copy-on-write is held in a subscriber's start; what comes beside it?
TEST_CASE("who waits for a fault that holds only its VMA") {
  struct Slow final : ListSubscription {
    std::string title = "slow";
    bool first = true;  // later ranges are those of the other task
    const std::string& name() const override { return title; }
    CallbackSet callbacks() const override { return {Callback::start}; }
    Errno invalidate_range_start(const InvalidateRange&) override {
      if (std::exchange(first, false)) machine().arbiter().sleep_until(400_us);
      return Errno::ok;
    }
  };
  using Call = std::function<void(Mm&)>;
  const auto waits = [](std::string_view kernel, const Call& call) {
    machine().reset();
    Mm* mm = nullptr;
    Slow slow;
    bool in_fault = false;
    bool waited = false;
    const std::vector<TestTask> tasks{{"writer", 0,
                                       [&] {
                                         Core& core = hardware().core(0);
                                         load_on(*mm, core);
                                         VirtAddr where;
                                         mmap(*mm, {kUsed, true, 8, kReadWrite, false}, where);
                                         mmap(*mm, {kApart, true, 8, kReadWrite, false}, where);
                                         for (const VirtAddr place : {kUsed, kApart}) core.write(place, 8, 1);
                                         fork(*mm, mm_world().system->create("child"));
                                         const Errno registered = mm_world().notifier.register_subscription(slow, *mm);
                                         REQUIRE(registered == Errno::ok);
                                         in_fault = true;
                                         core.write(kUsed, 8, 2);
                                         in_fault = false;
                                       }},
                                      {"other", 1,
                                       [&] {
                                         CHECK(in_fault);
                                         call(*mm);
                                         waited = !in_fault;
                                       },
                                       200_us}};
    const RunEnd end = mm_world().run(kernel, tasks, [&] { mm = &mm_world().system->create("app"); });
    CHECK(end == RunEnd::quiet);
    CHECK(audit(*mm_world().system) == "");
    machine().reset();
    return waited;
  };
  static Slow late;  // outlives the run that it is registered in
  const Call registers = [](Mm& mm) { mm_world().notifier.register_subscription(late, mm); };
  const Call forks = [](Mm& mm) { fork(mm, mm_world().system->create("second")); };
  const Call maps_apart = [](Mm& mm) {
    VirtAddr where;
    mmap(mm, {kShared, true, 1, kReadWrite, false}, where);
  };
  const Call unmaps = [](Mm& mm) { munmap(mm, {kUsed.page(), kUsed.page() + 8}); };
  struct Row {
    std::string_view kernel;
    bool registers, forks, maps_apart, unmaps;
  };
  for (const Row& row : {Row{"v6.1", true, true, true, true}, Row{"v6.4.0", false, false, false, true},
                         Row{"v6.10", true, true, false, true}}) {
    CAPTURE(row.kernel);
    CHECK(waits(row.kernel, registers) == row.registers);
    CHECK(waits(row.kernel, forks) == row.forks);
    CHECK(waits(row.kernel, maps_apart) == row.maps_apart);
    CHECK(waits(row.kernel, unmaps) == row.unmaps);
    late.forget_registration();
  }
}
