// The notifier core: our mmu_notifier. mm/ operations call the announcing half, drivers the registering
// half. One object serves all address spaces of a machine, because its read sections are one global
// domain, as in Linux.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "notifier/address_space.hpp"
#include "notifier/behaviour.hpp"
#include "notifier/list_subscription.hpp"
#include "notifier/substrate/sync/rcu.hpp"
#include "notifier/substrate/sync/spinlock.hpp"

namespace secmmu {

struct NotifierCosts {
  Time list_step{4'000};       // one step along the list of subscribers
  Time callback_call{6'000};   // an indirect call and its return
  Time register_all{3'000'000};  // the allocation and the rest of a registration, beside its locks
};
const ParameterTable<NotifierCosts>& notifier_cost_table();

// The subscriptions of one address space (Linux's struct mmu_notifier_subscriptions).
class Subscriptions {
 public:
  Subscriptions(Arbiter& arbiter, const AddressSpace& mm);
  bool empty() const { return list.empty(); }

  SpinLock lock;                        // guards the list, as in Linux: held only for edits
  std::vector<ListSubscription*> list;  // in order of calls: the last registered first
  std::uint64_t open_ranges = 0;        // for waveforms and statistics only
  std::uint64_t edits = 0;              // so that a walk notices that the list changed under it
};

class NotifierCore {
 public:
  // `rcu_worker` and `srcu_worker` run the callbacks of the two read-section domains.
  NotifierCore(Arbiter& arbiter, Task& rcu_worker, Task& srcu_worker);

  NotifierCosts costs;
  void set_behaviour(NotifierBehaviour behaviour) { behaviour_ = std::move(behaviour); }
  const NotifierBehaviour& behaviour() const { return behaviour_; }
  void reset();

  // --- the driver's half ---
  // Takes mmap_lock for write. EINTR (signal while all locks are taken), ENOMEM. May sleep. mm_users > 0.
  Errno register_subscription(ListSubscription& subscription, AddressSpace& mm);
  Errno register_locked(ListSubscription& subscription, AddressSpace& mm);  // mmap_lock held for write
  // Calls release if it has not run, unlinks, waits for a grace period, drops mm_count. May sleep: never
  // from one of its own callbacks (it would wait for the section that it runs in).
  void unregister(ListSubscription& subscription, AddressSpace& mm);
  // v5.4 on. The subscription that `make` returns is found again by its key (one per key and mm): users
  // are counted; mmap_lock held for write.
  Errno get_locked(const void* key, AddressSpace& mm, const std::function<ListSubscription*()>& make,
                   ListSubscription*& result);
  void put(ListSubscription& subscription);  // never calls release; frees after a grace period
  // Waits for callbacks that were running.
  void synchronize();

  // --- the mm's half ---
  bool has_notifiers(const AddressSpace& mm) const { return mm.subscriptions != nullptr; }
  // Only a non-blockable start may fail (EAGAIN); then the caller changes nothing and calls no end.
  Errno invalidate_range_start(InvalidateRange& range);
  void invalidate_range_end(InvalidateRange& range);
  void invalidate_page(AddressSpace& mm, Vpn page);
  void change_pte(AddressSpace& mm, Vpn page, Pfn frame, bool writable);
  bool clear_flush_young(AddressSpace& mm, PageRange pages);
  bool clear_young(AddressSpace& mm, PageRange pages);
  bool test_young(AddressSpace& mm, Vpn page);
  void arch_invalidate_secondary_tlbs(AddressSpace& mm, PageRange pages);
  // exit_mmap: mm_users is 0, nothing is unmapped yet.
  void release(AddressSpace& mm);
  // mm_count is 0: the structure goes.
  void destroy(AddressSpace& mm);

  Rcu& rcu() { return rcu_; }
  SrcuDomain& srcu() { return srcu_; }

 private:
  std::uint64_t read_lock();
  void read_unlock(std::uint64_t section);
  void read_synchronize();

  Arbiter& arbiter_;
  NotifierBehaviour behaviour_;
  Rcu rcu_;
  SrcuDomain srcu_;
  std::uint64_t next_range_ = 1;
  std::uint64_t next_serial_ = 1;
};

}  // namespace secmmu
