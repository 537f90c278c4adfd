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
//   arch_invalidate_secondary_tlbs  v6.6 on      no             with each flush of the CPUs' TLBs
//   * never in a range that is not blockable: then start answers EAGAIN instead of waiting.
#pragma once

#include <string>

#include "notifier/errno.hpp"
#include "notifier/range.hpp"

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
  secondary_tlbs,
};
std::string_view callback_name(Callback callback);

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

class ListSubscription {
 public:
  virtual ~ListSubscription() = default;

  virtual const std::string& name() const = 0;      // of the device: "gru0"
  virtual CallbackSet callbacks() const = 0;        // those that the driver has; the others are never called

  virtual void release(AddressSpace&) {}
  virtual bool clear_flush_young(AddressSpace&, PageRange) { return false; }
  virtual bool clear_young(AddressSpace&, PageRange) { return false; }
  virtual bool test_young(AddressSpace&, Vpn) { return false; }
  virtual void change_pte(AddressSpace&, Vpn, Pfn, bool /*writable*/) {}
  virtual void invalidate_page(AddressSpace&, Vpn) {}
  virtual Errno invalidate_range_start(const InvalidateRange&) { return Errno::ok; }
  virtual void invalidate_range_end(const InvalidateRange&) {}
  virtual void arch_invalidate_secondary_tlbs(AddressSpace&, PageRange) {}
  // v5.4 on, for get and put: the last user is gone and a grace period has passed; the driver frees it.
  virtual void free_notifier() {}

 private:
  friend class NotifierCore;
  friend class Subscriptions;
  AddressSpace* mm_ = nullptr;    // set while registered (and until freed)
  bool hashed_ = false;           // linked into the list, as a hlist node knows it
  std::uint64_t users_ = 0;       // get and put
  std::uint64_t serial_ = 0;      // of the registration, for events
};

}  // namespace secmmu
