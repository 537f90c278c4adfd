// kernel-warning: the core was called as its interface forbids, and its own check saw it.
#include <fmt/format.h>

#include "sim/oracle/rule.hpp"

namespace secmmu {
namespace {

class KernelWarning final : public Rule {
 public:
  using Rule::Rule;

  void listen(Bus& bus) override {
    bus.listen<NotifierWarning>([this](const NotifierWarning& e, const Stamp& stamp) {
      const std::string summary = e.subscriber.empty() ? fmt::format("{}: {}", e.mm, e.what)
                                                       : fmt::format("{} on {}: {}", e.subscriber, e.mm, e.what);
      reports_.violation(info_, {e.mm_id, ledger_.names().id_of(e.subscriber), ledger_.names().id_of(e.what)}, stamp,
                         [&](Violation& violation, Story& story) {
                           violation.device = e.subscriber;
                           violation.mm = e.mm;
                           violation.summary = summary;
                           story.tell(moment_of(stamp), summary);
                           story.tell_locks();
                         });
    });
  }
};

}  // namespace

RuleRow kernel_warning_rule() {
  return {
      {"kernel-warning",
       "The notifier was called, or answered, as its interface forbids, and the kernel's check saw it.",
       "A driver registers on an address space that has users, once; it refuses only a start that may not block, with "
       "EAGAIN and without an end callback; it gives back what it got.",
       R"(The core looks, at some places, whether its interface is used as it was meant, and says so in the log of
the kernel or stops the task. What goes on after a warning is seldom what the driver expects: an answer
that nobody looks at, a subscription that is in no list.

Where it comes from. WARN_ON and BUG_ON in mm/mmu_notifier.c, and a few checks that Linux leaves to the
reviewers of a driver. Where Linux would stop, the model refuses with EINVAL and goes on.

Where it is checked. At each notifier_warning.

The typical bug. A worker that registers on an address space whose process has ended, with a reference
of mm_count only; a start that answers with an error because its trylock failed, whether or not the
range may block; put more often than get.

How to fix it. Take a user (mmget_not_zero) around a registration; ask the range whether it may block.

Legal, although it looks wrong: unregister on an address space that has no users any more; a refusal
of a range that may not block.)"},
      &make_rule<KernelWarning>};
}

}  // namespace secmmu
