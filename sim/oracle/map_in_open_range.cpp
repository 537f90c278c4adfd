// map-in-open-range: a device took a translation in an invalidation that had already called it.
#include <fmt/format.h>

#include "sim/oracle/translation_rule.hpp"

namespace secmmu {
namespace {

class MapInOpenRange final : public Rule {
 public:
  using Rule::Rule;

  void listen(Bus& bus) override {
    bus.listen<DeviceFill>([this](const DeviceFill& e, const Stamp& stamp) { filled(e, stamp); });
  }

 private:
  void filled(const DeviceFill& e, const Stamp& stamp) {
    const Mm* mm = ledger_.mm(e.mm_id);
    if (mm == nullptr || mm->open.empty()) return;
    const Names::Id device = ledger_.names().id_of(e.device);
    for (const std::uint32_t index : mm->open) {
      const Range& range = ledger_.range_at(index);
      if (range.state != Range::State::open || !range.pages.contains(e.page)) continue;
      const Range::Call* call = range.call_of(device);
      if (call == nullptr || !call->held) continue;
      report(e, range, *call, stamp);
      return;
    }
  }

  void report(const DeviceFill& e, const Range& range, const Range::Call& call, const Stamp& stamp) {
    reports_.violation(info_, {call.device, e.mm_id, e.page.value}, stamp, [&](Violation& violation, Story& story) {
      violation.device = e.device;
      violation.mm = e.mm;
      violation.pages = one_page(e.page);
      violation.summary = fmt::format(
          "{} took a translation of {} of {} in the open invalidation {} {}, whose start it had answered at {}",
          e.device, to_text(address_of(e.page)), e.mm, range.id, to_text(range.pages), to_text(call.end.at));
      tell_registration(story, ledger_, Holder::device(call.device), e.mm_id);
      tell_range(story, ledger_, range, Holder::device(call.device));
      if (const Page* page = ledger_.page(e.mm_id, e.page);
          page != nullptr && ledger_.weakened(*page).moment.happened() && ledger_.weakened(*page).range_id == range.id)
        story.tell(ledger_.weakened(*page).moment,
                   fmt::format("changed the PTE: from {} to {}", text_of(ledger_.weakened(*page).old_pfn),
                               text_of(ledger_.weakened(*page).new_pfn)));
      story.tell(moment_of(stamp),
                 fmt::format("{} took the translation {} -> {}, {}", e.device, to_text(address_of(e.page)),
                             text_of(e.pfn), e.writable ? "writable" : "read only"));
      story.tell_locks();
    });
  }
};

}  // namespace

RuleRow map_in_open_range_rule() {
  return {{"map-in-open-range", "A device took a translation inside an open invalidation that had already called it.",
           "Between the return of its invalidate_range_start and the end of that range, a subscriber establishes no "
           "translation of any page in the range.",
           R"(The device had answered the start of an invalidation, had dropped its translations, and then took a
new one for a page of the range while the range was still open. Nobody will tell it again before
the page goes: the new translation is what it read a moment before the kernel changes the PTE.

Where it comes from. "Between start and end the driver must not establish any mapping in the range":
this is why drivers count active ranges (GRU, KVM), or compare a sequence (interval notifiers).

Where it is checked. At each fill, against the open ranges of the address space that cover the page
and whose start callback of this device returned ok. A failed start promised nothing.

The typical bug. The check for active ranges is missing, is made before the page table is read but
not after it, or is made without the lock or the hardware's help that orders it against the zap.

How to fix it. Count in start before the zap, and give up a fault when the count is not zero at the
moment of the store; retry when the range has ended.

Legal, although it looks wrong: a fill after the kernel announced the start but before this device
was called (its callback will zap it); a fill after the end callback of this device began; a fill
for a page that the range does not cover.)"},
          &make_rule<MapInOpenRange>};
}

}  // namespace secmmu
