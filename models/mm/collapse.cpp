// Small pages of a block become one huge page: when a process asks (MADV_COLLAPSE), and by khugepaged.
#include <vector>

#include "models/mm/huge.hpp"
#include "models/mm/memory_pressure.hpp"
#include "models/mm/page_events.hpp"
#include "models/mm/swap.hpp"

namespace secmmu {

namespace {

// Linux's defaults of khugepaged/max_ptes_*: what khugepaged accepts in a block, in pages. An advice accepts all.
constexpr unsigned kMaxNone = 511;
constexpr unsigned kMaxShared = 256;
constexpr unsigned kMaxSwapped = 64;

enum class Who { khugepaged, advice };

// Why a block was not collapsed. The first group lets MADV_COLLAPSE go on with the next block.
enum class Outcome {
  collapsed,
  huge_already,
  no_table,
  not_present,
  write_protected,
  all_read_only,
  unused,
  pinned,
  // --- the end ---
  too_many_none,
  too_many_shared,
  too_many_swapped,
  no_huge_page,
  vma_changed,
};

bool lets_go_on(Outcome outcome) { return outcome <= Outcome::pinned; }

Errno answer_of(Outcome outcome) {
  if (outcome == Outcome::no_huge_page) return Errno::enomem;
  return outcome == Outcome::pinned ? Errno::eagain : Errno::einval;
}

// What the small entries of a block say about collapsing it.
class Scan {
 public:
  // `may_swap_in`: there is still time to bring pages back.
  Scan(Mm& mm, Who who, bool may_swap_in) : mm_(mm), who_(who), may_swap_in_(may_swap_in) {}

  // False: the block stays as it is, for the reason in `outcome`. page_table_lock is held.
  bool look(Vpn page, Pte entry) {
    MmSystem& system = mm_.system;
    if (entry.none() || (entry.maps() && entry.frame() == system.zero_page_if_any())) {
      if (who_ == Who::khugepaged && ++none_ > kMaxNone) return refuse(Outcome::too_many_none);
      return true;
    }
    if (entry.swap() && may_swap_in_) {
      ++swapped_;
      return who_ == Who::advice || swapped_ <= kMaxSwapped || refuse(Outcome::too_many_swapped);
    }
    if (!entry.maps()) return refuse(Outcome::not_present);
    if ((entry.bits & Pte::kWriteProtected) != 0) return refuse(Outcome::write_protected);
    if (entry.writable()) writable_ = true;
    const Pfn frame = entry.frame();
    if (system.memory.mappings(frame) > 1 && who_ == Who::khugepaged && ++shared_ > kMaxShared)
      return refuse(Outcome::too_many_shared);
    if (!only_mapped(system.memory, frame)) return refuse(Outcome::pinned);
    // Rule: a device is asked only about pages that the CPUs have not used.
    if (who_ == Who::khugepaged)
      used_ += entry.accessed() || system.memory.frame(frame).young || system.notifier.test_young(mm_, page) ? 1 : 0;
    return true;
  }
  // After the last entry.
  bool accept() {
    if (!writable_) return refuse(Outcome::all_read_only);
    const bool worth = used_ != 0 && (swapped_ == 0 || used_ >= kHugeFrames / 2);
    if (who_ == Who::khugepaged && !worth) return refuse(Outcome::unused);
    return true;
  }
  Outcome outcome() const { return outcome_; }
  bool any_swapped() const { return swapped_ != 0; }

 private:
  bool refuse(Outcome outcome) {
    outcome_ = outcome;
    return false;
  }
  // Nobody but page tables holds the page: who else does might be writing to it.
  bool only_mapped(const PhysicalMemory& memory, Pfn frame) {
    const Pfn head = memory.head(frame);
    if (head == last_folio_) return true;
    const std::uint64_t cached = memory.frame(head).slot != kNoSlot ? memory.folio_frames(head) : 0;
    if (memory.references(head) != all_mappings(memory, head) + cached) return false;
    last_folio_ = head;
    return true;
  }

  Mm& mm_;
  Who who_;
  bool may_swap_in_;
  unsigned none_ = 0;
  unsigned shared_ = 0;
  unsigned used_ = 0;
  unsigned swapped_ = 0;
  bool writable_ = false;
  Pfn last_folio_ = kNoPfn;
  Outcome outcome_ = Outcome::collapsed;
};

bool still_fits(Mm& mm, Vpn first, Who who) {
  if (mm.torn_down) return false;
  const Vma vma = mm.vma_at(first);
  return !vma.pages.empty() && vma.attributes.anon_vma != 0 && may_be_huge(mm.system, vma, first, who == Who::advice);
}

// The table as it stands in the tree. False: not worth it, or not possible.
bool scan(Mm& mm, PageRange block, Who who, Outcome& outcome, bool& any_swapped) {
  if (!mm.table.has_table(block.first)) {
    outcome = mm.table.read_huge(block.first).none() ? Outcome::no_table : Outcome::huge_already;
    return false;
  }
  Scan found(mm, who, true);
  bool fits = true;
  mm.page_table_lock.lock();
  announce_read(mm, block.first);
  for (Vpn page = block.first; fits && page < block.end; page = page + 1) fits = found.look(page, mm.table.read(page));
  mm.page_table_lock.unlock();
  fits = fits && found.accept();
  outcome = found.outcome();
  any_swapped = found.any_swapped();
  return fits;
}

// Pages of the block that are swapped out come back as by faults. mmap_lock is held for reading.
bool swap_in(Mm& mm, PageRange block) {
  for (Vpn page = block.first; page < block.end; page = page + 1)
    if (mm.table.read(page).swap() && handle_fault_locked(mm, page, false) != FaultResult::resolved) return false;
  return true;
}

// All entries of the block go, or come back. page_table_lock is held.
void note_table(Mm& mm, PageRange block, Pfn table, bool gone) {
  for (Vpn page = block.first; page < block.end; page = page + 1) {
    const Pte entry = mm.table.read_detached(table, page);
    if (entry.maps()) note_change(mm, one_page(page), gone ? entry : Pte{}, gone ? Pte{} : entry, "collapse");
  }
}

// Rule: announced around the moment at which the table goes and the CPUs are flushed, and no longer: whoever faults
// in between waits for mmap_lock, and the pages are copied when nobody can write to them.
Pfn take_table(Mm& mm, PageRange block) {
  InvalidateRange announced{&mm, block, InvalidateEvent::clear};
  mm.system.notifier.invalidate_range_start(announced);
  mm.page_table_lock.lock();
  announce_write(mm, block.first);
  const Pfn table = mm.table.detach_table(block.first);
  note_table(mm, block, table, true);
  flush_tlbs(mm, block);
  mm.page_table_lock.unlock();
  mm.system.notifier.invalidate_range_end(announced);
  return table;
}

// Looks again, now that nothing can change. False: the table is back in its place.
bool isolate(Mm& mm, PageRange block, Pfn table, Who who, Outcome& outcome) {
  Scan found(mm, who, false);
  bool fits = true;
  mm.page_table_lock.lock();
  announce_read(mm, block.first);
  for (Vpn page = block.first; fits && page < block.end; page = page + 1)
    fits = found.look(page, mm.table.read_detached(table, page));
  fits = fits && found.accept();
  outcome = found.outcome();
  if (!fits) {
    announce_write(mm, block.first);
    mm.table.attach_table(block.first, table);
    note_table(mm, block, table, false);
  }
  mm.page_table_lock.unlock();
  return fits;
}

void copy_pages(Mm& mm, PageRange block, Pfn table, Pfn fresh) {
  PhysicalMemory& memory = mm.system.memory;
  for (std::uint64_t i = 0; i < kHugeFrames; ++i) {
    const Vpn page = block.first + i;
    const Pte entry = mm.table.read_detached(table, page);
    const bool none = entry.none();
    if (none || entry.frame() == mm.system.zero_page_if_any())
      memory.clear({fresh.value + i});
    else
      memory.copy(entry.frame(), {fresh.value + i});
    if (!none) mm.system.arbiter.bus().emit(PageSaved{entry.frame(), "collapse"});
    if (none) continue;
    mm.page_table_lock.lock();
    announce_write(mm, page);
    mm.table.write_detached(table, page, {});
    --memory.frame(entry.frame()).mappings;
    --mm.counters.resident;
    mm.page_table_lock.unlock();
    leave_swap_cache(mm.system, entry.frame());
    mm.system.arbiter.bus().emit(PageGivenUp{entry.frame(), "collapse"});
    memory.put(entry.frame());
  }
}

// mmap_lock is held for writing.
Outcome replace_table(Mm& mm, PageRange block, Pfn fresh, Who who) {
  if (!still_fits(mm, block.first, who)) return Outcome::vma_changed;
  if (!mm.table.has_table(block.first))
    return mm.table.read_huge(block.first).none() ? Outcome::no_table : Outcome::huge_already;
  lock_vmas_for_writing(mm, block);
  mm.lock_rmap();
  const Pfn table = take_table(mm, block);
  Outcome outcome{};
  const bool fits = isolate(mm, block, table, who, outcome);
  mm.unlock_rmap();
  if (!fits) return outcome;

  copy_pages(mm, block, table, fresh);
  const Vma vma = mm.vma_at(block.first);
  for (std::uint64_t i = 0; i < kHugeFrames; ++i) note_private(mm, block.first + i, {fresh.value + i});
  const Pte entry = huge_entry_for(fresh, vma.attributes.rights, vma.attributes.rights.write);
  mm.page_table_lock.lock();
  announce_write(mm, block.first);
  mm.table.place_huge(block.first, entry, table);
  note_change(mm, block, Pte{}, entry, "collapse");
  ++mm.system.memory.frame(fresh).whole_mappings;
  mm.counters.resident += static_cast<std::int64_t>(kHugeFrames);
  ++mm.counters.huge_collapses;
  mm.page_table_lock.unlock();
  return Outcome::collapsed;
}

// mmap_lock is held for reading, and given back if the block was worth trying.
Outcome collapse_block(Mm& mm, PageRange block, Who who, bool& locked) {
  Outcome outcome{};
  bool any_swapped = false;
  if (!scan(mm, block, who, outcome, any_swapped)) return outcome;
  unlock_for_reading(mm);
  locked = false;
  // Rule: the huge page is sought without a lock, for that may take long.
  const Pfn fresh = mm.system.pressure->allocate_huge(FrameUse::anonymous, owner_name(mm, block.first));
  if (fresh == kNoPfn) return Outcome::no_huge_page;
  outcome = Outcome::collapsed;
  if (any_swapped) {
    lock_for_reading(mm);
    if (!still_fits(mm, block.first, who) || !swap_in(mm, block)) outcome = Outcome::vma_changed;
    unlock_for_reading(mm);
  }
  if (outcome == Outcome::collapsed) {
    lock_for_writing(mm);
    outcome = replace_table(mm, block, fresh, who);
    unlock_for_writing(mm);
  }
  if (outcome == Outcome::collapsed)
    mm.system.pressure->added(fresh);
  else
    mm.system.memory.put(fresh);
  return outcome;
}

Vpn next_border(Vpn page) { return block_of(page + (kTableEntries - 1)).first; }

std::vector<PageRange> whole_blocks(PageRange range) {
  std::vector<PageRange> blocks;
  for (Vpn first = next_border(range.first); first + kTableEntries <= range.end;
       first = first + kTableEntries)
    blocks.push_back(block_of(first));
  return blocks;
}

// One VMA's piece, with mmap_lock held for reading before and after.
Errno collapse_piece(Mm& mm, const Vma& piece) {
  const Vma vma = mm.vma_at(piece.pages.first);
  // Rule: the VMA must be able to hold a huge page at all, with room for the last whole block in it.
  const Vpn last_block = block_of(vma.pages.end).first;
  if (last_block.value < kTableEntries || vma.attributes.anon_vma == 0 ||
      !may_be_huge(mm.system, vma, {last_block.value - kTableEntries}, true))
    return Errno::einval;
  // Rule: both ends are rounded inwards. Where they meet nothing is to be done, and all is well; where they pass each
  // other, inside one block, less than nothing is asked for, and that cannot be fulfilled.
  if (block_of(piece.pages.end).first < next_border(piece.pages.first)) return Errno::einval;
  bool locked = true;
  std::uint64_t missing = 0;
  Outcome last = Outcome::no_table;
  for (const PageRange block : whole_blocks(piece.pages)) {
    if (!locked) {
      lock_for_reading(mm);
      locked = true;
      if (!still_fits(mm, block.first, Who::advice)) return Errno::einval;
    }
    const Outcome outcome = collapse_block(mm, block, Who::advice, locked);
    if (outcome == Outcome::collapsed || outcome == Outcome::huge_already) continue;
    ++missing;
    last = outcome;
    if (!lets_go_on(outcome)) break;
  }
  if (!locked) lock_for_reading(mm);
  return missing == 0 ? Errno::ok : answer_of(last);
}

}  // namespace

// Rule: piece by piece; the first that fails ends it. Holes are passed over and make the answer ENOMEM.
Errno madvise_collapse(Mm& mm, PageRange range) {
  require(mm.system.behaviour.collapse_advice, "MADV_COLLAPSE");
  return system_call(mm, "madvise", range, [&] {
    if (!is_user_range(range)) return Errno::einval;
    lock_for_reading(mm);
    mm.system.arbiter.step(mm.system.costs.vma_work);
    std::uint64_t mapped = 0;
    Errno answer = Errno::ok;
    for (const Vma& piece : mm.vmas_in(range)) {
      mapped += piece.pages.pages();
      answer = collapse_piece(mm, piece);
      if (answer != Errno::ok) break;
    }
    unlock_for_reading(mm);
    return answer != Errno::ok || mapped == range.pages() ? answer : Errno::enomem;
  });
}

// Rule: each block of each VMA that may have huge pages, as they are when their turn comes. It does not wait for
// mmap_lock in Linux; here it does, so that a scenario need not try again.
std::uint64_t khugepaged_scan(Mm& mm) {
  require(mm.system.behaviour.huge_pages, "khugepaged");
  std::uint64_t collapsed = 0;
  lock_for_reading(mm);
  const VmaList vmas = mm.torn_down ? VmaList{} : mm.vmas_in(kWholeSpace);
  for (const Vma& vma : vmas)
    for (const PageRange block : whole_blocks(vma.pages)) {
      if (!still_fits(mm, block.first, Who::khugepaged)) continue;
      bool locked = true;
      if (collapse_block(mm, block, Who::khugepaged, locked) == Outcome::collapsed) ++collapsed;
      if (!locked) lock_for_reading(mm);
    }
  unlock_for_reading(mm);
  return collapsed;
}

}  // namespace secmmu
