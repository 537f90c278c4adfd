// The interval subscriptions of one address space (Linux's has_itree half of mmu_notifier_subscriptions).
// All of it under Subscriptions::lock, except that the tree is walked without: while `sequence` is odd
// somebody walks, and nobody changes the tree. Changes that come meanwhile are deferred.
//
// The sequence starts even. A range that hits something makes it odd; the end of the last open range of the
// mm, whichever that is, makes it even again, carries out what was deferred, and wakes those who wait.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "notifier/address_space.hpp"
#include "notifier/intervals/interval_subscription.hpp"
#include "notifier/intervals/interval_tree.hpp"
#include "notifier/subscriptions.hpp"
#include "notifier/substrate/sync/wait_queue.hpp"

namespace secmmu {

class Intervals {
 public:
  Intervals(Arbiter& arbiter, const AddressSpace& mm);

  // Plain data operations: the core announces the scheduling points around them.
  bool invalidating() const { return (sequence & 1) != 0; }
  void insert(IntervalSubscription& subscription);
  void erase(IntervalSubscription& subscription);

  std::uint64_t sequence = 2;
  std::uint64_t active = 0;  // open ranges of the mm
  IntervalTree<IntervalSubscription> tree;
  std::vector<IntervalSubscription*> deferred;  // each knows whether it is coming or going
  WaitQueue sequence_changed;
};

// nullptr: nobody has ever inserted an interval into this mm.
inline Intervals* intervals_of(const AddressSpace& mm) {
  return mm.subscriptions == nullptr ? nullptr : mm.subscriptions->intervals.get();
}

// The bytes that a range of pages covers: the last one belongs to it.
constexpr std::uint64_t first_byte(PageRange pages) { return address_of(pages.first).value; }
constexpr std::uint64_t last_byte(PageRange pages) {
  return pages == kWholeSpace ? UINT64_MAX : address_of(pages.end).value - 1;
}

}  // namespace secmmu
