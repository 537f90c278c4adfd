// Tracepoints that every secondary MMU has. The oracle knows devices by these only.
#pragma once

#include <string_view>

#include "notifier/substrate/errno.hpp"
#include "notifier/substrate/trace/bus.hpp"
#include "notifier/substrate/trace/event.hpp"
#include "notifier/substrate/trace/ghost.hpp"

namespace secmmu {

// A translation became reachable for the device's lookups.
struct DeviceFill {
  static constexpr std::string_view kName = "device_fill";
  static constexpr std::string_view kAbout = "A device took a translation: from here on its lookups find it.";
  std::string_view device;
  std::string_view mm;
  std::uint32_t mm_id;
  Vpn page;
  Pfn pfn;
  bool writable;
  const Ghost* ghost;  // of the entry: identifies it until DeviceDrop
  template <class V>
  void describe(V& visit) const {
    visit("device", device);
    visit("mm", mm);
    visit("page", page);
    visit("pfn", pfn);
    visit("writable", writable);
  }
};
// A translation is no longer reachable: zapped, evicted, replaced, or its whole table or ASID was retired.
struct DeviceDrop {
  static constexpr std::string_view kName = "device_drop";
  static constexpr std::string_view kAbout = "A device lost a translation.";
  std::string_view device;
  std::string_view mm;
  std::uint32_t mm_id;
  Vpn page;
  Pfn pfn;
  const Ghost* ghost;
  std::string_view why;  // purge, evict, retire, zap, replace
  template <class V>
  void describe(V& visit) const {
    visit("device", device);
    visit("mm", mm);
    visit("page", page);
    visit("pfn", pfn);
    visit("why", why);
  }
};
// An access through a translation whose ghost word is set. Other hits are counted, not traced.
struct DeviceMarkedAccess {
  static constexpr std::string_view kName = "device_access";
  static constexpr std::string_view kAbout = "A device used a translation that a sink had marked (watched or illegal).";
  std::string_view device;
  std::string_view mm;
  std::uint32_t mm_id;
  VirtAddr address;
  Pfn pfn;
  bool write;
  std::uint64_t value;  // what the access saw or wrote
  const Ghost* ghost;
  // Marked for everybody: the oracle takes it for illegal, or a scenario watches it.
  bool is_for_traces() const { return (ghost->word & (Ghost::kIllegal | Ghost::kWatched)) != 0; }
  template <class V>
  void describe(V& visit) const {
    visit("device", device);
    visit("mm", mm);
    visit("address", address);
    visit("pfn", pfn);
    visit("write", write);
    visit("value", value);
  }
};
// What a sink has marked for its own purposes only it hears of; no trace shows that.
inline void tell_marked(Bus& bus, const DeviceMarkedAccess& access) {
  if (access.is_for_traces())
    bus.emit(access);
  else
    bus.tell(access);
}
// Every access of a device, at its end. Told only to who listens to this kind: traces show faults, not accesses.
struct DeviceAccessEnd {
  static constexpr std::string_view kName = "device_access_end";
  static constexpr std::string_view kAbout =
      "A device's access ended: with a hit, after a fault, or with an error. Never in a trace.";
  std::string_view device;
  std::string_view mm;
  std::uint32_t mm_id;
  VirtAddr address;
  bool write;
  bool faulted;         // it missed at first; false: a translation that the device held served it
  std::uint64_t value;  // what it saw or wrote; means nothing with an error
  Errno result;
  template <class V>
  void describe(V& visit) const {
    visit("device", device);
    visit("mm", mm);
    visit("address", address);
    visit("write", write);
    visit("faulted", faulted);
    visit("value", value);
    visit("result", errno_name(result));
  }
};
// A device's access missed: its fault begins. Ends with DeviceFaultEnd; in between it may retry.
struct DeviceFaultBegin {
  static constexpr std::string_view kName = "device_fault_begin";
  static constexpr std::string_view kAbout = "A device's access found no translation; its fault begins.";
  std::string_view device;
  std::string_view mm;
  std::uint32_t mm_id;
  std::uint64_t id;  // of the fault
  Vpn page;
  bool write;
  template <class V>
  void describe(V& visit) const {
    visit("device", device);
    visit("mm", mm);
    visit("fault", id);
    visit("page", page);
    visit("write", write);
  }
};
struct DeviceFaultRetry {
  static constexpr std::string_view kName = "device_fault_retry";
  static constexpr std::string_view kAbout = "A device's fault could not be completed and begins again.";
  std::string_view device;
  std::string_view mm;
  std::uint32_t mm_id;
  std::uint64_t id;
  Vpn page;
  std::string_view why;  // range_active, purged, not_present, mmap_lock, ...
  template <class V>
  void describe(V& visit) const {
    visit("device", device);
    visit("mm", mm);
    visit("fault", id);
    visit("page", page);
    visit("why", why);
  }
};
struct DeviceFaultEnd {
  static constexpr std::string_view kName = "device_fault_end";
  static constexpr std::string_view kAbout = "A device's fault ended: with a translation, or with an error.";
  std::string_view device;
  std::string_view mm;
  std::uint32_t mm_id;
  std::uint64_t id;
  Vpn page;
  Errno result;
  template <class V>
  void describe(V& visit) const {
    visit("device", device);
    visit("mm", mm);
    visit("fault", id);
    visit("page", page);
    visit("result", errno_name(result));
  }
};
// A purge or shootdown of the device: begin and acknowledgement.
struct DevicePurgeBegin {
  static constexpr std::string_view kName = "device_purge";
  static constexpr std::string_view kAbout = "A driver asked its device to drop a range of translations.";
  std::string_view device;
  std::string_view mm;
  std::uint32_t mm_id;
  std::uint64_t id;
  PageRange pages;
  template <class V>
  void describe(V& visit) const {
    visit("device", device);
    visit("mm", mm);
    visit("purge", id);
    visit("pages", pages);
  }
};
struct DevicePurgeEnd {
  static constexpr std::string_view kName = "device_purge_ack";
  static constexpr std::string_view kAbout = "The device acknowledged a purge.";
  std::string_view device;
  std::string_view mm;
  std::uint32_t mm_id;
  std::uint64_t id;
  template <class V>
  void describe(V& visit) const {
    visit("device", device);
    visit("mm", mm);
    visit("purge", id);
  }
};
// The driver's count of open ranges for this mm changed.
struct DeviceRangeActive {
  static constexpr std::string_view kName = "device_range_active";
  static constexpr std::string_view kAbout = "A driver's count of open invalidations changed.";
  std::string_view device;
  std::string_view mm;
  std::uint32_t mm_id;
  std::int64_t active;
  template <class V>
  void describe(V& visit) const {
    visit("device", device);
    visit("mm", mm);
    visit("active", active);
  }
};
// What an engine (a context, a vCPU) does now: for waveforms.
struct DeviceState {
  static constexpr std::string_view kName = "device_state";
  static constexpr std::string_view kAbout = "A device context changed its state.";
  std::string_view device;
  unsigned context;
  std::string_view state;  // idle, running, fault, call_os, halted
  template <class V>
  void describe(V& visit) const {
    visit("device", device);
    visit("context", context);
    visit("state", state);
  }
};
// Where a device promises that nothing of an mm is reachable any more.
struct DeviceDetached {
  static constexpr std::string_view kName = "device_detach";
  static constexpr std::string_view kAbout = "A device declared that it holds nothing of this mm any more.";
  std::string_view device;
  std::string_view mm;
  std::uint32_t mm_id;
  template <class V>
  void describe(V& visit) const {
    visit("device", device);
    visit("mm", mm);
  }
};

// The module that holds a device's driver was unloaded: no code of it is there any more.
struct DriverGone {
  static constexpr std::string_view kName = "driver_gone";
  static constexpr std::string_view kAbout = "A driver's module was unloaded: whoever calls into it jumps into freed memory.";
  std::string_view device;
  template <class V>
  void describe(V& visit) const {
    visit("device", device);
  }
};

}  // namespace secmmu
