// release-leaves-translation: a device still holds, or takes again, what it said it had given up.
#include <fmt/format.h>

#include "sim/oracle/translation_rule.hpp"

namespace secmmu {
namespace {

class ReleaseLeavesTranslation final : public Rule {
 public:
  using Rule::Rule;

  void listen(Bus& bus) override {
    bus.listen<DeviceDetached>([this](const DeviceDetached& e, const Stamp& stamp) { detached(e, stamp); });
    bus.listen<DeviceFill>([this](const DeviceFill& e, const Stamp& stamp) { filled(e, stamp); });
  }

 private:
  void detached(const DeviceDetached& e, const Stamp& stamp) {
    const Names::Id device = ledger_.names().id_of(e.device);
    const Attachment* attachment = ledger_.attachment(device, e.mm_id);
    if (attachment == nullptr || attachment->live == 0) return;
    for (const Translation& translation : ledger_.translations()) {
      if (translation.ghost == nullptr || translation.holder != Holder::device(device) || translation.mm != e.mm_id)
        continue;
      report(translation, stamp,
             fmt::format("{} gave up {}, and still holds {} of its translations: {} -> {}", e.device, e.mm,
                         attachment->live, to_text(address_of(translation.vpn)), text_of(translation.pfn)),
             *attachment);
      return;  // one tells of all
    }
  }

  void filled(const DeviceFill& e, const Stamp& stamp) {
    const Attachment* attachment = ledger_.attachment(ledger_.names().id_of(e.device), e.mm_id);
    if (!attachment->is_detached) return;
    report(*ledger_.find(e.ghost), stamp,
           fmt::format("{} took a translation of {} {} after it had given up {} at {}", e.device, e.mm,
                       to_text(address_of(e.page)), e.mm, to_text(attachment->detached.at)),
           *attachment);
  }

  void report(const Translation& translation, const Stamp& stamp, const std::string& summary,
              const Attachment& attachment) {
    reports_.violation(info_, {translation.holder.value, translation.mm, translation.vpn.value}, stamp,
                       [&](Violation& violation, Story& story) {
                         violation.device = ledger_.text(translation.holder);
                         violation.mm = ledger_.mm_text(translation.mm);
                         violation.pages = one_page(translation.vpn);
                         violation.summary = summary;
                         tell_translation(story, ledger_, translation);
                         story.tell(attachment.detached, fmt::format("{} declared that it holds nothing of {}",
                                                                     violation.device, violation.mm));
                         if (const Mm* mm = ledger_.mm(translation.mm))
                           story.tell(mm->release_begun, fmt::format("{} began to end", violation.mm));
                         story.tell_locks();
                       });
  }
};

}  // namespace

RuleRow release_leaves_translation_rule() {
  return {
      {"release-leaves-translation", "A device held or took a translation of an address space that it had given up.",
       "Where a device promises that it is done with an address space (release, the last put, or the close of its "
       "file), nothing of it is reachable any more, and nothing is filled later.",
       R"(Each device declares one point at which it is done with an address space: the release callback, the
last put, or the close of its file. At that point (the event device_detach) it still had live
translations, or it took a new one later.

Where it comes from. "release: must drop every mapping and freeze the device". After it the kernel
unmaps everything without telling anybody, and the list is empty: nobody will ever ask again.

Where it is checked. At device_detach: the count of live translations of this device and address
space; and at each fill after it, until the device is registered there again.

The typical bug. Only the loaded contexts are flushed and a swapped-out one keeps its entries; the
fault handler is not stopped before the flush, so a fault in flight fills behind it; release drops
the table but not the device's TLB.

How to fix it. First stop faults (a flag under the lock of the fill), then zap, then wait for the
device; only then declare it.

Legal, although it looks wrong: entries of a retired ASID that no lookup can find: the device
reports them as dropped when it retires them; release called twice, or twice at once.)"},
      &make_rule<ReleaseLeavesTranslation>};
}

}  // namespace secmmu
