// Huge entries give way to tables of small ones. The pages stay where they are, and stay one folio.
#include "models/mm/huge.hpp"

namespace secmmu {

namespace {

// Every page of the huge zero page becomes the small one.
void split_zero(Mm& mm, PageRange block, Pte old) {
  MmSystem& system = mm.system;
  const Pfn zero = system.zero_page_if_any();
  const Pte small = make_pte(zero, old.bits & ~(Pte::kFrameMask | Pte::kHuge));
  mm.table.split_huge(block.first, [small](Vpn) { return small; });
  for (Vpn page = block.first; page < block.end; page = page + 1)
    note_change(mm, one_page(page), part_of_huge(old, page), small, "split");
  system.memory.frame(zero).references += kHugeFrames;
  system.memory.frame(zero).mappings += kHugeFrames;
  --system.memory.frame(old.frame()).whole_mappings;
  system.memory.put(old.frame());  // never the last reference
}

// Each small entry holds a reference, where the huge one held one.
void split_folio_entry(Mm& mm, PageRange block, Pte old) {
  PhysicalMemory& memory = mm.system.memory;
  mm.table.split_huge(block.first, [old](Vpn page) { return without(part_of_huge(old, page), Pte::kHuge); });
  const Pfn head = old.frame();
  --memory.frame(head).whole_mappings;
  memory.frame(head).references += kHugeFrames - 1;
  for (std::uint64_t i = 0; i < kHugeFrames; ++i) ++memory.frame({head.value + i}).mappings;
}

// Nobody uses the pages from now on; the folio's one reference for the huge entry goes.
void split_into_migrating(Mm& mm, PageRange block, Pte old) {
  PhysicalMemory& memory = mm.system.memory;
  mm.table.split_huge(block.first,
                      [old](Vpn page) { return migration_entry_for(without(part_of_huge(old, page), Pte::kHuge)); });
  note_change(mm, block, old, Pte{}, "migrate");
  mm.counters.resident -= static_cast<std::int64_t>(kHugeFrames);
  --memory.frame(old.frame()).whole_mappings;
  memory.put(old.frame());  // who splits the folio holds another one
}

// Rule: no CPU may hold translations of both sizes for a page (processors have failed over it); so the huge entry is
// made not present and flushed before the table stands there. What the CPUs noted in it until then is kept.
void split_locked(Mm& mm, PageRange block, SplitInto into) {
  announce_write(mm, block.first);
  const Pte old = mm.table.read_huge(block.first);
  mm.table.write_huge(block.first, without(old, Pte::kPresent));
  if (old.maps()) flush_tlbs(mm, block);
  announce_write(mm, block.first);
  if (old.migration())
    mm.table.split_huge(block.first, [old](Vpn page) { return without(part_of_huge(old, page), Pte::kHuge); });
  else if (old.frame() == mm.system.huge_zero_page_if_any())
    split_zero(mm, block, old);
  else if (into == SplitInto::migrating)
    split_into_migrating(mm, block, old);
  else
    split_folio_entry(mm, block, old);
  ++mm.counters.huge_splits;
  mm.system.arbiter.bus().emit(HugeSplit{mm.name(), mm.id(), block});
}

}  // namespace

// Rule: announced before the lock is taken under which it is found out whether there is anything to split.
void split_huge_entry(Mm& mm, Vpn page, SplitInto into, Pfn only) {
  NotifierCore& notifier = mm.system.notifier;
  const PageRange block = block_of(page);
  InvalidateRange announced{&mm, block, InvalidateEvent::clear};
  notifier.invalidate_range_start(announced);
  mm.page_table_lock.lock();
  announce_read(mm, block.first);
  const Pte entry = mm.table.read_huge(block.first);
  if (!entry.none() && (only == kNoPfn || entry.frame() == only)) split_locked(mm, block, into);
  mm.page_table_lock.unlock();
  // No translation changed, so there is nothing that a device which walks the tables would have to drop.
  if (notifier.behaviour().only_end)
    notifier.invalidate_range_only_end(announced);
  else
    notifier.invalidate_range_end(announced);
}

}  // namespace secmmu
