// What the oracle costs: events as the machine emits them, with nothing else listening.
#include <benchmark/benchmark.h>

#include "sim/oracle/history.hpp"

namespace secmmu::testing {
namespace {

struct Machine : History {
  explicit Machine(bool listens) {
    if (!listens) bus.clear_listeners();
    bus.set_clock([this] {
      now.ps += 10'000;
      return Stamp{now, task, 0, false, 0};
    });
    bus.emit(MmCreated{"app", 1});
    enroll("gru0");
    serial = serials["gru0"];
  }
  std::uint64_t serial = 0;
};

// One page: fault, both cores and the device take it, and a munmap takes it away. 31 events.
void oracle_munmap_round(benchmark::State& state) {
  Machine h(state.range(0) != 0);
  Ghost cores[2], device;
  Bus& bus = h.bus;
  const PageRange pages{{5}, {6}};
  std::uint64_t id = 0;
  std::uint64_t allocation = 0;
  for (auto _ : state) {
    ++id;
    bus.emit(LockAcquired{"mmap_lock(app)", "rwsem", true});
    bus.emit(FrameAllocated{{0x12}, ++allocation, "anon", "app", 0});
    bus.emit(PteChanged{"app", 1, {5}, kNoPfn, false, {0x12}, true, "fault"});
    bus.emit(FaultHandled{"app", 1, {5}, true, "new_page"});
    bus.emit(LockReleased{"mmap_lock(app)"});
    bus.emit(DeviceFaultBegin{"gru0", "app", 1, id, {5}, true});
    bus.emit(DeviceFill{"gru0", "app", 1, {5}, {0x12}, true, &device});
    bus.emit(DeviceFaultEnd{"gru0", "app", 1, id, {5}, Errno::ok});
    bus.emit(CpuTlbFill{0, 1, {5}, {0x12}, true, &cores[0]});
    bus.emit(CpuTlbFill{1, 1, {5}, {0x12}, true, &cores[1]});

    bus.emit(SyscallBegin{"app", 1, "munmap", pages});
    bus.emit(LockAcquired{"mmap_lock(app)", "rwsem", false});
    bus.emit(VmaUnmapped{"app", 1, pages});
    bus.emit(InvalidateStart{"app", 1, id, pages, InvalidateEvent::unmap, true});
    bus.emit(CallbackBegin{"app", 1, "gru0", h.serial, Callback::start, pages, id});
    bus.emit(DeviceRangeActive{"gru0", "app", 1, 1});
    bus.emit(DeviceDrop{"gru0", "app", 1, {5}, {0x12}, &device, "purge"});
    bus.emit(CallbackEnd{"app", 1, "gru0", h.serial, Callback::start, pages, id, Errno::ok, false});
    bus.emit(InvalidateStarted{"app", 1, id, Errno::ok});
    bus.emit(LockAcquired{"page_table_lock(app)", "spinlock", false});
    bus.emit(PteChanged{"app", 1, {5}, {0x12}, true, kNoPfn, false, "zap"});
    bus.emit(LockReleased{"page_table_lock(app)"});
    bus.emit(CpuTlbDrop{0, 1, {5}, {0x12}, &cores[0]});
    bus.emit(CpuTlbDrop{1, 1, {5}, {0x12}, &cores[1]});
    bus.emit(FrameFreed{{0x12}, allocation, "anon", 0});
    bus.emit(InvalidateEnd{"app", 1, id, pages});
    bus.emit(CallbackBegin{"app", 1, "gru0", h.serial, Callback::end, pages, id});
    bus.emit(DeviceRangeActive{"gru0", "app", 1, 0});
    bus.emit(CallbackEnd{"app", 1, "gru0", h.serial, Callback::end, pages, id, Errno::ok, false});
    bus.emit(InvalidateEnded{"app", 1, id});
    bus.emit(LockReleased{"mmap_lock(app)"});
    bus.emit(SyscallEnd{"app", 1, "munmap", "ok"});
  }
  if (!h.oracle.clean()) state.SkipWithError("the history is legal");
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(oracle_munmap_round)->ArgName("oracle")->Arg(0)->Arg(1);

// A miss that drops one translation for another: a device with 1,024 of them that walks over 100,000 pages.
void oracle_device_fill_and_drop(benchmark::State& state) {
  Machine h(true);
  std::vector<Ghost> ghosts(1024);
  constexpr std::uint64_t kPages = 100'000;
  for (std::uint64_t page = 0; page < kPages; ++page) {
    h.bus.emit(FrameAllocated{{page}, page + 1, "anon", "app", 0});
    h.bus.emit(PteChanged{"app", 1, {page}, kNoPfn, false, {page}, true, "fault"});
  }
  std::uint64_t at = 0;
  for (auto _ : state) {
    const std::uint64_t page = at * 7919 % kPages;
    const Ghost* ghost = &ghosts[at % ghosts.size()];
    if (at >= ghosts.size()) h.bus.emit(DeviceDrop{"gru0", "app", 1, {page}, {page}, ghost, "evict"});
    h.bus.emit(DeviceFill{"gru0", "app", 1, {page}, {page}, true, ghost});
    ++at;
  }
  if (!h.oracle.clean()) state.SkipWithError("the history is legal");
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(oracle_device_fill_and_drop);

// Between two short runs of a search.
void oracle_reset(benchmark::State& state) {
  Machine h(true);
  Ghost ghost;
  for (auto _ : state) {
    for (std::uint64_t page = 0; page < 8; ++page) {
      h.bus.emit(FrameAllocated{{page}, page + 1, "anon", "app", 0});
      h.bus.emit(PteChanged{"app", 1, {page}, kNoPfn, false, {page}, true, "fault"});
    }
    h.bus.emit(DeviceFill{"gru0", "app", 1, {1}, {1}, true, &ghost});
    h.oracle.reset();
  }
}
BENCHMARK(oracle_reset);

}  // namespace
}  // namespace secmmu::testing
