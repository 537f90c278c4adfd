// stale-mapping: a translation was used although its PTE says something else.
#include <fmt/format.h>

#include "sim/oracle/translation_rule.hpp"

namespace secmmu {
namespace {

class StaleMapping final : public TranslationRule {
 public:
  StaleMapping(const RuleInfo& info, Ledger& ledger, Reports& reports)
      : TranslationRule(info, ledger, reports, Breach::stale_mapping) {}

 protected:
  std::string what_is_wrong(const Translation& translation) const override {
    const Page& page = ledger_.page_of(translation);
    if (!ledger_.weakened(page).moment.happened())
      return fmt::format("a translation to {}, which the page table never said", text_of(translation.pfn));
    return fmt::format("a translation to {}; the page table says {} since {}", text_of(translation.pfn),
                       text_of(page.pfn), to_text(ledger_.weakened(page).moment.at));
  }
};

}  // namespace

RuleRow stale_mapping_rule() {
  return {{"stale-mapping", "A device or a core used a translation whose PTE had been cleared or given another frame.",
           "After a subscriber's callback for a page returned (start; where it has none: end, invalidate_page, "
           "change_pte or the TLB callback) it uses no translation of the PTE that the kernel then takes away.",
           R"(The PTE was cleared, or points to another frame, and the device still reads or writes the old
frame. The frame is not freed yet (that would be use-after-free): a forked child, the page cache
or a copy-on-write partner holds it. So two users of one address see two different memories.

Where it comes from. Between invalidate_range_start and _end the kernel replaces PTEs (munmap,
copy-on-write, migration, KSM), trusting that each subscriber's callback dropped the old ones.

Where it is checked. At the point where this device, in this kernel, promises to zap: if its start
callback returned, at the change of the PTE; else when its next callback for the page returned, or
the range ended. A change outside every range (copy-on-write before v3.7): when invalidate_page or
change_pte returned, at the latest when the fault ended. A core: when the call or fault that
changed the PTE ended. A late fill: at the fill.

The typical bug. A zap that misses a page at the edge of the range; a fault that stores what it
looked up before the zap; a driver that ignores change_pte; a missing TLB shootdown.

How to fix it. Zap what the callback covers; let faults check for open ranges before they store.

Legal, although it looks wrong: using the old frame after start was announced but before this
device was called; getting the same frame back in the meantime.)"},
          &make_rule<StaleMapping>};
}

}  // namespace secmmu
