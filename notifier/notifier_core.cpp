// What every part of the core stands on: read sections, the walk along the list, the frame of a callback.
#include "notifier/notifier_core.hpp"

#include <stdexcept>

#include <fmt/format.h>

#include "notifier/events.hpp"

namespace secmmu {

const ParameterTable<NotifierCosts>& notifier_cost_table() {
  using C = NotifierCosts;
  static const ParameterTable<C> table =
      ParameterTable<C>("notifier_cost")
          .duration("list_step", &C::list_step, "One step along an mm's list of subscribers, or one edit of it.",
                    "about a hit in the second-level cache")
          .duration("callback_call", &C::callback_call, "An indirect call of a subscriber and its return.",
                    "an indirect branch with its speculation guard")
          .duration("register_all", &C::register_all, "What a registration costs beside the locks that it takes.",
                    "an estimate: an allocation and the initialisation");
  return table;
}

NotifierCore::NotifierCore(Arbiter& arbiter, Task& rcu_worker, Task& srcu_worker)
    : arbiter_(arbiter), rcu_(arbiter, "rcu", rcu_worker), srcu_(arbiter, "mmu_notifier_srcu", srcu_worker) {}

void NotifierCore::set_behaviour(NotifierBehaviour behaviour) {
  behaviour_ = std::move(behaviour);
  sleepable_sections_ = behaviour_.read_side == "srcu";
}

void NotifierCore::reset() {
  rcu_.reset();
  srcu_.reset();
  next_range_ = 1;
  next_serial_ = 1;
}

std::uint64_t NotifierCore::read_lock() { return sleepable_sections_ ? srcu_.read_lock() : rcu_.read_lock(); }

void NotifierCore::read_unlock(std::uint64_t section) {
  if (sleepable_sections_)
    srcu_.read_unlock(section);
  else
    rcu_.read_unlock(section);
}

void NotifierCore::read_synchronize() {
  if (sleepable_sections_)
    srcu_.synchronize();
  else
    rcu_.synchronize();
}

void NotifierCore::after_grace_period(std::function<void()> callback) {
  if (sleepable_sections_)
    srcu_.call(std::move(callback));
  else
    rcu_.call(std::move(callback));
}

void NotifierCore::call_after_grace_period(std::function<void()> callback) {
  require(behaviour_.call_after_grace, "mmu_notifier_call_srcu");
  after_grace_period(std::move(callback));
}

void NotifierCore::synchronize() {
  require(behaviour_.synchronize != "absent", "mmu_notifier_synchronize");
  if (behaviour_.synchronize == "sections")
    read_synchronize();
  else if (sleepable_sections_)
    srcu_.barrier();
  else
    rcu_.barrier();
}

// Rule (v5.5 on): who finds the list empty need not enter a section. A subscriber that is added after this
// look is none of the caller's business: registration excludes everybody who is between start and end.
bool NotifierCore::anybody_to_tell(AddressSpace& mm, bool look_at_list) {
  claim(mm, "was looked through for subscribers");
  arbiter_.step(costs.list_step, reads(ObjectKind::subscriptions, mm.id()));
  if (!has_notifiers(mm)) return false;
  return !(look_at_list && behaviour_.skips_empty_list && mm.subscriptions->empty());
}

ListSubscription* NotifierCore::first(const AddressSpace& mm) {
  arbiter_.step(costs.list_step, reads(ObjectKind::subscriptions, mm.id()));
  return mm.subscriptions->first();
}

ListSubscription* NotifierCore::next(const AddressSpace& mm, const ListSubscription& entry) {
  arbiter_.step(costs.list_step, reads(ObjectKind::subscriptions, mm.id()));
  return Subscriptions::after(entry);
}

bool NotifierCore::looks_linked(const AddressSpace& mm, const ListSubscription& subscription) {
  arbiter_.step(costs.list_step, reads(ObjectKind::subscriptions, mm.id()));
  return subscription.link_ != ListSubscription::Link::unlinked;
}

void NotifierCore::link(AddressSpace& mm, ListSubscription& subscription) {
  arbiter_.step(costs.list_step, writes(ObjectKind::subscriptions, mm.id()));
  mm.subscriptions->add_head(subscription);
  subscription.link_ = ListSubscription::Link::linked;
  arbiter_.bus().emit(Registered{mm.name(), mm.id(), subscription.name(), subscription.serial_});
}

// Rule: a deletion that copes leaves the entry marked as unlinked, and finds nothing to do there; a plain
// one poisons it. Any deletion of a poisoned entry, and a plain one of an unlinked entry, writes through a
// pointer that is none: we change nothing and say so in the event.
void NotifierCore::unlink(AddressSpace& mm, ListSubscription& subscription, bool copes) {
  using Link = ListSubscription::Link;
  arbiter_.step(costs.list_step, writes(ObjectKind::subscriptions, mm.id()));
  if (copes && subscription.link_ == Link::unlinked) return;
  const bool was_linked = subscription.link_ == Link::linked;
  if (was_linked) mm.subscriptions->remove(subscription);
  subscription.link_ = copes ? Link::unlinked : Link::poisoned;
  arbiter_.bus().emit(Unlinked{mm.name(), mm.id(), subscription.name(), subscription.serial_, was_linked});
}

CallbackEnd NotifierCore::enter(const ListSubscription& subscription, const AddressSpace& mm, Callback callback,
                                PageRange pages, std::uint64_t range_id) {
  arbiter_.step(costs.callback_call);
  arbiter_.bus().emit(
      CallbackBegin{mm.name(), mm.id(), subscription.name(), subscription.serial_, callback, pages, range_id});
  return {mm.name(), mm.id(), subscription.name(), subscription.serial_, callback, pages, range_id, Errno::ok, false};
}

void NotifierCore::leave(const CallbackEnd& end) { arbiter_.bus().emit(end); }

void NotifierCore::note_freed(const ListSubscription& subscription) {
  arbiter_.bus().emit(
      SubscriptionFreed{subscription.mm_name_, subscription.mm_id_, subscription.name(), subscription.serial_});
}

void NotifierCore::claim(AddressSpace& mm, std::string_view what) {
  if (mm.count().value() <= 0) arbiter_.bus().emit(FreedMmUsed{mm.name(), mm.id(), what});
}

void NotifierCore::warn(const AddressSpace& mm, const ListSubscription* subscription, std::string what) {
  const std::string_view name = subscription == nullptr ? std::string_view{} : subscription->name();
  arbiter_.bus().emit(NotifierWarning{mm.name(), mm.id(), name, std::move(what)});
}

void NotifierCore::require(bool exists, std::string_view what) const {
  if (!exists) throw AbsentInKernel(fmt::format("{} does not exist in this kernel", what));
}

}  // namespace secmmu
