#include "models/mm/reclaim.hpp"

#include <vector>

#include "models/mm/entries.hpp"
#include "models/mm/gather.hpp"
#include "models/mm/huge.hpp"
#include "models/mm/page_events.hpp"
#include "models/mm/page_lock.hpp"
#include "models/mm/reverse_map.hpp"
#include "models/mm/swap.hpp"

namespace secmmu {

namespace {

bool of_page(const PhysicalMemory& memory, Pte entry, Pfn frame) {
  return entry.maps() && entry.frame().value - frame.value < memory.folio_frames(frame);
}

// The CPU's accessed bit of one mapping, then the devices': both are cleared. `ask`: how the devices are asked, about
// the pages of one entry. How many entries were used.
template <class Ask>
std::uint64_t take_young(const Mapping& mapping, Pfn frame, Ask ask) {
  Mm& mm = *mapping.mm;
  std::uint64_t young = 0;
  for (Vpn page = mapping.pages.first; page < mapping.pages.end;) {
    mm.page_table_lock.lock();
    announce_write(mm, page);
    const Pte huge = mm.table.read_huge(page);
    const Pte entry = huge.none() ? mm.table.read(page) : huge;
    const PageRange pages = huge.none() ? one_page(page) : block_of(page);
    if (of_page(mm.system.memory, entry, frame)) {
      const Pte old = without(entry, Pte::kAccessed);
      if (entry.accessed() && !huge.none()) mm.table.write_huge(page, old);
      if (entry.accessed() && huge.none()) store(mm, page, entry, old, "age");
      const bool by_device = ask(mm, pages);
      if (entry.accessed() || by_device) ++young;
    }
    mm.page_table_lock.unlock();
    page = pages.end;
  }
  return young;
}

// What takes the place of the entry: none, or the name of the slot.
Pte left_behind(MmSystem& system, Pte old, const Frame& page) {
  if (page.slot == kNoSlot) return {};
  system.swap.get(page.slot);
  return {Pte::kSwap | (page.slot << kPageShift) | (old.bits & (kExclusive | kSoftDirtyAndProtected))};
}

enum class Unmapped { done, not_there, written_again };

// Under the lock of the page table. `frame`: the page's, or the first one of its folio.
Unmapped take_entry(Mm& mm, Vpn page, Pfn frame, bool& flush_later) {
  MmSystem& system = mm.system;
  announce_write(mm, page);
  const Pte old = mm.table.read(page);
  if (old.huge() || !of_page(system.memory, old, frame)) return Unmapped::not_there;
  Frame& state = system.memory.frame(frame);
  Frame& part = system.memory.frame(old.frame());
  store(mm, page, old, Pte{}, "reclaim");
  if (system.behaviour.reclaim_flush == "deferred")
    flush_later = true;
  else
    flush_tlbs(mm, one_page(page));
  if (old.dirty()) note_dirty(system, frame);

  if (state.lazy_free && (state.dirty || part.dirty || state.references > 1 + all_mappings(system.memory, frame))) {
    announce_write(mm, page);
    store(mm, page, Pte{}, old, "reclaim");
    state.lazy_free = false;
    return Unmapped::written_again;
  }
  const Pte fresh = state.lazy_free ? Pte{} : left_behind(system, old, part);
  if (!fresh.none()) {
    announce_write(mm, page);
    store(mm, page, Pte{}, fresh, "reclaim");
    ++mm.counters.swapped;
  }
  --mm.counters.resident;
  ++mm.counters.pages_unmapped;
  --part.mappings;
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
  const bool anonymous = system.memory.frame(frame).use != FrameUse::shared;
  if (system.memory.frame(frame).folio && mm.table.has_table(mapping.pages.first, 1))
    split_huge_entry(mm, mapping.pages.first, SplitInto::pages, frame);
  InvalidateRange announced{&mm, mapping.pages, InvalidateEvent::clear};
  if (announces) notifier.invalidate_range_start(announced);
  Unmapped result = Unmapped::not_there;
  std::vector<Vpn> taken;
  mm.page_table_lock.lock();
  for (Vpn page = mapping.pages.first; page < mapping.pages.end; page = page + 1) {
    const Unmapped one = take_entry(mm, page, frame, flush_later);
    if (one == Unmapped::not_there) continue;
    result = one;
    if (one == Unmapped::written_again) break;
    taken.push_back(page);
    if (how == "page-under-lock") notifier.invalidate_page(mm, page);
    if (announces && anonymous && notifier.behaviour().invalidate_range) notifier.invalidate_range(mm, one_page(page));
    system.memory.put(frame);  // the mapping's; the caller has its own
  }
  mm.page_table_lock.unlock();
  for (const Vpn page : taken) {
    if (how == "page") notifier.invalidate_page(mm, page);
    if (how == "range") notifier.invalidate_range(mm, one_page(page));
  }
  if (announces) notifier.invalidate_range_end(announced);
  return result;
}

// Rule: the walk ends as soon as nobody maps the page. Where flushes are put off, one comes before the page is
// written or freed. False: somebody has written what was to be thrown away, and it stays.
bool unmap_everywhere(MmSystem& system, Pfn frame) {
  std::vector<Mapping> to_flush;
  bool may_go = true;
  for_each_mapping(system, frame, [&](const Mapping& mapping) {
    if (all_mappings(system.memory, frame) == 0) return false;
    bool flush_later = false;
    const Unmapped result = unmap_from(mapping, frame, flush_later);
    if (flush_later) to_flush.push_back(mapping);
    may_go = result != Unmapped::written_again;
    return may_go;
  });
  for (const Mapping& mapping : to_flush) flush_tlbs(*mapping.mm, mapping.pages);
  return may_go;
}

bool reclaim_private(MmSystem& system, Pfn frame);

// Nobody else holds it: the caller's reference, and that of the swap cache or of the object.
bool freeable(const Frame& page) {
  return page.references == 1u + (page.slot != kNoSlot || page.use == FrameUse::shared ? 1 : 0);
}

// The parts of a folio as pages of their own, each in its turn. The caller's reference is on the first.
bool reclaim_parts(MmSystem& system, Pfn folio) {
  PhysicalMemory& memory = system.memory;
  if (!split_huge_page(system, folio)) return false;
  std::vector<Pfn> parts;
  for (std::uint64_t i = 1; i < kHugeFrames; ++i) {
    const Pfn part{folio.value + i};
    if (memory.frame(part).use != FrameUse::anonymous) continue;
    memory.get(part);
    parts.push_back(part);
  }
  const References found = take_references(system, folio);
  const bool gone = !found.locked && found.entries == 0 && reclaim_private(system, folio);
  for (const Pfn part : parts)
    if (!reclaim_page(system, part)) memory.put(part);
  return gone;
}

// Rule: a folio that one huge entry maps is written out as it is, if the swap area has a slot for each part; any other
// is split first. One that somebody else holds is kept.
bool reclaim_folio(MmSystem& system, Pfn folio) {
  PhysicalMemory& memory = system.memory;
  if (memory.references(folio) != all_mappings(memory, folio) + 1) return false;
  const bool lazy = memory.frame(folio).lazy_free;
  if (memory.frame(folio).whole_mappings == 0) return reclaim_parts(system, folio);
  std::uint64_t cached = 0;
  while (!lazy && cached < kHugeFrames && add_to_swap(system, {folio.value + cached})) ++cached;
  const auto uncache = [&] {
    for (std::uint64_t i = 0; i < cached; ++i)
      if (memory.frame({folio.value + i}).slot != kNoSlot) drop_from_swap_cache(system, {folio.value + i});
  };
  if (!lazy && cached < kHugeFrames) {
    uncache();
    return reclaim_parts(system, folio);
  }
  if (!unmap_everywhere(system, folio)) return false;
  const auto free_to_go = [&] { return all_mappings(memory, folio) == 0 && memory.references(folio) == 1 + cached; };
  if (!free_to_go()) return false;
  if (lazy) return !memory.frame(folio).dirty;
  for (std::uint64_t i = 0; i < kHugeFrames; ++i)
    if (!write_to_swap(system, {folio.value + i})) return false;
  if (!free_to_go()) return false;
  uncache();
  return true;
}

bool reclaim_private(MmSystem& system, Pfn frame) {
  Frame& page = system.memory.frame(frame);
  if (page.folio) return reclaim_folio(system, frame);
  if (!page.lazy_free && page.slot == kNoSlot && !add_to_swap(system, frame)) return false;
  if (!unmap_everywhere(system, frame) || page.mappings != 0 || !freeable(page)) return false;
  if (page.lazy_free) return !page.dirty;
  if (page.dirty && !write_to_swap(system, frame)) return false;
  if (page.dirty || page.mappings != 0 || !freeable(page)) return false;
  drop_from_swap_cache(system, frame);
  return true;
}

// Rule: the object stays meanwhile, even if those who map it go; its end waits for the page, which is locked.
bool reclaim_of_object(MmSystem& system, Pfn frame) {
  const Frame& page = system.memory.frame(frame);
  SharedObject* const object = system.object(page.mapping);
  if (object == nullptr) return false;
  object->mapped(1);
  unmap_everywhere(system, frame);
  const bool gone = page.mappings == 0 && freeable(page) && object->give_up(page.index, frame);
  system.unmap_object(*object, 1);
  return gone;
}

}  // namespace

void note_dirty(MmSystem& system, Pfn frame) {
  Frame& page = system.memory.frame(frame);
  page.dirty = true;
  if (page.use != FrameUse::shared) return;
  if (SharedObject* object = system.object(page.mapping); object != nullptr && object->file())
    object->mark_dirty(page.index);
}

// Rule: any use since the last look, by a CPU or a device, of any mapping, keeps the page; and ends its idleness.
References take_references(MmSystem& system, Pfn frame) {
  Frame& page = system.memory.frame(frame);
  References found;
  for_each_mapping(system, frame, [&](const Mapping& mapping) {
    found.locked = mapping.locked;
    if (!found.locked)
      found.entries += take_young(mapping, frame, [](Mm& mm, PageRange pages) {
        return mm.system.notifier.clear_flush_young(mm, pages);
      });
    return !found.locked;
  });
  if (found.locked) return found;
  if (found.entries != 0) page.idle = false;
  if (page.young) ++found.entries;  // what idle-page tracking has taken from the entries
  page.young = false;
  return found;
}

// Rule: who cannot have the page's lock at once leaves the page alone.
bool take_page_away(MmSystem& system, Pfn frame) {
  if (!try_lock_page(system, frame)) return false;
  const FrameUse use = system.memory.frame(frame).use;
  const bool is_private = use == FrameUse::anonymous || use == FrameUse::merged;
  const bool gone = is_private ? reclaim_private(system, frame)
                               : use == FrameUse::shared && reclaim_of_object(system, frame);
  unlock_page(system, frame);
  if (gone) system.arbiter.bus().emit(PageGivenUp{frame, "reclaim"});
  if (gone) system.memory.put(frame);
  return gone;
}

bool reclaim_page(MmSystem& system, Pfn frame) {
  const References found = take_references(system, frame);
  return !found.locked && found.entries == 0 && take_page_away(system, frame);
}

// Rule: who looks for idle pages takes the bits that reclaim would look at; the page is marked instead, so that reclaim
// still knows.
bool clear_references(MmSystem& system, Pfn frame) {
  bool young = false;
  for_each_mapping(system, frame, [&](const Mapping& mapping) {
    young |= take_young(mapping, frame, [](Mm& mm, PageRange pages) {
               return mm.system.notifier.clear_young(mm, pages);
             }) != 0;
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
