// lost-dirty: what a device wrote to a page went with the page.
#include <map>

#include <fmt/format.h>

#include "models/mm/page_events.hpp"
#include "sim/oracle/marks.hpp"
#include "sim/oracle/translation_rule.hpp"

namespace secmmu {
namespace {

// A frame is looked at from the moment on at which the kernel takes it for clean. Until then whatever is done with it
// takes its content along.
class LostDirty final : public Rule {
 public:
  using Rule::Rule;

  void listen(Bus& bus) override {
    bus.listen<PageSaved>([this](const PageSaved& e, const Stamp& stamp) { saved(e, stamp); });
    bus.listen<PageGivenUp>([this](const PageGivenUp& e, const Stamp& stamp) { given_up(e, stamp); });
    bus.listen<FrameFreed>([this](const FrameFreed& e, const Stamp&) { forget(e); });
    bus.listen<DeviceFill>([this](const DeviceFill& e, const Stamp&) {
      if (!clean_.empty() && e.writable && clean_.contains(e.pfn.value)) e.ghost->word |= kNextWrite;
    });
    bus.listen<DeviceMarkedAccess>([this](const DeviceMarkedAccess& e, const Stamp& stamp) { used(e, stamp); });
  }

  void reset() override { clean_.clear(); }

 private:
  struct Clean {
    Moment since;
    Names::Id why = 0;
    // The first write of a device from then on.
    Moment written;
    Names::Id device = 0;
    std::uint32_t mm = 0;
    Vpn page;
    std::uint64_t value = 0;
  };

  void saved(const PageSaved& e, const Stamp& stamp) {
    clean_[e.pfn.value] = {moment_of(stamp), ledger_.names().id_of(e.why), {}, 0, 0, {}, 0};
    const Frame* frame = ledger_.frame(e.pfn);
    if (frame == nullptr) return;
    for (std::uint32_t at = frame->translations; at != kNobody; at = ledger_.translations()[at].frame_next) {
      const Translation& translation = ledger_.translations()[at];
      if (!translation.holder.is_core() && translation.writable) translation.ghost->word |= kNextWrite;
    }
  }

  // What is written through a translation that should be gone is another rule's.
  void used(const DeviceMarkedAccess& e, const Stamp& stamp) {
    if ((e.ghost->word & kNextWrite) == 0 || !e.write) return;
    e.ghost->word &= ~kNextWrite;
    const auto found = clean_.find(e.pfn.value);
    if (found == clean_.end() || found->second.written.happened() || (e.ghost->word & Ghost::kIllegal) != 0) return;
    Clean& clean = found->second;
    clean.written = moment_of(stamp);
    clean.device = ledger_.names().id_of(e.device);
    clean.mm = e.mm_id;
    clean.page = e.address.page();
    clean.value = e.value;
  }

  void given_up(const PageGivenUp& e, const Stamp& stamp) {
    const auto found = clean_.find(e.pfn.value);
    if (found == clean_.end()) return;
    if (found->second.written.happened()) report(e, found->second, stamp);
    clean_.erase(found);
  }

  void forget(const FrameFreed& e) {
    if (clean_.empty()) return;
    for (std::uint64_t i = 0; i < e.pages; ++i) clean_.erase(e.pfn.value + i);
  }

  void report(const PageGivenUp& e, const Clean& clean, const Stamp& stamp) {
    const Reports::Place place{clean.device, clean.mm, clean.page.value};
    reports_.violation(info_, place, stamp, [&](Violation& violation, Story& story) {
      const std::string address = to_text(address_of(clean.page));
      violation.device = ledger_.text(clean.device);
      violation.mm = ledger_.mm_text(clean.mm);
      violation.pages = one_page(clean.page);
      violation.summary =
          fmt::format("what {} wrote to {} of {} is lost: the kernel took {} for clean and let go of it ({})",
                      violation.device, address, violation.mm, text_of(e.pfn), e.why);
      tell_registration(story, ledger_, Holder::device(clean.device), clean.mm);
      story.tell(clean.since, fmt::format("{} was clean from here on ({})", text_of(e.pfn), ledger_.text(clean.why)));
      story.tell(clean.written, fmt::format("{} wrote {:#x} at {}, which is in {}", violation.device, clean.value,
                                            address, text_of(e.pfn)));
      story.tell(moment_of(stamp),
                 fmt::format("let go of {} ({}), as nobody had said that it was written", text_of(e.pfn), e.why));
    });
  }

  std::map<std::uint64_t, Clean> clean_;  // by frame
};

}  // namespace

RuleRow lost_dirty_rule() {
  return {{"lost-dirty", "A page that a device had written was reclaimed, merged or moved without what it had written.",
           "Whoever takes a translation away through which a device may have written marks the page dirty, before the "
           "kernel looks whether it is.",
           R"(The kernel took a page for clean: it had written it out (to the swap area, to its file), copied it, or
the process had said that it need not be kept (MADV_FREE). Then a device wrote to it, nobody said
so, and the kernel let go of the page. What the device wrote is nowhere any more.

Where it comes from. The CPU's own writes set Dirty in the PTE, or take a fault that does. A device
writes through a translation of its own, and the PTE knows nothing of it.

Where it is checked. From page_saved on the next write through each translation of the frame is
noticed. At page_given_up there must have been none, unless the page was saved again in between:
who marks a page dirty makes the kernel do that, or keep it.

The typical bug. The driver drops its entry in the callback and throws away the dirty bit that the
hardware had set in it; or it has no such bit and does not mark every page that it had mapped
writable; or it marks pages after the callback has returned, when the kernel has looked already.

How to fix it. set_page_dirty() for every entry that was dirty (or writable) when it is taken out,
inside the callback. Or ask for the page for writing when it is mapped, and drop the entry when the
kernel announces that it is made clean.

Legal, although it looks wrong: a page that goes because the process unmaps or discards it, whatever
was written to it.)"},
          &make_rule<LostDirty>};
}

}  // namespace secmmu
