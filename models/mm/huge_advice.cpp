// madvise and huge pages: which memory may have them, and what becomes of them when a part is not wanted any more.
#include "models/mm/huge.hpp"
#include "models/mm/migrate.hpp"

namespace secmmu {

namespace {

bool is_whole(PageRange part) { return part == block_of(part.first); }

// The entry of a part that advice may change: of a page that nobody else maps. page_table_lock is held.
bool is_ours_alone(Mm& mm, Pte entry) {
  return entry.frame() != mm.system.huge_zero_page_if_any() && all_mappings(mm.system.memory, entry.frame()) == 1;
}

// Takes the accessed bit, and others, from the entry of a whole block. The next flush covers it.
void clear_bits(Gather& gather, PageRange block, Pte entry, std::uint64_t bits, std::string_view why) {
  if ((entry.bits & bits) == 0) return;
  const Pte fresh = without(entry, bits);
  gather.mm.table.write_huge(block.first, fresh);
  note_change(gather.mm, block, entry, fresh, why);
  gather.changed(block.first);
  gather.changed({block.end.value - 1});
}

// Splits the page of a huge entry. page_table_lock is held, and given back. True: what is there now is small.
bool split_unlocking(Mm& mm, Vpn page, Pfn frame) {
  mm.system.memory.get(frame);
  mm.page_table_lock.unlock();
  split_huge_page(mm.system, frame);
  mm.system.memory.put(frame);
  return mm.table.read_huge(page).none();
}

}  // namespace

// Rule: a part is made small, page and all, so that only it is given up; a page that others map is left alone.
bool free_huge(Gather& gather, PageRange part) {
  Mm& mm = gather.mm;
  mm.page_table_lock.lock();
  announce_write(mm, part.first);
  const Pte entry = mm.table.read_huge(part.first);
  if (!entry.none() && is_ours_alone(mm, entry)) {
    if (!is_whole(part)) return !split_unlocking(mm, part.first, entry.frame());
    for (std::uint64_t i = 0; i < kHugeFrames; ++i) mm.system.memory.frame({entry.frame().value + i}).dirty = false;
    mm.system.memory.frame(entry.frame()).lazy_free = true;
    clear_bits(gather, part, entry, Pte::kAccessed | Pte::kDirty, "free");
  }
  mm.page_table_lock.unlock();
  return !entry.none();
}

bool age_huge(Gather& gather, PageRange part, std::vector<Pfn>* isolated) {
  Mm& mm = gather.mm;
  mm.page_table_lock.lock();
  announce_write(mm, part.first);
  const Pte entry = mm.table.read_huge(part.first);
  if (!entry.none() && is_ours_alone(mm, entry)) {
    if (!is_whole(part)) return !split_unlocking(mm, part.first, entry.frame());
    clear_bits(gather, part, entry, Pte::kAccessed, "age");
    mm.system.memory.frame(entry.frame()).young = false;
    if (isolated != nullptr && isolate_page(mm.system, entry.frame())) isolated->push_back(entry.frame());
  }
  mm.page_table_lock.unlock();
  return !entry.none();
}

bool split_for_advice(Mm& mm, Pfn frame) {
  PhysicalMemory& memory = mm.system.memory;
  if (memory.mappings(frame) != 1) return false;
  memory.get(frame);
  mm.page_table_lock.unlock();
  const bool split = split_huge_page(mm.system, frame);
  memory.put(frame);
  mm.page_table_lock.lock();
  return split;
}

// Rule: a VMA that has this advice already is left alone; another one joins its neighbours or is cut out. Holes are
// passed over and make the answer ENOMEM.
Errno madvise_huge(Mm& mm, PageRange range, HugeAdvice advice) {
  require(mm.system.behaviour.huge_pages, "MADV_HUGEPAGE");
  return system_call(mm, "madvise", range, [&] {
    if (!is_user_range(range)) return Errno::einval;
    lock_for_writing(mm);
    mm.system.arbiter.step(mm.system.costs.vma_work);
    std::uint64_t mapped = 0;
    for (const Vma& piece : mm.vmas_in(range)) {
      mapped += piece.pages.pages();
      if (piece.attributes.huge == advice) continue;
      VmaAttributes attributes = piece.attributes;
      attributes.huge = advice;
      change_vma(mm, piece.pages, attributes);
    }
    unlock_for_writing(mm);
    return mapped == range.pages() ? Errno::ok : Errno::enomem;
  });
}

}  // namespace secmmu
