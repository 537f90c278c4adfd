// For tests of sinks: the events of a GRU that races a munmap, made up, with no machine behind them. The driver
// does not look at its count of open ranges (`without: [range-active-check]`), so a fault puts back what the
// munmap has just purged, and the device writes to a frame that belongs to somebody else by then.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "models/cpu/events.hpp"
#include "models/devices/events.hpp"
#include "models/memory/events.hpp"
#include "models/mm/events.hpp"
#include "notifier/events.hpp"
#include "notifier/substrate/sync/events.hpp"
#include "sim/oracle/violation.hpp"
#include "sim/output/run_description.hpp"
#include "sim/output/sink.hpp"

namespace secmmu {

class MadeUpRace {
 public:
  static RunDescription description() {
    RunDescription run;
    run.scenario = "gru-without-range-active-check";
    run.kernel = "v6.10";
    run.seed = 7;
    run.cores = 2;
    run.frames = 64;
    run.tasks = {{"idle/0", 0, false},  {"idle/1", 1, false}, {"app.main", 0, true},
                 {"unmapper", 1, true}, {"gru0/0", -1, true}, {"rcu", -1, false}};
    run.devices = {{"gru0", "gru", 1}};
    run.processes = {"app", "thief"};
    run.watched = {"app.buf"};
    run.rules = {"use-after-free", "stale-mapping", "sleep-in-atomic"};
    return run;
  }

  static Violation violation() {
    return {"use-after-free",
            Time{14'200'000},
            "gru0/0",
            "gru0 wrote 66 to 0x7f0000001008 through a translation of app to frame 0x2a, which thief owns since 13.6us",
            {"4.6us  app.main (in an interrupt): gru0 fills page 0x7f0000001000 of app with frame 0x2a, writable",
             "9.2us  unmapper: munmap announces range 1, [0x7f0000001000,0x7f0000003000)",
             "10.3us  unmapper: gru0 acknowledges the purge: nothing of the range is left in it",
             "10.9us  idle/0 (in an interrupt): gru0 fills page 0x7f0000001000 again although range 1 is open",
             "12.9us  unmapper: frame 0x2a is freed", "13.6us  app.main: frame 0x2a is allocated to thief",
             "14.2us  gru0/0: writes 66 to it", "held then by app.main: mmap_lock(thief)"},
            "Between invalidate_range_start and invalidate_range_end a driver may not put a translation of the range "
            "into its device.",
            0,
            "gru0",
            "app",
            one_page(kPage)};
  }

  MadeUpRace() {
    bus.set_clock([this] { return now_; });
  }

  void play(const std::vector<Sink*>& sinks) {
    for (Sink* sink : sinks) sink->attach(bus);
    start();
    attach_and_fill();
    unmap();
    reuse();
    Violation found = violation();
    found.event = now_.number;
    for (Sink* sink : sinks) sink->violation(found);
    leave();
    for (Sink* sink : sinks) sink->finish(Time{20'000'000});
  }

  Bus bus;

 private:
  enum Who : unsigned { idle0, idle1, main, unmapper, gru, rcu };

  template <class Event>
  void say(std::uint64_t ns, Who who, const Event& event, bool in_interrupt = false) {
    static constexpr int kCores[] = {0, 1, 0, 1, -1, -1};
    now_.at = Time{ns * 1'000};
    now_.task = who;
    now_.processor = kCores[who];
    now_.in_interrupt = in_interrupt;
    bus.emit(event);
  }

  void start() {
    say(0, main, CoreSwitched{0, "app.main"});
    say(0, main, TaskStarted{"app.main"});
    say(0, main, MmCreated{"app", 1});
    say(100, main, MmCreated{"thief", 2});
    say(200, unmapper, CoreSwitched{1, "unmapper"});
    say(200, unmapper, TaskStarted{"unmapper"});
    say(300, unmapper, TaskWaits{"unmapper", "app.main at the barrier (wait queue go)", true});
    say(300, unmapper, CoreSwitched{1, ""});
    say(500, main, SyscallBegin{"app", 1, "mmap", kPages});
    say(700, main, LockAcquired{"mmap_lock(app)", "rw-semaphore", false});
    say(1'000, main, VmaMapped{"app", 1, kPages, "rw-", false});
    say(1'100, main, LockReleased{"mmap_lock(app)"});
    say(1'200, main, SyscallEnd{"app", 1, "mmap", "0x7f0000001000"});
  }

  void attach_and_fill() {
    say(1'400, main, SyscallBegin{"app", 1, "attach gru0", {}});
    say(1'500, main, LockAcquired{"mmap_lock(app)", "rw-semaphore", false});
    say(1'900, main, Registered{"app", 1, "gru0", 1});
    say(2'000, main, LockReleased{"mmap_lock(app)"});
    say(2'100, main, SyscallEnd{"app", 1, "attach gru0", "ok"});
    say(2'300, main, PageFault{0, 1, VirtAddr{0x7f0000001000}, true});
    say(2'400, main, LockAcquired{"mmap_lock(app)", "rw-semaphore", true});
    say(2'600, main, FrameAllocated{kFrame, 1, "anonymous", "app", 63});
    say(2'700, main, LockAcquired{"page_table_lock(app)", "spinlock", false});
    say(2'800, main, PteChanged{"app", 1, kPage, kNoPfn, false, kFrame, true, "fault"});
    say(2'850, main, LockReleased{"page_table_lock(app)"});
    say(2'900, main, FaultHandled{"app", 1, kPage, true, "new_page"});
    say(3'000, main, LockReleased{"mmap_lock(app)"});
    say(3'100, main, CpuTlbFill{0, 1, kPage, kFrame, true, &core_entry_});
    say(3'500, gru, TaskStarted{"gru0/0"});
    say(3'500, gru, DeviceState{"gru0", 0, "running"});
    say(4'000, gru, DeviceFaultBegin{"gru0", "app", 1, 1, kPage, true});
    say(4'000, gru, DeviceState{"gru0", 0, "fault"});
    say(4'200, main, InterruptEntered{0, "gru0.miss"}, true);
    say(4'600, main, DeviceFill{"gru0", "app", 1, kPage, kFrame, true, &entry_}, true);
    say(4'700, main, InterruptLeft{0, "gru0.miss"}, true);
    say(4'800, gru, DeviceFaultEnd{"gru0", "app", 1, 1, kPage, Errno::ok});
    say(4'800, gru, DeviceState{"gru0", 0, "running"});
    say(5'200, gru, DeviceMarkedAccess{"gru0", "app", 1, VirtAddr{0x7f0000001008}, kFrame, true, 65, &entry_});
    say(8'500, main, TaskWaits{"app.main", "a timer that ends at 12us", true});
    say(8'500, main, CoreSwitched{0, ""});
  }

  void unmap() {
    say(8'600, unmapper, CoreSwitched{1, "unmapper"});
    say(8'600, unmapper, TaskGoesOn{"unmapper"});
    say(8'800, unmapper, SyscallBegin{"app", 1, "munmap", kPages});
    say(9'000, unmapper, LockAcquired{"mmap_lock(app)", "rw-semaphore", false});
    say(9'200, unmapper, InvalidateStart{"app", 1, 1, kPages, InvalidateEvent::unmap, true});
    say(9'300, unmapper, ReadSectionEntered{"srcu", 1});
    say(9'400, unmapper, CallbackBegin{"app", 1, "gru0", 1, Callback::start, kPages, 1});
    say(9'500, unmapper, DeviceRangeActive{"gru0", "app", 1, 1});
    say(9'700, unmapper, DevicePurgeBegin{"gru0", "app", 1, 1, kPages});
    say(10'100, gru, DeviceDrop{"gru0", "app", 1, kPage, kFrame, &entry_, "purge"});
    say(10'300, unmapper, DevicePurgeEnd{"gru0", "app", 1, 1});
    say(10'400, unmapper, CallbackEnd{"app", 1, "gru0", 1, Callback::start, kPages, 1, Errno::ok, false});
    say(10'500, unmapper, ReadSectionLeft{"srcu", 1});
    say(10'500, unmapper, InvalidateStarted{"app", 1, 1, Errno::ok});
    say(10'550, gru, DeviceFaultBegin{"gru0", "app", 1, 2, kPage, true});
    say(10'550, gru, DeviceState{"gru0", 0, "fault"});
    say(10'700, idle0, InterruptEntered{0, "gru0.miss"}, true);
    say(10'900, idle0, DeviceFill{"gru0", "app", 1, kPage, kFrame, true, &entry_}, true);
    say(11'000, idle0, InterruptLeft{0, "gru0.miss"}, true);
    say(11'100, gru, DeviceFaultEnd{"gru0", "app", 1, 2, kPage, Errno::ok});
    say(11'100, gru, DeviceState{"gru0", 0, "running"});
    say(11'200, unmapper, LockAcquired{"page_table_lock(app)", "spinlock", false});
    say(11'300, unmapper, PteChanged{"app", 1, kPage, kFrame, true, kNoPfn, false, "zap"});
    say(11'400, unmapper, LockReleased{"page_table_lock(app)"});
    say(11'500, unmapper, ShootdownSent{1, 1, 1, kPages, 0b01});
    say(11'500, unmapper, TaskWaits{"unmapper", "shootdown 1", false});
    say(11'700, idle0, InterruptEntered{0, "shootdown"}, true);
    say(11'800, idle0, CpuTlbDrop{0, 1, kPage, kFrame, &core_entry_}, true);
    say(11'900, idle0, ShootdownAcked{1, 0}, true);
    say(11'950, idle0, InterruptLeft{0, "shootdown"}, true);
    say(12'000, main, CoreSwitched{0, "app.main"});
    say(12'000, main, TaskGoesOn{"app.main"});
    say(12'100, unmapper, TaskGoesOn{"unmapper"});
    say(12'100, unmapper, ShootdownDone{1, 1});
    say(12'300, unmapper, InvalidateEnd{"app", 1, 1, kPages});
    say(12'400, unmapper, CallbackBegin{"app", 1, "gru0", 1, Callback::end, kPages, 1});
    say(12'500, unmapper, DeviceRangeActive{"gru0", "app", 1, 0});
    say(12'600, unmapper, CallbackEnd{"app", 1, "gru0", 1, Callback::end, kPages, 1, Errno::ok, false});
    say(12'700, unmapper, InvalidateEnded{"app", 1, 1});
    say(12'900, unmapper, FrameFreed{kFrame, 1, "anonymous", 64});
    say(13'000, unmapper, LockReleased{"mmap_lock(app)"});
    say(13'100, unmapper, SyscallEnd{"app", 1, "munmap", "ok"});
    say(13'200, unmapper, TaskFinished{"unmapper"});
    say(13'200, unmapper, CoreSwitched{1, ""});
  }

  void reuse() {
    say(13'400, main, PageFault{0, 2, VirtAddr{0x7f0000009000}, true});
    say(13'600, main, FrameAllocated{kFrame, 2, "anonymous", "thief", 63});
    say(13'700, main, FaultHandled{"thief", 2, Vpn{0x7f0000009}, true, "new_page"});
    say(14'200, gru, DeviceMarkedAccess{"gru0", "app", 1, VirtAddr{0x7f0000001008}, kFrame, true, 66, &entry_});
  }

  void leave() {
    say(15'000, gru, DeviceState{"gru0", 0, "idle"});
    say(15'000, gru, TaskFinished{"gru0/0"});
    say(15'200, main, SyscallBegin{"app", 1, "exit", kWholeSpace});
    say(15'300, main, MmReleaseBegin{"app", 1});
    say(15'400, main, CallbackBegin{"app", 1, "gru0", 1, Callback::release, kWholeSpace, 0});
    say(15'700, main, DeviceDrop{"gru0", "app", 1, kPage, kFrame, &entry_, "retire"});
    say(15'800, main, CallbackEnd{"app", 1, "gru0", 1, Callback::release, kWholeSpace, 0, Errno::ok, false});
    say(15'900, main, Unlinked{"app", 1, "gru0", 1, true});
    say(16'000, main, TaskWaits{"app.main", "synchronize srcu (unmapper reads)", true});
    say(16'000, main, CoreSwitched{0, ""});
    say(17'000, main, CoreSwitched{0, "app.main"});
    say(17'000, main, TaskGoesOn{"app.main"});
    say(17'000, main, GracePeriodEnded{"srcu", Time{1'000'000}});
    say(17'100, main, MmReleaseEnd{"app", 1});
    say(18'000, main, MmFreed{"app", 1, 0});
    say(18'200, main, SyscallEnd{"app", 1, "exit", "ok"});
    say(18'300, main, TaskFinished{"app.main"});
    say(18'300, main, CoreSwitched{0, ""});
  }

  static constexpr Vpn kPage{0x7f0000001};
  static constexpr PageRange kPages{{0x7f0000001}, {0x7f0000003}};
  static constexpr Pfn kFrame{0x2a};
  Ghost entry_{Ghost::kIllegal};
  Ghost core_entry_;
  Stamp now_;
};

}  // namespace secmmu
