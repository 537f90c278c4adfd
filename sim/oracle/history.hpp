// For the oracle's tests: a bus with a clock of its own, an oracle that listens, and short words to emit
// histories by hand. As in the models, an access is traced only if the entry's ghost word is set.
#pragma once

#include <deque>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "models/cpu/events.hpp"
#include "models/devices/events.hpp"
#include "models/memory/events.hpp"
#include "models/mm/events.hpp"
#include "notifier/events.hpp"
#include "notifier/substrate/sync/events.hpp"
#include "sim/oracle/oracle.hpp"

namespace secmmu::testing {

struct Entry {
  Ghost ghost;
  std::string_view device;
  int core = -1;
  Vpn page;
  Pfn pfn;
  bool writable = false;
  std::uint64_t allocation = 0;
  bool live = false;
};

class History {
 public:
  explicit History(OracleOptions options = {}) {
    bus.set_clock([this] {
      now.ps += 10'000;
      return Stamp{now, task, static_cast<int>(task), false, 0};
    });
    run.scenario = "test";
    run.tasks = {{"t0", 0, true}, {"t1", 1, true}, {"gru0.ctx0", -1, true}};
    oracle.attach(bus, run, options);
  }

  Bus bus;
  Time now;
  unsigned task = 0;
  RunDescription run;
  Oracle oracle;
  std::deque<Entry> entries;
  struct Pte {
    Pfn pfn = kNoPfn;
    bool writable = false;
  };
  std::map<std::uint64_t, Pte> table;
  std::map<std::uint64_t, std::uint64_t> allocations;  // of frames in use
  std::uint64_t next_allocation = 1;
  std::uint64_t next_range = 1;
  std::uint64_t next_serial = 1;
  std::map<std::uint64_t, PageRange> ranges;
  std::map<std::string_view, std::uint64_t> serials;

  History& by(unsigned who) {
    task = who;
    return *this;
  }

  void alloc(std::uint64_t pfn, std::string_view owner = "app") {
    allocations[pfn] = next_allocation;
    bus.emit(FrameAllocated{{pfn}, next_allocation++, "anon", owner, 0});
  }
  void free(std::uint64_t pfn) {
    bus.emit(FrameFreed{{pfn}, allocations[pfn], "anon", 0});
    allocations.erase(pfn);
  }
  void pte(std::uint64_t page, Pfn pfn, bool writable, std::string_view why = "zap") {
    Pte& old = table[page];
    const PteChanged change{"app", 1, {page}, old.pfn, old.writable, pfn, writable, why};
    old = {pfn, writable};
    bus.emit(change);
  }
  void map(std::uint64_t page, std::uint64_t pfn, bool writable = true) { pte(page, {pfn}, writable, "fault"); }
  void clear(std::uint64_t page) { pte(page, kNoPfn, false); }

  void enroll(std::string_view device) {
    serials[device] = next_serial;
    bus.emit(Registered{"app", 1, device, next_serial++});
  }
  std::uint64_t announce(std::uint64_t first, std::uint64_t end, bool blockable = true) {
    const std::uint64_t id = next_range++;
    ranges[id] = {{first}, {end}};
    bus.emit(InvalidateStart{"app", 1, id, ranges[id], InvalidateEvent::unmap, blockable});
    return id;
  }
  void begin(std::string_view device, Callback callback, PageRange pages, std::uint64_t id = 0) {
    bus.emit(CallbackBegin{"app", 1, device, serials[device], callback, pages, id});
  }
  void end(std::string_view device, Callback callback, PageRange pages, std::uint64_t id = 0,
           Errno result = Errno::ok) {
    bus.emit(CallbackEnd{"app", 1, device, serials[device], callback, pages, id, result, false});
  }
  void told(std::uint64_t id, Errno result = Errno::ok) { bus.emit(InvalidateStarted{"app", 1, id, result}); }
  void ending(std::uint64_t id) { bus.emit(InvalidateEnd{"app", 1, id, ranges[id]}); }
  void ended(std::uint64_t id) { bus.emit(InvalidateEnded{"app", 1, id}); }
  // Start, with this device called; it zaps what it is told to.
  std::uint64_t start(std::uint64_t first, std::uint64_t last, std::string_view device = "gru0",
                      const std::vector<Entry*>& zap = {}, Errno result = Errno::ok) {
    const std::uint64_t id = announce(first, last);
    begin(device, Callback::start, ranges[id], id);
    for (Entry* entry : zap) drop(*entry);
    end(device, Callback::start, ranges[id], id, result);
    told(id);
    return id;
  }
  void finish_range(std::uint64_t id, std::string_view device = "gru0") {
    ending(id);
    begin(device, Callback::end, ranges[id], id);
    end(device, Callback::end, ranges[id], id);
    ended(id);
  }

  std::uint64_t allocation_of(Pfn pfn) const {  // 0: it is free
    const auto found = allocations.find(pfn.value);
    return found == allocations.end() ? 0 : found->second;
  }
  Entry& fill(std::uint64_t page, std::uint64_t pfn, bool writable = true, std::string_view device = "gru0") {
    Entry& entry = slot();
    entry.device = device;
    entry.page = {page};
    entry.pfn = {pfn};
    entry.writable = writable;
    entry.allocation = allocation_of({pfn});
    bus.emit(DeviceFill{device, "app", 1, {page}, {pfn}, writable, &entry.ghost});
    return entry;
  }
  Entry& cpu_fill(int core, std::uint64_t page, std::uint64_t pfn, bool writable = true) {
    Entry& entry = slot();
    entry.core = core;
    entry.page = {page};
    entry.pfn = {pfn};
    entry.writable = writable;
    entry.allocation = allocation_of({pfn});
    bus.emit(CpuTlbFill{core, 1, {page}, {pfn}, writable, &entry.ghost});
    return entry;
  }
  void drop(Entry& entry) {
    entry.live = false;
    if (entry.core >= 0)
      bus.emit(CpuTlbDrop{entry.core, 1, entry.page, entry.pfn, &entry.ghost});
    else
      bus.emit(DeviceDrop{entry.device, "app", 1, entry.page, entry.pfn, &entry.ghost, "purge"});
  }
  void use(Entry& entry, bool write) {
    if (entry.ghost.word == 0) return;
    const VirtAddr address = address_of(entry.page) + 8;
    if (entry.core >= 0)
      bus.emit(CpuMarkedAccess{entry.core, 1, address, entry.pfn, write, 42, &entry.ghost});
    else
      bus.emit(DeviceMarkedAccess{entry.device, "app", 1, address, entry.pfn, write, 42, &entry.ghost});
  }

  void enter(std::string_view call, PageRange pages = {{0}, {16}}) { bus.emit(SyscallBegin{"app", 1, call, pages}); }
  void leave(std::string_view call) { bus.emit(SyscallEnd{"app", 1, call, "ok"}); }
  void handled(std::uint64_t page) { bus.emit(FaultHandled{"app", 1, {page}, true, "cow_copy"}); }

  // Names of the rules that were broken, in order, with a blank between.
  std::string broken() const {
    std::string names;
    for (const Violation& violation : oracle.violations()) names += (names.empty() ? "" : " ") + violation.rule;
    return names;
  }
  std::string found() const {
    std::string names;
    for (const Finding& finding : oracle.findings()) names += (names.empty() ? "" : " ") + finding.rule;
    return names;
  }
  void over(bool complete = true) { oracle.finish({now, complete}); }

 private:
  Entry& slot() {
    entries.emplace_back();
    entries.back().live = true;
    return entries.back();
  }
};

}  // namespace secmmu::testing
