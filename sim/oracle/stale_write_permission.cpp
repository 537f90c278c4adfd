// stale-write-permission: a write through a translation that may no longer write.
#include <fmt/format.h>

#include "sim/oracle/translation_rule.hpp"

namespace secmmu {
namespace {

class StaleWritePermission final : public TranslationRule {
 public:
  StaleWritePermission(const RuleInfo& info, Ledger& ledger, Reports& reports)
      : TranslationRule(info, ledger, reports, Breach::stale_write_permission) {}

 protected:
  std::string what_is_wrong(const Translation& translation) const override {
    const Page& page = ledger_.page_of(translation);
    return fmt::format(
        "a writable translation to {}; the PTE is read only{}", text_of(translation.pfn),
        ledger_.weakened(page).moment.happened() ? " since " + to_text(ledger_.weakened(page).moment.at) : "");
  }
};

}  // namespace

RuleRow stale_write_permission_rule() {
  return {{"stale-write-permission",
           "A device or a core wrote through a translation whose PTE had lost its write permission.",
           "When the kernel takes away a PTE's write permission, each secondary translation has lost it, or is "
           "dropped, by the time its subscriber's callback for the page returned.",
           R"(The kernel made a PTE read only (mprotect, fork, write-back, KSM), and a device or a core then wrote
through a translation that was still writable. After fork such a write shows in parent and child;
after mprotect it goes where nobody may write; data that is being written back tears.

Where it comes from. Lowering rights is an invalidation as unmapping is: it is announced with
PROTECTION_VMA, PROTECTION_PAGE or, by fork, with PROTECTION_PAGE for the parent.

Where it is checked. As stale-mapping: where this device, in this kernel, promises to zap. Only a
write is the violation; a read through the same translation reads the right memory.

The typical bug. A driver that zaps on UNMAP and CLEAR only, or downgrades its own record but not
the device's; a fault for writing that checked the PTE before fork and stored after it.

How to fix it. Zap, or downgrade and wait for the device; a later write then faults and asks again.

Legal, although it looks wrong: a read-only translation of a writable page (it only costs a fault);
a write after start was announced, but before this device was called: the kernel has not changed
the PTE yet; a write after the PTE has become writable again with the same frame.)"},
          &make_rule<StaleWritePermission>};
}

}  // namespace secmmu
