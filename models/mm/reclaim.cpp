#include "models/mm/reclaim.hpp"

#include <vector>

#include "models/mm/entries.hpp"
#include "models/mm/gather.hpp"
#include "models/mm/reverse_map.hpp"
#include "models/mm/swap.hpp"

namespace secmmu {

namespace {

// The CPU's accessed bit of one mapping, then the devices': both are cleared. `ask`: how the devices are asked.
template <class Ask>
bool take_young(const Mapping& mapping, Pfn frame, Ask ask) {
  Mm& mm = *mapping.mm;
  const Vpn page = mapping.pages.first;
  bool young = false;
  mm.page_table_lock.lock();
  announce_write(mm, page);
  const Pte entry = mm.table.read(page);
  if (entry.maps() && entry.frame() == frame) {
    young = entry.accessed();
    if (young) store(mm, page, entry, without(entry, Pte::kAccessed), "age");
    young |= ask(mm, page);
  }
  mm.page_table_lock.unlock();
  return young;
}

// Rule: any use since the last look, by a CPU or a device, of any mapping, keeps the page; and ends its idleness.
bool referenced(MmSystem& system, Pfn frame) {
  Frame& page = system.memory.frame(frame);
  bool young = false;
  bool locked = false;
  for_each_mapping(system, frame, [&](const Mapping& mapping) {
    locked = mapping.locked;
    if (!locked)
      young |= take_young(mapping, frame,
                          [](Mm& mm, Vpn at) { return mm.system.notifier.clear_flush_young(mm, one_page(at)); });
    return !locked;
  });
  if (locked) return true;
  if (young) page.idle = false;
  young |= page.young;  // what idle-page tracking has taken from the entries
  page.young = false;
  return young;
}

// What takes the place of the entry: none, or the name of the slot.
Pte left_behind(MmSystem& system, Pte old, const Frame& page) {
  if (page.slot == kNoSlot) return {};
  system.swap.get(page.slot);
  return {Pte::kSwap | (page.slot << kPageShift) | (old.bits & (kExclusive | kSoftDirtyAndProtected))};
}

enum class Unmapped { done, not_there, written_again };

// Under the lock of the page table.
Unmapped take_entry(Mm& mm, Vpn page, Pfn frame, bool& flush_later) {
  MmSystem& system = mm.system;
  Frame& state = system.memory.frame(frame);
  announce_write(mm, page);
  const Pte old = mm.table.read(page);
  if (!old.maps() || old.frame() != frame) return Unmapped::not_there;
  store(mm, page, old, Pte{}, "reclaim");
  if (system.behaviour.reclaim_flush == "deferred")
    flush_later = true;
  else
    flush_tlbs(mm, one_page(page));
  if (old.dirty()) note_dirty(system, frame);

  if (state.lazy_free && (state.dirty || state.references > 1 + state.mappings)) {
    announce_write(mm, page);
    store(mm, page, Pte{}, old, "reclaim");
    state.lazy_free = false;
    return Unmapped::written_again;
  }
  const Pte fresh = state.lazy_free ? Pte{} : left_behind(system, old, state);
  if (!fresh.none()) {
    announce_write(mm, page);
    store(mm, page, Pte{}, fresh, "reclaim");
    ++mm.counters.swapped;
  }
  --mm.counters.resident;
  ++mm.counters.pages_unmapped;
  --state.mappings;
  return Unmapped::done;
}

// Rule: announced before anybody looks whether this VMA maps the page at all. A private page is told once more under
// the lock, for who walks the page tables himself; pages of objects are not, their range's end does it.
Unmapped unmap_from(const Mapping& mapping, Pfn frame, bool& flush_later) {
  Mm& mm = *mapping.mm;
  MmSystem& system = mm.system;
  NotifierCore& notifier = system.notifier;
  const std::string& how = system.behaviour.clean_notify;
  const bool announces = how == "start-end" || how == "start-range-end";
  const bool anonymous = system.memory.frame(frame).use == FrameUse::anonymous;
  const Vpn page = mapping.pages.first;
  InvalidateRange announced{&mm, mapping.pages, InvalidateEvent::clear};
  if (announces) notifier.invalidate_range_start(announced);
  mm.page_table_lock.lock();
  const Unmapped result = take_entry(mm, page, frame, flush_later);
  const bool done = result == Unmapped::done;
  if (done && how == "page-under-lock") notifier.invalidate_page(mm, page);
  if (done && announces && anonymous && notifier.behaviour().invalidate_range)
    notifier.invalidate_range(mm, mapping.pages);
  if (done) system.memory.put(frame);  // the mapping's; the caller has its own
  mm.page_table_lock.unlock();
  if (done && how == "page") notifier.invalidate_page(mm, page);
  if (done && how == "range") notifier.invalidate_range(mm, mapping.pages);
  if (announces) notifier.invalidate_range_end(announced);
  return result;
}

// Rule: the walk ends as soon as nobody maps the page. Where flushes are put off, one comes before the page is
// written or freed.
void unmap_everywhere(MmSystem& system, Pfn frame) {
  const Frame& page = system.memory.frame(frame);
  std::vector<Mapping> to_flush;
  for_each_mapping(system, frame, [&](const Mapping& mapping) {
    if (page.mappings == 0) return false;
    bool flush_later = false;
    const Unmapped result = unmap_from(mapping, frame, flush_later);
    if (flush_later) to_flush.push_back(mapping);
    return result != Unmapped::written_again;
  });
  for (const Mapping& mapping : to_flush) flush_tlbs(*mapping.mm, mapping.pages);
}

// Nobody else holds it: the caller's reference, and that of the swap cache or of the object.
bool freeable(const Frame& page) {
  return page.references == 1u + (page.slot != kNoSlot || page.use == FrameUse::shared ? 1 : 0);
}

bool reclaim_private(MmSystem& system, Pfn frame) {
  Frame& page = system.memory.frame(frame);
  if (!page.lazy_free && page.slot == kNoSlot && !add_to_swap(system, frame)) return false;
  unmap_everywhere(system, frame);
  if (page.mappings != 0 || !freeable(page)) return false;
  if (page.lazy_free) return !page.dirty;
  if (page.dirty) write_to_swap(system, frame);
  if (page.dirty || page.mappings != 0 || !freeable(page)) return false;
  drop_from_swap_cache(system, frame);
  return true;
}

bool reclaim_of_object(MmSystem& system, Pfn frame) {
  const Frame& page = system.memory.frame(frame);
  unmap_everywhere(system, frame);
  SharedObject* object = system.object(page.mapping);
  return object != nullptr && page.mappings == 0 && freeable(page) && object->give_up(page.index);
}

}  // namespace

void note_dirty(MmSystem& system, Pfn frame) {
  Frame& page = system.memory.frame(frame);
  page.dirty = true;
  if (page.use != FrameUse::shared) return;
  if (SharedObject* object = system.object(page.mapping); object != nullptr && object->file())
    object->mark_dirty(page.index);
}

bool reclaim_page(MmSystem& system, Pfn frame) {
  if (referenced(system, frame)) return false;
  const FrameUse use = system.memory.frame(frame).use;
  const bool gone = use == FrameUse::anonymous ? reclaim_private(system, frame)
                                               : use == FrameUse::shared && reclaim_of_object(system, frame);
  if (gone) system.memory.put(frame);
  return gone;
}

// Rule: who looks for idle pages takes the bits that reclaim would look at; the page is marked instead, so that reclaim
// still knows.
bool clear_references(MmSystem& system, Pfn frame) {
  bool young = false;
  for_each_mapping(system, frame, [&](const Mapping& mapping) {
    young |= take_young(mapping, frame,
                        [](Mm& mm, Vpn at) { return mm.system.notifier.clear_young(mm, one_page(at)); });
    return true;
  });
  Frame& page = system.memory.frame(frame);
  if (young) {
    page.idle = false;
    page.young = true;
  }
  return young;
}

}  // namespace secmmu
