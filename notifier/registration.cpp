// How a subscriber comes into an mm's list, and how it leaves it by unregister.
#include <memory>
#include <stdexcept>

#include <fmt/format.h>

#include "notifier/events.hpp"
#include "notifier/intervals/intervals.hpp"
#include "notifier/notifier_core.hpp"

namespace secmmu {

Errno NotifierCore::allocate(const AddressSpace& mm, std::unique_ptr<Subscriptions>& fresh) {
  arbiter_.might_sleep("allocation of an mm's subscriptions");
  arbiter_.step(costs.register_all);
  if (allocation_fails && allocation_fails()) return Errno::enomem;
  fresh = std::make_unique<Subscriptions>(arbiter_, mm);
  return Errno::ok;
}

Errno NotifierCore::register_subscription(ListSubscription& subscription, AddressSpace& mm) {
  std::unique_ptr<Subscriptions> spare;
  if (behaviour_.allocation == "before-mmap-lock") {
    const Errno answer = allocate(mm, spare);
    if (answer != Errno::ok) return answer;
  }
  mm.mmap_lock().lock_write();
  const Errno answer = add(&subscription, mm, std::move(spare));
  mm.mmap_lock().unlock_write();
  return answer;
}

Errno NotifierCore::register_locked(ListSubscription& subscription, AddressSpace& mm) {
  std::unique_ptr<Subscriptions> spare;
  if (behaviour_.allocation == "before-mmap-lock") {
    const Errno answer = allocate(mm, spare);
    if (answer != Errno::ok) return answer;
  }
  return add(&subscription, mm, std::move(spare));
}

// What forbids the registration, beside the state of the mm.
bool NotifierCore::acceptable(const ListSubscription& subscription, const AddressSpace& mm) {
  if (subscription.link_ == ListSubscription::Link::linked) {
    warn(mm, &subscription, "registered twice");
    return false;
  }
  const CallbackSet has = subscription.callbacks();
  if (behaviour_.secondary_tlbs && has.has(Callback::secondary_tlbs) &&
      (has.has(Callback::start) || has.has(Callback::end))) {
    warn(mm, &subscription, "has arch_invalidate_secondary_tlbs together with start or end");
    return false;
  }
  return true;
}

// Rule: all locks under which somebody could be between a start and its end are held while the list grows,
// so a new subscriber never sees the end of a start that it was not told of. mm_users > 0, so the end of
// the mm cannot run at the same time. What is left in `spare` goes back unused. Without a subscription it
// makes the mm ready for intervals, under the same rule.
Errno NotifierCore::add(ListSubscription* subscription, AddressSpace& mm, std::unique_ptr<Subscriptions> spare) {
  if (!mm.mmap_lock().held_for_write())
    throw std::logic_error(fmt::format("registration on {} without its mmap_lock held for write", mm.name()));
  if (mm.users().value() <= 0) {
    warn(mm, subscription, "registered on an mm that has no users");
    return Errno::einval;
  }
  if (subscription != nullptr && !acceptable(*subscription, mm)) return Errno::einval;
  if (behaviour_.allocation == "under-mmap-lock" && !has_notifiers(mm)) {
    const Errno answer = allocate(mm, spare);
    if (answer != Errno::ok) return answer;
  }

  const Errno interrupted = mm.take_all_locks();
  if (interrupted != Errno::ok) return interrupted;
  if (behaviour_.allocation == "under-all-locks" && !has_notifiers(mm)) {
    const Errno answer = allocate(mm, spare);
    if (answer != Errno::ok) {
      mm.drop_all_locks();
      return answer;
    }
  }
  arbiter_.step(costs.list_step, writes(ObjectKind::subscriptions, mm.id()));
  if (!has_notifiers(mm)) mm.subscriptions = std::move(spare);

  if (subscription == nullptr) {
    if (mm.subscriptions->intervals == nullptr) mm.subscriptions->intervals = std::make_unique<Intervals>(arbiter_, mm);
  } else {
    mm.count().get();
    subscription->mm_ = &mm;
    subscription->mm_name_ = mm.name();
    subscription->mm_id_ = mm.id();
    subscription->users_ = 1;
    subscription->serial_ = next_serial_++;
    mm.subscriptions->lock.lock();
    link(mm, *subscription);
    mm.subscriptions->lock.unlock();
  }
  mm.drop_all_locks();
  if (mm.users().value() <= 0) warn(mm, subscription, "registered on an mm whose last user went meanwhile");
  return Errno::ok;
}

// Two orders. unlink-then-call looks and unlinks under one hold of the list lock, so release runs once; but
// from the unlinking on nobody is told of an invalidation, while the device still has its translations.
// call-then-unlink keeps the subscriber in the list until release has dropped them; the end of the mm may
// come in between, so release may run twice and unlinking may find it done.
//
// In both, the section around release makes the end of the mm wait for it before it frees pages, and the
// grace period makes us wait for whatever still runs, the end of the mm's release included.
void NotifierCore::unregister(ListSubscription& subscription, AddressSpace& mm) {
  if (mm.count().value() <= 0 || !has_notifiers(mm)) {
    warn(mm, &subscription, "unregistered from an mm on which nobody has a claim");
    return;
  }
  arbiter_.bus().emit(UnregisterBegin{mm.name(), mm.id(), subscription.name(), subscription.serial_});

  SpinLock& list_lock = mm.subscriptions->lock;
  const bool copes = behaviour_.unregister_copes_with_unlinked;
  if (behaviour_.unregister_order == "unlink-then-call") {
    list_lock.lock();
    if (looks_linked(mm, subscription)) {
      unlink(mm, subscription, copes);
      const std::uint64_t section = read_lock();
      list_lock.unlock();
      call_release(subscription, mm);
      read_unlock(section);
    } else {
      list_lock.unlock();
    }
  } else if (looks_linked(mm, subscription)) {
    const std::uint64_t section = read_lock();
    call_release(subscription, mm);
    read_unlock(section);
    list_lock.lock();
    unlink(mm, subscription, copes);
    list_lock.unlock();
  }
  read_synchronize();

  arbiter_.bus().emit(UnregisterEnd{mm.name(), mm.id(), subscription.name(), subscription.serial_});
  subscription.mm_ = nullptr;
  mm.drop_count();
}

// Rule: nothing is waited for, so a release callback may call it on its own subscription, and its memory may
// go only after a grace period.
void NotifierCore::unregister_no_release(ListSubscription& subscription, AddressSpace& mm) {
  require(behaviour_.unregister_no_release, "mmu_notifier_unregister_no_release");
  if (mm.count().value() <= 0 || !has_notifiers(mm)) {
    warn(mm, &subscription, "unregistered from an mm on which nobody has a claim");
    return;
  }
  mm.subscriptions->lock.lock();
  unlink(mm, subscription, true);
  mm.subscriptions->lock.unlock();
  arbiter_.bus().emit(SubscriptionLeft{mm.name(), mm.id(), subscription.name(), subscription.serial_});
  subscription.mm_ = nullptr;
  mm.drop_count();
}

}  // namespace secmmu
