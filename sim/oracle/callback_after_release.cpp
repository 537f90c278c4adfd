// callback-after-release: a list subscriber was told of changes after its release had returned.
#include <fmt/format.h>

#include "sim/oracle/translation_rule.hpp"

namespace secmmu {
namespace {

class CallbackAfterRelease final : public Rule {
 public:
  using Rule::Rule;

  void listen(Bus& bus) override {
    bus.listen<CallbackBegin>([this](const CallbackBegin& e, const Stamp& stamp) {
      if (e.callback == Callback::release) return;              // may come twice
      if (e.callback == Callback::free_notifier) return;        // after the last put, whenever that is
      if (e.callback == Callback::interval_invalidate) return;  // until its removal
      const Mm* mm = ledger_.mm(e.mm_id);
      if (mm == nullptr || !mm->released.happened()) return;
      reports_.violation(
          info_, {e.serial, e.mm_id, static_cast<std::uint64_t>(e.callback)}, stamp,
          [&](Violation& violation, Story& story) {
            violation.device = e.subscriber;
            violation.mm = e.mm;
            violation.pages = e.pages;
            violation.summary = fmt::format("{}'s {} was called for {}, whose subscribers were all released at {}",
                                            e.subscriber, callback_name(e.callback), e.mm, to_text(mm->released.at));
            tell_registration(story, ledger_, Holder::device(ledger_.registration(e.serial)->device), e.mm_id);
            story.tell(mm->release_begun, fmt::format("{} began to end", e.mm));
            story.tell(mm->released, fmt::format("every subscriber of {} has been released and unlinked", e.mm));
            story.tell(moment_of(stamp), fmt::format("called {}'s {}", e.subscriber, callback_name(e.callback)));
            story.tell_locks();
          });
    });
  }
};

}  // namespace

RuleRow callback_after_release_rule() {
  return {
      {"callback-after-release", "A list subscriber was called after the end of its address space had released it.",
       "When the end of an address space has released its list subscribers and a grace period has passed, no callback "
       "of theirs begins any more, except release itself.",
       R"(The last user of an address space went; the kernel called release for each list subscriber, emptied
the list and waited for a grace period. A callback that begins after that found a subscriber that
is in no list, and whose driver has torn down what the callback needs.

Where it comes from. exit_mmap calls mmu_notifier_release before it unmaps anything, and returns from
it only when nobody can still stand on the list. The unmapping that follows tells nobody.

Where it is checked. At each callback_begin of an address space whose mm_release_end has passed.

The typical bug. A kernel that releases without unlinking, or without waiting for who walks the list
(reclaim and truncation reach pages without a user of the address space); a driver that keeps a
subscription and calls it by hand.

How to fix it. Unlink, then wait for the grace period, then go on; in a driver, let release stop
every path that leads to the callbacks.

Legal, although it looks wrong: release twice, also at once (the end of the address space and
unregister meet); callbacks while the release is still being made. Interval subscriptions are not
meant: they are told until they are removed.)"},
      &make_rule<CallbackAfterRelease>};
}

}  // namespace secmmu
