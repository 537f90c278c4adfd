// A subscriber of the list kind (Linux's struct mmu_notifier): what a driver implements and registers on
// an address space. Which callbacks exist, with which context and result, depends on the kernel:
//
//   callback                        kernels      may sleep      called
//   release                         all          from v3.7      when the mm goes, or at unregister
//   clear_flush_young               all          no             reclaim ages a page (by range from v3.18)
//   clear_young                     v4.3 on      no             ageing that needs no device TLB flush
//   test_young                      v2.6.38 on   no             "was it used?": the first yes ends the question
//   change_pte                      v2.6.32-6.9  no             a PTE gets another frame; until v3.6
//                                                               a subscriber without it gets invalidate_page
//   invalidate_page                 up to v4.12  from v3.7      one PTE was cleared, its frame is still held
//   invalidate_range_start, _end    all          from v3.7 *    before the first PTE changes, after the last
//   invalidate_range                v3.19-6.5    no            after a TLB flush, before the pages go; and at end
//   arch_invalidate_secondary_tlbs  v6.6 on      no             with each flush of the CPUs' TLBs
//   * never in a range that is not blockable: then start answers EAGAIN instead of waiting.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include "notifier/range.hpp"
#include "notifier/substrate/errno.hpp"

namespace secmmu {

class AddressSpace;

enum class Callback {
  release,
  clear_flush_young,
  clear_young,
  test_young,
  change_pte,
  invalidate_page,
  start,
  end,
  invalidate_range,
  secondary_tlbs,
  interval_invalidate,  // of an interval subscription
  free_notifier,        // its own end, after the last put and a grace period
};
std::string_view callback_name(Callback callback);
Callback callback_named(std::string_view name);
struct NotifierBehaviour;
bool calls(const NotifierBehaviour& kernel, Callback callback);  // that kernel has this callback

// A set of callbacks, as a bit mask.
class CallbackSet {
 public:
  constexpr CallbackSet() = default;
  constexpr CallbackSet(std::initializer_list<Callback> list) {
    for (Callback callback : list) add(callback);
  }
  constexpr void add(Callback callback) { bits_ |= 1u << static_cast<unsigned>(callback); }
  constexpr bool has(Callback callback) const { return (bits_ & (1u << static_cast<unsigned>(callback))) != 0; }

 private:
  unsigned bits_ = 0;
};

// Callbacks run in the task that announces, inside a read section of the notifier core. The object must
// outlive its last grace period, as in Linux: until unregister() returned, or free_notifier() was called.
class ListSubscription {
 public:
  virtual ~ListSubscription() = default;

  virtual const std::string& name() const = 0;  // of the device: "gru0"
  virtual CallbackSet callbacks() const = 0;    // those that the driver has; the others are never called

  // Drop every translation and make no new one. May run twice, and at the same time in two tasks (the end
  // of the mm and unregister), from v3.6 on except in v3.9.
  virtual void release(AddressSpace&) {}
  // "Was any of these pages used since the last question?", and forget it. True: yes.
  virtual bool clear_flush_young(AddressSpace&, PageRange) { return false; }
  virtual bool clear_young(AddressSpace&, PageRange) { return false; }
  virtual bool test_young(AddressSpace&, Vpn) { return false; }  // asks without forgetting
  virtual void change_pte(AddressSpace&, Vpn, Pfn, bool /*writable*/) {}
  virtual void invalidate_page(AddressSpace&, Vpn) {}
  // Before v4.19 the answer does not exist and is ignored. From then on EAGAIN, and only if the range is
  // not blockable; a subscriber that has an end callback must never refuse.
  virtual Errno invalidate_range_start(const InvalidateRange&) { return Errno::ok; }
  virtual void invalidate_range_end(const InvalidateRange&) {}
  virtual void invalidate_range(AddressSpace&, PageRange) {}
  virtual void arch_invalidate_secondary_tlbs(AddressSpace&, PageRange) {}
  // v4.16 to v4.18: the driver promises that neither start, end nor invalidate_range ever blocks.
  virtual bool never_blocks() const { return false; }
  // v5.4 on, for get and put: the last user is gone and a grace period has passed; the driver frees it.
  virtual void free_notifier() {}

  AddressSpace* mm() const { return mm_; }          // while registered, and until freed
  std::uint64_t serial() const { return serial_; }  // of the registration; 0: never registered
  // Part of its owner's reset: as if it had never been registered.
  void forget_registration();

 private:
  friend class NotifierCore;
  friend class Subscriptions;
  // What the node of a kernel list knows of itself. Plain deletion poisons it: it still looks linked, and
  // a second deletion goes wrong.
  enum class Link { unlinked, linked, poisoned };

  AddressSpace* mm_ = nullptr;
  std::string mm_name_;  // outlives the mm, for the event of our own end
  std::uint32_t mm_id_ = 0;
  Link link_ = Link::unlinked;
  ListSubscription* next_ = nullptr;  // stays after unlinking: walkers may stand here
  const void* key_ = nullptr;         // of get; nullptr: came by register
  std::uint64_t users_ = 0;           // get and put
  std::uint64_t serial_ = 0;
};

}  // namespace secmmu
