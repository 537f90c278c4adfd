// The list subscriptions of one address space (Linux's struct mmu_notifier_subscriptions, before v5.6
// mmu_notifier_mm). Allocated at the first registration, freed when mm_count reaches 0.
//
// The list is an RCU list. Edits happen under `lock`; walkers hold no lock, only a read section. What a
// walker sees follows from two rules of such a list, and nothing else is promised:
//   - a new entry is published at the head, so a walker that has passed the head does not see it;
//   - an unlinked entry keeps its own way on. A walker that stands on it continues to whatever followed
//     it when it was unlinked, even if that entry has been unlinked since. This is why an entry may be
//     freed or linked again only after a grace period.
#pragma once

#include <memory>

#include "notifier/list_subscription.hpp"
#include "notifier/substrate/sync/spinlock.hpp"

namespace secmmu {

class Intervals;

class Subscriptions {
 public:
  Subscriptions(Arbiter& arbiter, const AddressSpace& mm);
  ~Subscriptions();

  // Plain data operations: the core announces the scheduling points around them.
  bool empty() const { return head_ == nullptr; }
  ListSubscription* first() const { return head_; }
  static ListSubscription* after(const ListSubscription& entry) { return entry.next_; }
  void add_head(ListSubscription& entry);
  // `entry` is in the list. It keeps its way on, see above.
  void remove(const ListSubscription& entry);

  SpinLock lock;  // held for edits of the list, never for walks; and for whatever is in `intervals`
  std::unique_ptr<Intervals> intervals;  // from the first interval subscription on
  bool freed = false;  // with its mm. It stays all the same, so that the model lives to tell who still comes here

 private:
  ListSubscription* head_ = nullptr;
};

}  // namespace secmmu
