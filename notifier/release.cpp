// The end of an mm, as its subscribers see it.
#include "notifier/events.hpp"
#include "notifier/intervals/intervals.hpp"
#include "notifier/notifier_core.hpp"

namespace secmmu {

void NotifierCore::call_release(ListSubscription& subscription, AddressSpace& mm) {
  if (!subscription.callbacks().has(Callback::release)) return;
  const CallbackEnd end = enter(subscription, mm, Callback::release, kWholeSpace, 0);
  subscription.release(mm);
  leave(end);
}

// Rule: mm_users is 0, so nobody registers any more. Others may still announce invalidations (truncation
// and reclaim reach pages without the mm's users), and a driver may be in unregister. The grace period at
// the end waits for all of them: for a release callback that unregister runs, too. Only then does the
// caller free pages. The caller holds a reference of mm_count.
void NotifierCore::release(AddressSpace& mm) {
  arbiter_.bus().emit(MmReleaseBegin{mm.name(), mm.id()});
  if (intervals_of(mm) != nullptr) release_intervals(mm);
  if (anybody_to_tell(mm, true)) {
    if (behaviour_.release_order == "unlink-then-call")
      unlink_then_release(mm);
    else
      release_then_unlink(mm);
    read_synchronize();
  }
  arbiter_.bus().emit(MmReleaseEnd{mm.name(), mm.id()});
}

void NotifierCore::release_then_unlink(AddressSpace& mm) {
  Subscriptions& subscriptions = *mm.subscriptions;
  const bool until_unlinked = behaviour_.release_section == "until-unlinked";
  const std::uint64_t section = read_lock();
  for (ListSubscription* entry = first(mm); entry != nullptr; entry = next(mm, *entry)) call_release(*entry, mm);
  if (!until_unlinked) read_unlock(section);
  subscriptions.lock.lock();
  while (!subscriptions.empty()) unlink(mm, *subscriptions.first(), true);
  subscriptions.lock.unlock();
  if (until_unlinked) read_unlock(section);
}

// The section of each call begins before the list lock is given back: whoever then finds the entry unlinked
// and waits for a grace period waits for its release.
void NotifierCore::unlink_then_release(AddressSpace& mm) {
  Subscriptions& subscriptions = *mm.subscriptions;
  const bool each = behaviour_.release_section == "each-call";
  std::uint64_t section = each ? 0 : read_lock();
  subscriptions.lock.lock();
  while (!subscriptions.empty()) {
    ListSubscription& entry = *subscriptions.first();
    unlink(mm, entry, true);
    if (each) section = read_lock();
    subscriptions.lock.unlock();
    call_release(entry, mm);
    if (each) read_unlock(section);
    subscriptions.lock.lock();
  }
  subscriptions.lock.unlock();
  if (!each) read_unlock(section);
}

// Rule: every subscription holds mm_count, so none can be left when it is 0.
void NotifierCore::destroy(AddressSpace& mm) {
  if (!has_notifiers(mm) || mm.subscriptions->freed) return;
  if (!mm.subscriptions->empty()) warn(mm, mm.subscriptions->first(), "still registered when its mm was freed");
  mm.subscriptions->freed = true;
}

}  // namespace secmmu
