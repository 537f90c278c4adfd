// Faults of whole blocks, and writes to huge entries that forbid them.
#include "models/mm/huge.hpp"
#include "models/mm/memory_pressure.hpp"

namespace secmmu {

namespace {

// Maps the folio where nothing is, with the reference that the caller holds. False: somebody else was faster.
bool map_huge(Mm& mm, PageRange block, Pte entry, Pfn spare) {
  mm.page_table_lock.lock();
  announce_write(mm, block.first);
  const bool free = no_table_or_huge(mm, block.first);
  if (free) {
    mm.table.place_huge(block.first, entry, spare);
    note_change(mm, block, Pte{}, entry, "fault");
    ++mm.system.memory.frame(entry.frame()).whole_mappings;
    mm.counters.resident += static_cast<std::int64_t>(kHugeFrames);
  }
  mm.page_table_lock.unlock();
  return free;
}

// Rule: the folio is the caller's to lose: whoever was slower gives it back, and the table too.
FaultResult map_fresh(Mm& mm, PageRange block, Pte entry, bool& mapped) {
  const Pfn spare = mm.table.allocate_spare();
  mapped = spare != kNoPfn && map_huge(mm, block, entry, spare);
  if (mapped) return FaultResult::resolved;
  mm.system.memory.put(entry.frame());
  if (spare == kNoPfn) return FaultResult::out_of_memory;
  mm.table.free_spare(spare);
  return FaultResult::resolved;
}

bool may_reuse_huge(MmSystem& system, Pte entry) {
  const PhysicalMemory& memory = system.memory;
  if (memory.frame(entry.frame()).use != FrameUse::anonymous) return false;
  if (system.behaviour.cow_reuse == "one-mapping")
    return memory.mappings(entry.frame()) == 1 && !memory.frame(entry.frame()).isolated;  // as of small pages
  if (system.behaviour.cow_reuse == "exclusive" && exclusive(entry)) return true;
  return memory.references(entry.frame()) == 1;
}

// The copy takes the place of the old page, all 512 of it. page_table_lock is held.
void replace_huge(Mm& mm, const Vma& vma, PageRange block, Pte old, Pfn fresh) {
  PhysicalMemory& memory = mm.system.memory;
  announce_write(mm, block.first);
  const Pfn spare = mm.table.remove_huge(block.first);
  note_change(mm, block, old, Pte{}, "cow");
  flush_tlbs_and_tell(mm, block);
  announce_write(mm, block.first);
  const Pte entry = huge_entry_for(fresh, vma.attributes.rights, true);
  mm.table.place_huge(block.first, entry, spare);
  note_change(mm, block, Pte{}, entry, "cow");
  --memory.frame(old.frame()).whole_mappings;
  ++memory.frame(fresh).whole_mappings;
  memory.put(old.frame());
}

// Copies a shared huge page (up to v5.7). `old`: its entry, with a reference of ours. False: no room for a copy.
bool copy_huge(Mm& mm, const Vma& vma, PageRange block, Pte old) {
  MmSystem& system = mm.system;
  PhysicalMemory& memory = system.memory;
  const Pfn fresh = allocate_huge_private(mm, block);
  if (fresh == kNoPfn) return false;
  if (old.frame() == system.huge_zero_page_if_any())
    memory.clear(fresh, kHugeFrames);
  else
    for (std::uint64_t i = 0; i < kHugeFrames; ++i) memory.copy({old.frame().value + i}, {fresh.value + i});

  InvalidateRange announced{&mm, block, InvalidateEvent::clear};
  system.notifier.invalidate_range_start(announced);
  mm.page_table_lock.lock();
  announce_read(mm, block.first);
  const Pte now = mm.table.read_huge(block.first);
  const bool same = now.present() && !now.writable() && now.frame() == old.frame();
  if (same) {
    replace_huge(mm, vma, block, now, fresh);
    ++mm.counters.cow_copies;
  }
  mm.page_table_lock.unlock();
  if (system.notifier.behaviour().only_end)
    system.notifier.invalidate_range_only_end(announced);
  else
    system.notifier.invalidate_range_end(announced);
  if (!same) memory.put(fresh);
  return true;
}

}  // namespace

bool may_be_huge(const MmSystem& system, const Vma& vma, Vpn page, bool by_advice) {
  const VmaAttributes& attributes = vma.attributes;
  const PageRange block = block_of(page);
  if (!system.behaviour.huge_pages || attributes.object != nullptr || attributes.huge == HugeAdvice::never)
    return false;
  if (block.first < vma.pages.first || vma.pages.end < block.end) return false;
  if (by_advice) return true;
  const std::string& allowed = system.config.huge_pages;
  return allowed == "always" || (allowed == "madvise" && attributes.huge == HugeAdvice::always);
}

Pte huge_entry_for(Pfn frame, const Rights& rights, bool writable) {
  return with(entry_for(frame, rights, writable), Pte::kHuge | kWritten | kExclusive);
}

Pfn allocate_huge_private(Mm& mm, PageRange block) {
  prepare_anon_vma(mm, block.first);
  MemoryPressure& pressure = *mm.system.pressure;
  const Pfn fresh = pressure.allocate_huge(FrameUse::anonymous, owner_name(mm, block.first));
  if (fresh == kNoPfn) return kNoPfn;
  for (std::uint64_t i = 0; i < kHugeFrames; ++i) note_private(mm, block.first + i, {fresh.value + i});
  pressure.added(fresh);
  return fresh;
}

// Rule: one fault for the block, whatever page was touched. If no folio is free, small pages do as well; without a
// table to keep aside the fault fails, as it would for a small page.
std::optional<FaultResult> huge_fault(Mm& mm, const Vma& vma, Vpn page, bool write, std::string_view& how) {
  MmSystem& system = mm.system;
  if (!may_be_huge(system, vma, page)) return {};
  if (!mm.table.ensure(page, 1)) return FaultResult::out_of_memory;
  if (!no_table_or_huge(mm, page)) return {};
  const PageRange block = block_of(page);
  const Rights& rights = vma.attributes.rights;
  prepare_anon_vma(mm, page);
  bool mapped = false;
  if (!write && system.behaviour.huge_zero_page) {
    const Pfn zero = system.huge_zero_page();
    if (zero == kNoPfn) return {};
    system.memory.get(zero);
    const FaultResult result = map_fresh(mm, block, with(entry_for(zero, rights, false), Pte::kHuge), mapped);
    if (mapped) {
      ++mm.counters.zero_pages;
      how = "huge_zero_page";
    }
    return result;
  }
  const Pfn fresh = allocate_huge_private(mm, block);
  if (fresh == kNoPfn) return {};
  system.memory.clear(fresh, kHugeFrames);
  const FaultResult result = map_fresh(mm, block, huge_entry_for(fresh, rights, rights.write), mapped);
  if (mapped) {
    ++mm.counters.huge_faults;
    how = "huge_page";
  }
  return result;
}

// Rule: a page that is this process's own is written in place. Of a shared one, or of the zero page, only the small
// page that is written is copied; the entry is split for that, and the other 511 stay shared.
std::optional<FaultResult> huge_write_fault(Mm& mm, const Vma& vma, Vpn page, std::string_view& how) {
  MmSystem& system = mm.system;
  const PageRange block = block_of(page);
  mm.page_table_lock.lock();
  announce_write(mm, block.first);
  const Pte entry = mm.table.read_huge(page);
  const bool changed = !entry.present() || entry.writable();
  const bool reuse = !changed && may_reuse_huge(system, entry);
  if (reuse) {
    const Pte fresh = with(entry, Pte::kWritable | kWritten | Pte::kAccessed | kExclusive);
    mm.table.write_huge(page, fresh);
    note_change(mm, block, entry, fresh, "fault");
    if (!exclusive(entry))
      for (std::uint64_t i = 0; i < kHugeFrames; ++i) note_private(mm, block.first + i, {entry.frame().value + i});
    ++mm.counters.cow_reuses;
    how = "cow_reuse";
  }
  const bool copy = !changed && !reuse && system.behaviour.huge_cow == "copy";
  if (copy) system.memory.get(entry.frame());
  mm.page_table_lock.unlock();
  if (changed || reuse) return FaultResult::resolved;
  const bool copied = copy && copy_huge(mm, vma, block, entry);
  if (copy) system.memory.put(entry.frame());
  if (copied) {
    how = "cow_copy";
    return FaultResult::resolved;
  }
  split_huge_entry(mm, page);
  return {};
}

}  // namespace secmmu
