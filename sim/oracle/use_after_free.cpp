// use-after-free: a translation reached a frame after it was freed.
#include <fmt/format.h>

#include "sim/oracle/translation_rule.hpp"

namespace secmmu {
namespace {

class UseAfterFree final : public TranslationRule {
 public:
  UseAfterFree(const RuleInfo& info, Ledger& ledger, Reports& reports)
      : TranslationRule(info, ledger, reports, Breach::use_after_free) {}

 protected:
  std::string what_is_wrong(const Translation& translation) const override {
    const Frame& frame = *ledger_.frame(translation.pfn);
    const FramePast& past = ledger_.past(translation.pfn);
    std::string text =
        fmt::format("a translation to {}, which was freed at {}", text_of(translation.pfn), to_text(past.freed.at));
    if (frame.used)
      text += fmt::format(" and has belonged to {} ({}) since {}", ledger_.text(past.owner), ledger_.text(past.use),
                          to_text(past.allocated.at));
    else
      text += " and belongs to nobody";
    return text;
  }
};

}  // namespace

RuleRow use_after_free_rule() {
  return {{"use-after-free", "A device or a core used a translation to a frame that had been freed.",
           "A page is freed only when no secondary MMU and no TLB can reach it any more: subscribers drop their "
           "translations in their callbacks, before the kernel gives the page back.",
           R"(A frame went back to the allocator while a device, or a core's TLB, still had a live translation to
it, and then the translation was used. Whatever is read is somebody else's data; whatever is
written destroys it. The report names the frame's owner at that moment.

Where it comes from. The kernel frees a page between invalidate_range_start and _end (or after
invalidate_page): subscribers that drop translations there need not hold a reference of the page.

Where it is checked. Each frame knows the translations that point at it. At frame_free all of them
become illegal, whoever was still to be called; a fill that brings an old frame is illegal at once.
The next use of an illegal translation is the violation.

The typical bug. The driver forgets a zap, zaps too little, or lets a fault that looked at the page
table before the invalidation store its result after it (no range-active check, no sequence
check); or the kernel freed without telling (a subscriber was unlinked too early).

How to fix it. Zap in the callback all that it covers, and wait until the device has acknowledged;
make faults check again, under the lock of the zap, before they store.

Legal, although it looks wrong: a translation that lives on after the PTE was cleared, as long as
the device holds a reference of the page; an entry that no lookup finds (a retired ASID).)"},
          &make_rule<UseAfterFree>};
}

}  // namespace secmmu
