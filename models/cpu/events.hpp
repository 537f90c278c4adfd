// Tracepoints of cores. Hits are counted, not traced; an access through an entry with a ghost word is.
#pragma once

#include <string_view>

#include "notifier/substrate/trace/event.hpp"
#include "notifier/substrate/trace/ghost.hpp"

namespace secmmu {

struct CpuTlbFill {
  static constexpr std::string_view kName = "cpu_tlb_fill";
  static constexpr std::string_view kAbout = "A core's TLB took a translation from the page table.";
  int core;
  std::uint32_t asid;
  Vpn page;
  Pfn pfn;
  bool writable;
  const Ghost* ghost;  // of the entry; sinks may mark it until the drop
  template <class V>
  void describe(V& visit) const {
    visit("core", core);
    visit("asid", asid);
    visit("page", page);
    visit("pfn", pfn);
    visit("writable", writable);
  }
};
struct CpuTlbDrop {
  static constexpr std::string_view kName = "cpu_tlb_drop";
  static constexpr std::string_view kAbout = "A core's TLB lost a translation: flushed, replaced, or evicted.";
  int core;
  std::uint32_t asid;
  Vpn page;
  Pfn pfn;
  const Ghost* ghost;
  template <class V>
  void describe(V& visit) const {
    visit("core", core);
    visit("asid", asid);
    visit("page", page);
    visit("pfn", pfn);
  }
};
// An access through a TLB entry whose ghost word is set, or any access to a watched page.
struct CpuMarkedAccess {
  static constexpr std::string_view kName = "cpu_access";
  static constexpr std::string_view kAbout = "A core used a translation that a sink had marked (watched or illegal).";
  int core;
  std::uint32_t asid;
  VirtAddr address;
  Pfn pfn;
  bool write;
  std::uint64_t value;
  const Ghost* ghost;
  template <class V>
  void describe(V& visit) const {
    visit("core", core);
    visit("asid", asid);
    visit("address", address);
    visit("pfn", pfn);
    visit("write", write);
    visit("value", value);
  }
};
struct PageFault {
  static constexpr std::string_view kName = "page_fault";
  static constexpr std::string_view kAbout = "A core's access found no usable PTE; the kernel's handler runs.";
  int core;
  std::uint32_t asid;
  VirtAddr address;
  bool write;
  template <class V>
  void describe(V& visit) const {
    visit("core", core);
    visit("asid", asid);
    visit("address", address);
    visit("write", write);
  }
};
struct ShootdownSent {
  static constexpr std::string_view kName = "tlb_shootdown";
  static constexpr std::string_view kAbout = "A core asked others to flush a range of an address space.";
  std::uint64_t id;
  int core;
  std::uint32_t asid;
  PageRange pages;
  std::uint64_t targets;  // bit mask
  template <class V>
  void describe(V& visit) const {
    visit("id", id);
    visit("core", core);
    visit("asid", asid);
    visit("pages", pages);
    visit("targets", targets);
  }
};
struct ShootdownAcked {
  static constexpr std::string_view kName = "tlb_shootdown_ack";
  static constexpr std::string_view kAbout = "A core has flushed what a shootdown asked for.";
  std::uint64_t id;
  int core;
  template <class V>
  void describe(V& visit) const {
    visit("id", id);
    visit("core", core);
  }
};
struct ShootdownDone {
  static constexpr std::string_view kName = "tlb_shootdown_done";
  static constexpr std::string_view kAbout = "Every target of a shootdown has acknowledged.";
  std::uint64_t id;
  int core;
  template <class V>
  void describe(V& visit) const {
    visit("id", id);
    visit("core", core);
  }
};

}  // namespace secmmu
