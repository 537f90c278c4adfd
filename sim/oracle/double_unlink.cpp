// double-unlink: an entry was taken out of a list that it was no longer in.
#include <fmt/format.h>

#include "sim/oracle/translation_rule.hpp"

namespace secmmu {
namespace {

class DoubleUnlink final : public Rule {
 public:
  using Rule::Rule;

  void listen(Bus& bus) override {
    bus.listen<Unlinked>([this](const Unlinked& e, const Stamp& stamp) {
      if (e.was_linked) return;
      reports_.violation(info_, {e.serial, e.mm_id, 0}, stamp, [&](Violation& violation, Story& story) {
        violation.device = e.subscriber;
        violation.mm = e.mm;
        violation.summary = fmt::format("{} was taken out of {}'s list, which it was not in", e.subscriber, e.mm);
        const Registration& registration = *ledger_.registration(e.serial);
        story.tell(registration.registered, fmt::format("{} was put into {}'s list", e.subscriber, e.mm));
        story.tell(registration.unregister_begun,
                   fmt::format("{}'s driver asked to be unregistered", e.subscriber));
        story.tell(moment_of(stamp), fmt::format("{} was taken out of the list again", e.subscriber));
        story.tell_locks();
      });
    });
  }
};

}  // namespace

RuleRow double_unlink_rule() {
  return {{"double-unlink", "A subscriber was taken out of a list that it was no longer in.",
           "An entry is unlinked from its list exactly once, by unregister or by release, whichever comes first.",
           R"(Unlinking writes to the neighbours that the entry remembers. The second time they are poison, or
memory that belongs to others by now.

Where it comes from. The end of an address space takes every subscriber out of the list, and so does
unregister. Both may run at the same time; the lock of the list and a look at the entry decide.

Where it is checked. At each subscription_unlink of an entry that was not linked.

The typical bug. Two tasks that unlink without looking again under the lock; unregister called twice
for one registration.

How to fix it. Look under the lock whether the entry is still in the list; unregister once.

Legal, although it looks wrong: unregister after release had unlinked the subscriber; a device that
is registered anew and unlinked again.)"},
          &make_rule<DoubleUnlink>};
}

}  // namespace secmmu
