// Tracepoints of the memory manager.
#pragma once

#include <string>
#include <string_view>

#include "notifier/substrate/trace/event.hpp"

namespace secmmu {

struct SyscallBegin {
  static constexpr std::string_view kName = "sys_enter";
  static constexpr std::string_view kAbout = "A system call that changes an address space began.";
  std::string_view mm;
  std::uint32_t mm_id;
  std::string_view call;  // munmap, mprotect, ...
  PageRange pages;
  template <class V>
  void describe(V& visit) const {
    visit("mm", mm);
    visit("call", call);
    visit("pages", pages);
  }
};
struct SyscallEnd {
  static constexpr std::string_view kName = "sys_exit";
  static constexpr std::string_view kAbout = "A system call returned.";
  std::string_view mm;
  std::uint32_t mm_id;
  std::string_view call;
  std::string_view result;
  template <class V>
  void describe(V& visit) const {
    visit("mm", mm);
    visit("call", call);
    visit("result", result);
  }
};
// A PTE got a new value. pfn fields are kNoPfn where nothing is mapped.
struct PteChanged {
  static constexpr std::string_view kName = "pte_change";
  static constexpr std::string_view kAbout = "The kernel wrote a page-table entry.";
  std::string_view mm;
  std::uint32_t mm_id;
  Vpn page;
  Pfn old_pfn;
  bool old_writable;
  Pfn new_pfn;
  bool new_writable;
  std::string_view why;     // fault, zap, protect, cow, fork, move, collapse, exit
  std::uint64_t pages = 1;  // of a huge page: that many, with as many frames
  template <class V>
  void describe(V& visit) const {
    visit("mm", mm);
    visit("page", page);
    visit("old_pfn", old_pfn);
    visit("old_writable", old_writable);
    visit("new_pfn", new_pfn);
    visit("new_writable", new_writable);
    visit("why", why);
    visit("pages", pages);
  }
};
// Not a change of any translation: the same frames, with the same rights.
struct HugeSplit {
  static constexpr std::string_view kName = "huge_split";
  static constexpr std::string_view kAbout = "A huge entry gave way to a table of small ones.";
  std::string_view mm;
  std::uint32_t mm_id;
  PageRange pages;
  template <class V>
  void describe(V& visit) const {
    visit("mm", mm);
    visit("pages", pages);
  }
};
struct MmCreated {
  static constexpr std::string_view kName = "mm_create";
  static constexpr std::string_view kAbout = "An address space came to be.";
  std::string_view mm;
  std::uint32_t mm_id;
  template <class V>
  void describe(V& visit) const {
    visit("mm", mm);
    visit("mm_id", static_cast<std::uint64_t>(mm_id));
  }
};
struct MmFreed {
  static constexpr std::string_view kName = "mm_free";
  static constexpr std::string_view kAbout = "The last reference to an address space's structure was dropped.";
  std::string_view mm;
  std::uint32_t mm_id;
  std::int64_t users;
  template <class V>
  void describe(V& visit) const {
    visit("mm", mm);
    visit("users", users);
  }
};
struct VmaMapped {
  static constexpr std::string_view kName = "vma_map";
  static constexpr std::string_view kAbout = "A range was mapped, or its rights were changed.";
  std::string_view mm;
  std::uint32_t mm_id;
  PageRange pages;
  std::string_view rights;  // "rw-"
  bool shared;
  template <class V>
  void describe(V& visit) const {
    visit("mm", mm);
    visit("pages", pages);
    visit("rights", rights);
    visit("shared", shared);
  }
};
struct VmaUnmapped {
  static constexpr std::string_view kName = "vma_unmap";
  static constexpr std::string_view kAbout = "A range was taken out of the address space.";
  std::string_view mm;
  std::uint32_t mm_id;
  PageRange pages;
  template <class V>
  void describe(V& visit) const {
    visit("mm", mm);
    visit("pages", pages);
  }
};
struct FaultHandled {
  static constexpr std::string_view kName = "fault_handled";
  static constexpr std::string_view kAbout = "The kernel resolved a fault, or could not.";
  std::string_view mm;
  std::uint32_t mm_id;
  Vpn page;
  bool write;
  std::string_view how;  // zero_page, new_page, huge_zero_page, huge_page, cow_copy, cow_reuse, shared, ...
  template <class V>
  void describe(V& visit) const {
    visit("mm", mm);
    visit("page", page);
    visit("write", write);
    visit("how", how);
  }
};
struct MmapLockWanted {
  static constexpr std::string_view kName = "mmap_lock";
  static constexpr std::string_view kAbout = "State of an mm's mmap lock: free, read or write.";
  std::string_view mm;
  std::uint32_t mm_id;
  std::string_view state;
  template <class V>
  void describe(V& visit) const {
    visit("mm", mm);
    visit("state", state);
  }
};

}  // namespace secmmu
