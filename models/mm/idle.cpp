// Idle-page tracking: pages are marked idle, and stay so until somebody uses them.
#include "models/mm/entries.hpp"
#include "models/mm/reclaim.hpp"

namespace secmmu {

namespace {

// The page that is mapped there if it is one that reclaim knows, with a reference; kNoPfn if not.
// Rule: the reference is of the very page that is named, and the pages of a huge page behind its first have none: they
// are passed over. The first one stands for all.
Pfn tracked_page(Mm& mm, Vpn page) {
  announce_read(mm, page);
  const Pte entry = mm.table.read(page);
  if (!entry.maps()) return kNoPfn;
  const FrameUse use = mm.system.memory.frame(entry.frame()).use;
  if (use != FrameUse::anonymous && use != FrameUse::shared && use != FrameUse::merged) return kNoPfn;
  if (mm.system.memory.head(entry.frame()) != entry.frame()) return kNoPfn;
  mm.system.memory.get(entry.frame());
  return entry.frame();
}

}  // namespace

// Rule: uses up to now are forgotten first, those of devices, too.
void mark_idle(Mm& mm, PageRange range) {
  require(mm.system.behaviour.idle_tracking, "idle-page tracking");
  for (Vpn page = range.first; page < range.end; page = page + 1) {
    const Pfn frame = tracked_page(mm, page);
    if (frame == kNoPfn) continue;
    clear_references(mm.system, frame);
    mm.system.memory.frame(frame).idle = true;
    mm.system.memory.put(frame);
  }
}

Idleness idleness(Mm& mm, Vpn page) {
  require(mm.system.behaviour.idle_tracking, "idle-page tracking");
  const Pfn frame = tracked_page(mm, page);
  if (frame == kNoPfn) return mm.table.read(page).maps() ? Idleness::used : Idleness::absent;
  const Frame& tracked = mm.system.memory.frame(frame);
  if (tracked.idle) clear_references(mm.system, frame);
  const bool idle = tracked.idle;
  mm.system.memory.put(frame);
  return idle ? Idleness::idle : Idleness::used;
}

}  // namespace secmmu
