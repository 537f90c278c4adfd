// A subscriber of the interval kind (Linux's struct mmu_interval_notifier, v5.5 on): it hears of
// invalidations that overlap its bytes, and of nothing else; there is no end callback. How a driver uses it:
//
//   repeat:  sequence = core.read_begin(sub)        waits while the mm is invalidating what sub covers
//            look at the page table (mmap_lock)
//            take the driver's lock
//            core.read_retry(sub, sequence)?        yes: give the lock back and repeat
//            fill the device's table, give the lock back
//
//   invalidate():  take the driver's lock           only try it if the range may not block
//                  core.set_sequence(sub, sequence)
//                  drop the translations, give the lock back
//
// The object must live until interval_remove() returned; in kernels where that returns too early (v5.5 to
// v5.17) the model still needs it until the open ranges have ended, to be able to tell.
#pragma once

#include <cstdint>
#include <string>

#include "notifier/intervals/interval_tree.hpp"
#include "notifier/range.hpp"
#include "notifier/substrate/address.hpp"

namespace secmmu {

class AddressSpace;

class IntervalSubscription {
 public:
  virtual ~IntervalSubscription() = default;

  virtual const std::string& name() const = 0;  // of the device
  // Drop what overlaps the range, after set_sequence(sequence). May sleep if the range is blockable; only
  // otherwise may it answer false: "I would have to wait". The end of the mm calls it once over everything.
  virtual bool invalidate(const InvalidateRange& range, std::uint64_t sequence) = 0;

  AddressSpace* mm() const { return mm_; }  // while inserted
  VirtAddr first() const { return first_; }  // first byte
  VirtAddr last() const { return last_; }    // last byte: it belongs to the interval
  std::uint64_t serial() const { return serial_; }  // of the insertion; 0: never inserted
  // Part of its owner's reset: as if it had never been inserted.
  void forget_registration();

 private:
  friend class NotifierCore;
  friend class Intervals;
  // A change of the tree has to wait while an invalidation walks it.
  enum class Place { outside, inserting, inside, removing };

  AddressSpace* mm_ = nullptr;
  VirtAddr first_{0};
  VirtAddr last_{0};
  std::uint64_t sequence_ = 0;  // of the last invalidation that hit it: always odd
  std::uint64_t serial_ = 0;
  IntervalTree<IntervalSubscription>::Handle node_{};
  Place place_ = Place::outside;
};

}  // namespace secmmu
