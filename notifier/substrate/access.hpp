// What a scheduling point touches: one access to one object that another task could observe. A timed run
// needs only the cost of a step; a search over interleavings needs to know which steps can be swapped
// without anyone noticing, and that is decided by these. Statistics and ghost state are never objects.
#pragma once

#include <cstdint>

namespace secmmu {

enum class ObjectKind : std::uint8_t {
  none,           // private to the task: another task cannot see it
  lock,           // spinlock, mutex, rw-semaphore
  pte,            // owner: mm, key: page
  device_entry,   // owner: device, key: page
  frame_bytes,    // key: pfn
  frame_state,    // key: pfn; reference count, free or not
  allocator,      // the free list
  invalidation,   // owner: mm; open ranges, sequence
  subscriptions,  // owner: mm; the list or the tree
  read_section,   // RCU, SRCU
  wait_queue,
  reference_count,
  interrupt,      // owner: core
  device_state,   // owner: device; registers, fault handles, counters of the driver
};

struct Access {
  ObjectKind kind = ObjectKind::none;
  bool write = false;
  std::uint32_t owner = 0;
  std::uint64_t key = 0;
};

constexpr Access reads(ObjectKind kind, std::uint32_t owner = 0, std::uint64_t key = 0) {
  return {kind, false, owner, key};
}
constexpr Access writes(ObjectKind kind, std::uint32_t owner = 0, std::uint64_t key = 0) {
  return {kind, true, owner, key};
}

// Two accesses that may not be swapped without somebody being able to tell.
constexpr bool conflict(const Access& a, const Access& b) {
  return a.kind == b.kind && a.kind != ObjectKind::none && a.owner == b.owner && a.key == b.key && (a.write || b.write);
}

}  // namespace secmmu
