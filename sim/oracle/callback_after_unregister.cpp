// callback-after-unregister: a subscriber was called, or its subscription touched, although its owner may have freed it.
#include <fmt/format.h>

#include <map>
#include <string>

#include "sim/oracle/translation_rule.hpp"

namespace secmmu {
namespace {

class CallbackAfterUnregister final : public Rule {
 public:
  using Rule::Rule;

  void listen(Bus& bus) override {
    bus.listen<CallbackBegin>([this](const CallbackBegin& e, const Stamp& stamp) {
      const Registration& registration = *ledger_.registration(e.serial);
      if (drivers_gone_.contains(registration.device))
        report(registration, stamp,
               fmt::format("{}'s {} was called after the module of its driver was gone", e.subscriber,
                           callback_name(e.callback)));
      else if (registration.freed.happened())
        report(registration, stamp,
               fmt::format("{}'s {} was called after its subscription had been freed", e.subscriber,
                           callback_name(e.callback)));
      else if (registration.unregistered.happened())
        report(
            registration, stamp,
            fmt::format("{}'s {} was called after unregister had returned", e.subscriber, callback_name(e.callback)));
    });
    bus.listen<UnregisterEnd>(
        [this](const UnregisterEnd& e, const Stamp& stamp) { still_running(e.serial, stamp, "unregister returned"); });
    bus.listen<SubscriptionFreed>([this](const SubscriptionFreed& e, const Stamp& stamp) {
      still_running(e.serial, stamp, "the subscription was freed");
    });
    bus.listen<IntervalRemoved>([this](const IntervalRemoved& e, const Stamp& stamp) {
      still_running(e.serial, stamp, "the removal of the interval returned");
    });
    bus.listen<Unlinked>([this](const Unlinked& e, const Stamp& stamp) {
      const Registration& registration = *ledger_.registration(e.serial);
      if (registration.freed.happened())
        report(registration, stamp,
               fmt::format("{} was taken out of {}'s list after its subscription had been freed", e.subscriber, e.mm));
    });
    bus.listen<IntervalTouched>([this](const IntervalTouched& e, const Stamp& stamp) {
      report(*ledger_.registration(e.serial), stamp,
             fmt::format("{}'s interval was taken out of {}'s tree after its removal had returned", e.subscriber, e.mm),
             "the end of the ranges took it out of the tree");
    });
    bus.listen<DriverGone>([this](const DriverGone& e, const Stamp& stamp) {
      drivers_gone_.try_emplace(ledger_.names().id_of(e.device), moment_of(stamp));
    });
  }
  void reset() override { drivers_gone_.clear(); }

 private:
  void still_running(std::uint64_t serial, const Stamp& stamp, const char* what) {
    const Registration& registration = *ledger_.registration(serial);
    if (registration.running <= 0) return;
    report(registration, stamp,
           fmt::format("{} while {}'s {} was still running", what, ledger_.text(registration.device),
                       callback_name(registration.last)));
  }

  // `now`: what happens here, if no moment of the registration tells it.
  void report(const Registration& registration, const Stamp& stamp, const std::string& summary,
              const std::string& now = {}) {
    reports_.violation(
        info_, {registration.serial, registration.mm, 0}, stamp, [&](Violation& violation, Story& story) {
          violation.device = ledger_.text(registration.device);
          violation.mm = ledger_.mm_text(registration.mm);
          violation.summary = summary;
          const std::string& device = violation.device;
          story.tell(registration.registered, fmt::format("{} was put into {}'s list", device, violation.mm));
          story.tell(registration.unregister_begun, fmt::format("{}'s driver asked to be unregistered", device));
          story.tell(registration.unlinked, fmt::format("{} was taken out of the list", device));
          story.tell(registration.last_begin, fmt::format("called {}'s {}", device, callback_name(registration.last)));
          story.tell(registration.last_end, fmt::format("a callback of {} returned", device));
          story.tell(registration.unregistered,
                     fmt::format("unregister of {} returned: its owner may free it", device));
          story.tell(registration.freed, fmt::format("the subscription of {} was freed", device));
          if (const auto gone = drivers_gone_.find(registration.device); gone != drivers_gone_.end())
            story.tell(gone->second, fmt::format("the module of {}'s driver was unloaded", device));
          if (!now.empty()) story.tell(moment_of(stamp), now);
          story.tell_locks();
        });
  }

  std::map<Names::Id, Moment> drivers_gone_;
};

}  // namespace

RuleRow callback_after_unregister_rule() {
  return {
      {"callback-after-unregister",
       "A subscriber's callback ran, or its subscription was touched, when its owner was free to free it.",
       "When mmu_notifier_unregister or mmu_interval_notifier_remove has returned, or the subscription was freed, no "
       "callback of that registration runs or will run, and the kernel is done with its memory.",
       R"(After unregister returns, the driver frees what its callbacks use, and often the code itself (a
module is unloaded). A callback that runs then works on freed memory, and so does the kernel if it has
the subscription still in its list or tree.

Where it comes from. unregister takes the subscriber out of the list and waits for a grace period:
everybody who found it in the list before has left its read section. put waits in the same way,
but in the background: the memory goes with free_notifier.

Where it is checked. By registration, not by name: at each callback_begin that follows unregister_end
or subscription_free of the same registration, and at those two events and interval_remove if a callback
still runs; at each callback_begin, free_notifier's too, of a device whose module is gone (driver_gone);
at a subscription_unlink that follows subscription_free, and at interval_touch.

The typical bug. A walk along the list outside a read section; unregister without its grace period
(unregister_no_release gives none: the driver must wait itself); a driver that frees its
subscription at put instead of in free_notifier, or from release while it is still in the list; a
module that is unloaded while a free_notifier of it is still to come (mmu_notifier_synchronize waits
for those).

How to fix it. Keep the walk inside the section; free after synchronize, or in free_notifier.

Legal, although it looks wrong: callbacks between unregister's begin and its return, release
included, even twice; the same device being called for a new registration.)"},
      &make_rule<CallbackAfterUnregister>};
}

}  // namespace secmmu
