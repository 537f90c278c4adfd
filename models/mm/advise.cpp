// madvise about use: MADV_FREE, MADV_COLD, MADV_PAGEOUT. The pages stay, for the time being or until reclaim has had
// its look at them.
#include "models/mm/entries.hpp"
#include "models/mm/gather.hpp"
#include "models/mm/huge.hpp"
#include "models/mm/migrate.hpp"
#include "models/mm/page_events.hpp"
#include "models/mm/reclaim.hpp"
#include "models/mm/swap.hpp"

namespace secmmu {

namespace {

// Calls visit(piece) for each VMA's piece until one answers an error; holes make the answer ENOMEM.
template <class Visit>
Errno for_each_piece(Mm& mm, PageRange range, Visit visit) {
  lock_for_reading(mm);
  mm.system.arbiter.step(mm.system.costs.vma_work);
  std::uint64_t mapped = 0;
  Errno answer = Errno::ok;
  for (const Vma& piece : vmas_in(mm.vmas, range)) {
    mapped += piece.pages.pages();
    answer = visit(piece);
    if (answer != Errno::ok) break;
  }
  unlock_for_reading(mm);
  if (answer == Errno::ok && mapped != range.pages()) answer = Errno::enomem;
  return answer;
}

bool is_ordinary(const Frame& frame) {
  return frame.use == FrameUse::anonymous || frame.use == FrameUse::shared || frame.use == FrameUse::merged;
}

// Rule: the entry stays and keeps its write bit, but is old and clean; a later write makes it dirty and saves the page.
// A page that was written out, or is known to be dirty, must be this mapping's alone to be forgotten.
void free_lazily(Gather& gather, Vpn page) {
  Mm& mm = gather.mm;
  MmSystem& system = mm.system;
  announce_write(mm, page);
  const Pte entry = mm.table.read(page);
  if (entry.swap()) {
    store(mm, page, entry, Pte{}, "free");
    --mm.counters.swapped;
    free_swap_entry(system, entry.slot());
    return;
  }
  if (!entry.maps()) return;
  Frame& frame = system.memory.frame(entry.frame());
  if (!is_ordinary(frame)) return;
  if (frame.slot != kNoSlot || frame.dirty) {
    if (frame.locked || frame.mappings != 1 || !leave_swap_cache(system, entry.frame())) return;
    frame.dirty = false;
  }
  if (entry.accessed() || entry.dirty()) {
    store(mm, page, entry, without(entry, Pte::kAccessed | Pte::kDirty), "free");
    gather.changed(page);
  }
  if (frame.use == FrameUse::shared || frame.slot != kNoSlot) return;
  frame.lazy_free = true;
  system.arbiter.bus().emit(PageSaved{entry.frame(), "free"});
}

// Rule: a page that is still a part of a huge one is made small first. If it is not this mapping's alone, the walk of
// the table ends there.
void free_table(Gather& gather, PageRange table) {
  Mm& mm = gather.mm;
  const PhysicalMemory& memory = mm.system.memory;
  mm.page_table_lock.lock();
  for (const Vpn page : populated_pages(mm, table)) {
    const Pte entry = mm.table.read(page);
    const bool part_of_folio =
        entry.maps() && is_ordinary(memory.frame(entry.frame())) && memory.frame(entry.frame()).folio;
    if (part_of_folio && (memory.mappings(memory.head(entry.frame())) != 1 || !split_for_advice(mm, entry.frame())))
      break;
    free_lazily(gather, page);
  }
  mm.page_table_lock.unlock();
}

// The pages of one table that may be made old: of one mapping, as far as anybody can tell. Each gets a reference.
void make_old(Gather& gather, PageRange table, std::vector<Pfn>* isolated) {
  Mm& mm = gather.mm;
  MmSystem& system = mm.system;
  mm.page_table_lock.lock();
  for (const Vpn page : populated_pages(mm, table)) {
    announce_write(mm, page);
    const Pte entry = mm.table.read(page);
    if (!entry.maps()) continue;
    Frame& frame = system.memory.frame(entry.frame());
    if (frame.folio && is_ordinary(frame) && !split_for_advice(mm, entry.frame())) break;
    if (!is_ordinary(frame) || frame.mappings != 1) continue;
    if (entry.accessed()) {
      store(mm, page, entry, without(entry, Pte::kAccessed), "age");
      gather.changed(page);
    }
    frame.young = false;
    if (isolated != nullptr && isolate_page(system, entry.frame())) isolated->push_back(entry.frame());
  }
  mm.page_table_lock.unlock();
}

Errno advise_cold(Mm& mm, PageRange range, bool pageout) {
  require(mm.system.behaviour.pageout, pageout ? "MADV_PAGEOUT" : "MADV_COLD");
  return system_call(mm, "madvise", range, [&] {
    if (!is_user_range(range)) return Errno::einval;
    return for_each_piece(mm, range, [&](const Vma& piece) {
      if (piece.attributes.locked) return Errno::einval;
      Gather gather(mm);
      for (const auto& [part, huge] : populated_parts(mm, piece.pages)) {
        std::vector<Pfn> isolated;
        std::vector<Pfn>* wanted = pageout ? &isolated : nullptr;
        if (!huge || !age_huge(gather, part, wanted)) make_old(gather, part, wanted);
        for (const Pfn frame : isolated)
          if (!reclaim_page(mm.system, frame)) put_isolated(mm.system, frame);
      }
      gather.finish();
      return Errno::ok;
    });
  });
}

}  // namespace

// Rule: announced as a discard is, though nothing goes yet. Private memory only.
Errno madvise_free(Mm& mm, PageRange range) {
  require(mm.system.behaviour.lazy_free, "MADV_FREE");
  return system_call(mm, "madvise", range, [&] {
    if (!is_user_range(range)) return Errno::einval;
    return for_each_piece(mm, range, [&](const Vma& piece) {
      if (piece.attributes.object != nullptr || piece.attributes.locked) return Errno::einval;
      Gather gather(mm);
      InvalidateRange announced{&mm, piece.pages, InvalidateEvent::clear};
      mm.system.notifier.invalidate_range_start(announced);
      for (const auto& [part, huge] : populated_parts(mm, piece.pages))
        if (!huge || !free_huge(gather, part)) free_table(gather, part);
      mm.system.notifier.invalidate_range_end(announced);
      gather.finish();
      return Errno::ok;
    });
  });
}

Errno madvise_cold(Mm& mm, PageRange range) { return advise_cold(mm, range, false); }
Errno madvise_pageout(Mm& mm, PageRange range) { return advise_cold(mm, range, true); }

// Rule: like the accesses themselves, page by page. Holes are passed over, as other advice does; what a VMA forbids is
// refused when it is come to, and the pages before it are there; what lies behind the end of a file is EFAULT.
Errno madvise_populate(Mm& mm, PageRange range, bool write) {
  require(mm.system.behaviour.populate, write ? "MADV_POPULATE_WRITE" : "MADV_POPULATE_READ");
  return system_call(mm, "madvise", range, [&] {
    if (!is_user_range(range)) return Errno::einval;
    return for_each_piece(mm, range, [&](const Vma& piece) {
      const Rights& rights = piece.attributes.rights;
      if (!(write ? rights.write : rights.read)) return Errno::einval;
      for (Vpn page = piece.pages.first; page < piece.pages.end; page = page + 1) {
        Pfn frame{};
        Pte entry;
        const Errno answer = get_user_page_locked(mm, page, write, frame, entry);
        if (answer != Errno::ok) return answer;
        mm.system.memory.put(frame);
      }
      return Errno::ok;
    });
  });
}

}  // namespace secmmu
