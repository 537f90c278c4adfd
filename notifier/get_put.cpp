// Subscriptions that are shared by the users of one driver on one mm (v5.4 on).
#include <stdexcept>

#include <fmt/format.h>

#include "notifier/events.hpp"
#include "notifier/notifier_core.hpp"

namespace secmmu {

// The subscription of this key with one user more, or nullptr; EOVERFLOW in `answer` if it has too many.
ListSubscription* NotifierCore::find(const void* key, AddressSpace& mm, Errno& answer) {
  SpinLock& list_lock = mm.subscriptions->lock;
  list_lock.lock();
  ListSubscription* entry = first(mm);
  while (entry != nullptr && entry->key_ != key) entry = next(mm, *entry);
  if (entry != nullptr) {
    if (entry->users_ >= most_users)
      answer = Errno::eoverflow;
    else
      ++entry->users_;
  }
  list_lock.unlock();
  return entry;
}

// Rule: mmap_lock held for write makes look-up and registration one action, so a key has one subscription.
Errno NotifierCore::get_locked(const void* key, AddressSpace& mm, const std::function<ListSubscription*()>& make,
                               ListSubscription*& result) {
  require(behaviour_.get_put, "mmu_notifier_get");
  if (!mm.mmap_lock().held_for_write())
    throw std::logic_error(fmt::format("mmu_notifier_get on {} without its mmap_lock held for write", mm.name()));
  if (has_notifiers(mm)) {
    Errno answer = Errno::ok;
    ListSubscription* found = find(key, mm, answer);
    if (answer != Errno::ok) return answer;
    if (found != nullptr) {
      result = found;
      return Errno::ok;
    }
  }
  ListSubscription* const fresh = make();
  if (fresh == nullptr) return Errno::enomem;
  fresh->key_ = key;
  const Errno answer = register_locked(*fresh, mm);
  if (answer != Errno::ok) {
    fresh->key_ = nullptr;
    fresh->free_notifier();
    return answer;
  }
  result = fresh;
  return Errno::ok;
}

// Rule: the last put only unlinks. Whoever walks the list may still stand on the subscription, so its
// memory and its claim on the mm go after a grace period. The end of the mm may have unlinked it before.
void NotifierCore::put(ListSubscription& subscription) {
  require(behaviour_.get_put, "mmu_notifier_put");
  AddressSpace* const mm = subscription.mm_;
  if (mm == nullptr)
    throw std::logic_error(fmt::format("mmu_notifier_put of {}, which is registered nowhere", subscription.name()));

  claim(*mm, "was asked to forget a subscription");
  SpinLock& list_lock = mm->subscriptions->lock;
  list_lock.lock();
  if (subscription.users_ == 0) {
    warn(*mm, &subscription, "put more often than got");
    list_lock.unlock();
    return;
  }
  if (--subscription.users_ > 0) {
    list_lock.unlock();
    return;
  }
  unlink(*mm, subscription, true);
  list_lock.unlock();

  after_grace_period([this, &subscription, mm] {
    const std::string name = subscription.name();  // the object may be gone when free_notifier returns
    const std::uint64_t serial = subscription.serial_;
    const CallbackEnd end = enter(subscription, *mm, Callback::free_notifier, kWholeSpace, 0);
    subscription.mm_ = nullptr;
    subscription.key_ = nullptr;
    subscription.free_notifier();
    leave({end.mm, end.mm_id, name, serial, end.callback, end.pages, 0, Errno::ok, false});
    arbiter_.bus().emit(SubscriptionFreed{mm->name(), mm->id(), name, serial});
    mm->drop_count();
  });
}

}  // namespace secmmu
