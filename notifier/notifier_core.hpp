// The notifier core: our mmu_notifier. mm operations call the announcing half, drivers the registering
// half. One object serves all address spaces of a machine, because its read sections are one global
// domain, as in Linux. There is one core for all kernels: what differs is a value in NotifierBehaviour.
//
// Order of calls: the last registered subscriber first, in every callback.
#pragma once

#include <cstdint>
#include <functional>

#include "notifier/address_space.hpp"
#include "notifier/behaviour.hpp"
#include "notifier/intervals/interval_subscription.hpp"
#include "notifier/list_subscription.hpp"
#include "notifier/subscriptions.hpp"
#include "notifier/substrate/parameter.hpp"
#include "notifier/substrate/sync/rcu.hpp"

namespace secmmu {

struct CallbackEnd;

struct NotifierCosts {
  Time list_step{4'000};         // one step along the list of subscribers, one edit of it, one look at it
  Time callback_call{6'000};     // an indirect call and its return
  Time register_all{3'000'000};  // the allocation and the rest of a registration, beside its locks
};
const ParameterTable<NotifierCosts>& notifier_cost_table();

class NotifierCore {
 public:
  // `rcu_worker` and `srcu_worker` run the callbacks of the two read-section domains.
  NotifierCore(Arbiter& arbiter, Task& rcu_worker, Task& srcu_worker);

  // --- configuration: stays over a reset ---
  NotifierCosts costs;
  void set_behaviour(NotifierBehaviour behaviour);
  const NotifierBehaviour& behaviour() const { return behaviour_; }
  // A fault of the environment: true lets an allocation of the core fail (ENOMEM). Empty: none does.
  std::function<bool()> allocation_fails;
  // How far the users of one subscription are counted (UINT_MAX in Linux) before get answers EOVERFLOW.
  std::uint64_t most_users = 0xffff'ffff;

  // A new run: no section, no callback pending, counters from the start. The owners of address spaces and
  // subscriptions drop what they know of registrations themselves (AddressSpace::subscriptions,
  // ListSubscription::forget_registration). Called after Arbiter::reset(), by the director.
  void reset();

  // --- the driver's half ---
  // Takes mmap_lock for write, so nobody who holds it may call. May sleep. mm_users > 0 throughout.
  // EINTR: a signal came while all locks were taken. ENOMEM. EINVAL: a subscriber with both
  // arch_invalidate_secondary_tlbs and start or end (v6.6 on); and, instead of a crash of the kernel,
  // an mm without users or a subscription that is registered already. Whatever the error, nothing has
  // changed, and it is reported unless it is EINTR or ENOMEM.
  Errno register_subscription(ListSubscription& subscription, AddressSpace& mm);
  Errno register_locked(ListSubscription& subscription, AddressSpace& mm);  // mmap_lock held for write
  // Calls release unless the end of the mm has done it, unlinks, waits for a grace period, drops mm_count.
  // The order of the first two depends on the kernel. When it returns no callback runs any more. May sleep:
  // never from one of its own callbacks (it would wait for the section that it runs in). Not for those
  // that came by get.
  void unregister(ListSubscription& subscription, AddressSpace& mm);
  // v3.17 to v5.3. Unlinks and drops mm_count; no release, and no wait: callbacks may still run when it
  // returns, so the memory goes through call_after_grace_period(). May be called from a release callback.
  void unregister_no_release(ListSubscription& subscription, AddressSpace& mm);
  // v3.17 to v5.3, mmu_notifier_call_srcu: `callback` runs in a kernel thread once all sections that are open
  // now are closed. Never sleeps.
  void call_after_grace_period(std::function<void()> callback);
  // What anybody has in every kernel: `callback` runs after a grace period of RCU. Since v3.7 the notifiers'
  // sections are none of RCU's, and it does not wait for them. Never sleeps.
  void call_rcu(std::function<void()> callback) { rcu_.call(std::move(callback)); }
  // v5.4 on. The subscription that `make` returns (nullptr: ENOMEM) is found again by its key, one per key
  // and mm, and its users are counted. mmap_lock held for write; may sleep. EOVERFLOW: too many users; and
  // all errors of register. `result` is set only when the answer is ok.
  Errno get_locked(const void* key, AddressSpace& mm, const std::function<ListSubscription*()>& make,
                   ListSubscription*& result);
  // Gives one get back. The last one unlinks, and after a grace period free_notifier is called and mm_count
  // dropped. Never calls release, never sleeps; may be called from a release callback.
  void put(ListSubscription& subscription);
  // --- the driver's half, interval subscriptions (v5.5 on) ---
  // Covers the bytes [first, first + length). Takes mmap_lock for write if the mm has no subscriptions yet;
  // may sleep. EOVERFLOW: no bytes, or beyond the end of the address space. EINVAL: the mm has no users.
  // ENOMEM and EINTR as in a registration. While a range is open the insertion may be put off to its end.
  Errno interval_insert(IntervalSubscription& subscription, AddressSpace& mm, VirtAddr first, std::uint64_t length);
  // The same with mmap_lock held for write.
  Errno interval_insert_locked(IntervalSubscription& subscription, AddressSpace& mm, VirtAddr first,
                               std::uint64_t length);
  // When it returns nobody calls the subscription any more. Waits while the tree is being walked, so never
  // from a callback, nor with a lock that a callback needs. Gives mm_count back.
  void interval_remove(IntervalSubscription& subscription);
  // Waits until no invalidation of these bytes is under way (or, while one is, of any of the mm). May sleep.
  std::uint64_t read_begin(IntervalSubscription& subscription);
  // True: an invalidation came since read_begin, begin again. With the driver's lock held.
  bool read_retry(const IntervalSubscription& subscription, std::uint64_t sequence);
  // The same without the lock, so only a hint: true is final, false may be old news at once.
  bool check_retry(const IntervalSubscription& subscription, std::uint64_t sequence);
  // In invalidate(), with the driver's lock held: makes every earlier reader begin again.
  void set_sequence(IntervalSubscription& subscription, std::uint64_t sequence);

  // mmu_notifier_synchronize, v3.17 on. Up to v5.3 it waits until every delayed free has run; since then
  // only for the sections that are open, although its description still promises the former. May sleep.
  void synchronize();
  // The driver gives the subscription's memory back (after unregister; put says it itself): for the oracle.
  void note_freed(const ListSubscription& subscription);

  // --- the mm's half ---
  // Asking for something that the kernel at hand does not have throws AbsentInKernel, on both halves.
  //
  // Stays true after the last unregister. The functions below look themselves; start and end leave their
  // events even when nobody listens.
  bool has_notifiers(const AddressSpace& mm) const { return mm.subscriptions != nullptr; }
  // Before the first PTE of the range changes; end after the last. Pairs may nest and overlap. May sleep
  // if the range is blockable. Only a non-blockable start (v4.19 on) may fail, with EAGAIN: then the caller
  // changes nothing and calls no end. Sets range.id.
  Errno invalidate_range_start(InvalidateRange& range);
  // Calls invalidate_range too, where the kernel has that callback.
  void invalidate_range_end(InvalidateRange& range);
  // v4.15 to v6.5: for who has called invalidate_range itself.
  void invalidate_range_only_end(InvalidateRange& range);
  void invalidate_range(AddressSpace& mm, PageRange pages);  // v3.19 to v6.5; never sleeps
  // v4.16 to v4.18: somebody may block in start or end, so who must not wait keeps away from this mm.
  bool has_blockable_notifiers(AddressSpace& mm);
  void invalidate_page(AddressSpace& mm, Vpn page);  // up to v4.12: the PTE is cleared, the frame still held
  void change_pte(AddressSpace& mm, Vpn page, Pfn frame, bool writable);  // v2.6.32 to v6.9
  // Ageing; under the page-table lock, so never sleeps. True: somebody used it. Up to v3.17 only the first
  // page of `pages` is asked about.
  bool clear_flush_young(AddressSpace& mm, PageRange pages);
  bool clear_young(AddressSpace& mm, PageRange pages);                     // v4.3 on
  bool test_young(AddressSpace& mm, Vpn page);                             // v2.6.38 on; the first yes ends the walk
  void arch_invalidate_secondary_tlbs(AddressSpace& mm, PageRange pages);  // v6.6 on; never sleeps
  // exit_mmap: mm_users is 0, nothing is unmapped yet. When it returns every subscriber has been released
  // and unlinked, and no callback runs. May sleep.
  void release(AddressSpace& mm);
  // mm_count is 0: the structure goes.
  void destroy(AddressSpace& mm);

  Rcu& rcu() { return rcu_; }
  SrcuDomain& srcu() { return srcu_; }

 private:
  // read sections of the kernel at hand
  std::uint64_t read_lock();
  void read_unlock(std::uint64_t section);
  void read_synchronize();
  void after_grace_period(std::function<void()> callback);

  // the list; each is a scheduling point
  bool anybody_to_tell(AddressSpace& mm, bool look_at_list);
  ListSubscription* first(const AddressSpace& mm);
  ListSubscription* next(const AddressSpace& mm, const ListSubscription& entry);
  bool looks_linked(const AddressSpace& mm, const ListSubscription& subscription);
  void link(AddressSpace& mm, ListSubscription& subscription);                // list lock held
  void unlink(AddressSpace& mm, ListSubscription& subscription, bool copes);  // list lock held

  // the two sides of every callback
  CallbackEnd enter(const ListSubscription& subscription, const AddressSpace& mm, Callback callback, PageRange pages,
                    std::uint64_t range_id);
  void leave(const CallbackEnd& end);

  Errno allocate(const AddressSpace& mm, std::unique_ptr<Subscriptions>& fresh);
  bool acceptable(const ListSubscription& subscription, const AddressSpace& mm);
  Errno add(ListSubscription* subscription, AddressSpace& mm, std::unique_ptr<Subscriptions> spare);
  ListSubscription* find(const void* key, AddressSpace& mm, Errno& answer);
  void call_release(ListSubscription& subscription, AddressSpace& mm);
  void release_then_unlink(AddressSpace& mm);
  void unlink_then_release(AddressSpace& mm);
  Errno insert(IntervalSubscription& subscription, AddressSpace& mm, VirtAddr first, VirtAddr last);
  bool call_invalidate(IntervalSubscription& subscription, const InvalidateRange& range, std::uint64_t sequence);
  bool tell_intervals(const InvalidateRange& range);
  void release_intervals(AddressSpace& mm);
  void do_deferred(AddressSpace& mm);
  void note_sequence(AddressSpace& mm);
  void end_intervals(AddressSpace& mm);
  void end_of_range(InvalidateRange& range, bool only_end);
  Errno tell_start(const InvalidateRange& range);
  void judge_refusal(const ListSubscription& subscription, const InvalidateRange& range, Errno answer);
  // Whoever names an mm has a claim on its structure: reported if it is gone.
  void claim(AddressSpace& mm, std::string_view what);
  void warn(const AddressSpace& mm, const ListSubscription* subscription, std::string what);
  void require(bool exists, std::string_view what) const;

  Arbiter& arbiter_;
  NotifierBehaviour behaviour_;
  bool sleepable_sections_ = true;  // behaviour_.read_side == "srcu", looked up once
  Rcu rcu_;
  SrcuDomain srcu_;
  std::uint64_t next_range_ = 1;
  std::uint64_t next_serial_ = 1;
};

}  // namespace secmmu
