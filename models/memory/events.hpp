// Tracepoints of physical memory.
#pragma once

#include <string_view>

#include "notifier/substrate/trace/event.hpp"

namespace secmmu {

struct FrameAllocated {
  static constexpr std::string_view kName = "frame_alloc";
  static constexpr std::string_view kAbout = "A frame got a new owner.";
  Pfn pfn;
  std::uint64_t allocation;
  std::string_view use;
  std::string_view owner;
  std::uint64_t free_left;
  std::uint64_t pages = 1;  // of a huge page: that many, from pfn on
  template <class V>
  void describe(V& visit) const {
    visit("pfn", pfn);
    visit("allocation", allocation);
    visit("use", use);
    visit("owner", owner);
    visit("free", free_left);
    visit("pages", pages);
  }
};
struct FrameFreed {
  static constexpr std::string_view kName = "frame_free";
  static constexpr std::string_view kAbout = "A frame's last reference was dropped: it goes back to the allocator.";
  Pfn pfn;
  std::uint64_t allocation;
  std::string_view use;
  std::uint64_t free_left;
  std::uint64_t pages = 1;  // of a huge page: that many, from pfn on
  template <class V>
  void describe(V& visit) const {
    visit("pfn", pfn);
    visit("allocation", allocation);
    visit("use", use);
    visit("free", free_left);
    visit("pages", pages);
  }
};

}  // namespace secmmu
