// Write faults on entries that forbid writing: the page is kept, or copied away.
#include "models/mm/entries.hpp"
#include "models/mm/gather.hpp"
#include "models/mm/swap.hpp"

namespace secmmu {

namespace {

// Rule (v5.1 to v5.8): the page is a private one again.
bool is_last_of_merged(MmSystem& system, Pfn pfn) {
  Frame& frame = system.memory.frame(pfn);
  if (frame.slot != kNoSlot || frame.references != 1) return false;
  frame.use = FrameUse::anonymous;
  frame.mapping = 0;
  return true;
}

// Rule: nobody takes a page over while somebody moves or splits it, who finds its mappings by whose it is; the others
// among them may only be gone for the moment. (Linux waits for the page's lock; here the page is copied.) The swap
// cache's reference does not count if it can be given up. An entry that names the page's slot is a mapping, too.
bool may_reuse(MmSystem& system, Pte entry) {
  const PhysicalMemory& memory = system.memory;
  const Frame& frame = memory.frame(entry.frame());
  if (frame.use == FrameUse::merged && system.behaviour.ksm_reuse) return is_last_of_merged(system, entry.frame());
  if (frame.use != FrameUse::anonymous) return false;
  if (system.behaviour.cow_reuse == "one-mapping")
    return memory.mappings(entry.frame()) == 1 && !memory.frame(memory.head(entry.frame())).isolated &&
           leave_swap_cache(system, entry.frame());
  if (system.behaviour.cow_reuse == "exclusive" && exclusive(entry)) return true;
  if (memory.references(entry.frame()) > 1u + (frame.slot != kNoSlot)) return false;
  return leave_swap_cache(system, entry.frame()) && memory.references(entry.frame()) == 1;
}

// The copy takes the place of the old page. page_table_lock is held, the old frame cannot be freed.
//
// Rule: the entry is cleared and the CPUs flushed before the new one is written, so that nobody uses both
// pages at the same time. The same must hold for devices: what they are told depends on the kernel.
void replace(Mm& mm, const Vma& vma, Vpn page, Pfn fresh) {
  MmSystem& system = mm.system;
  const MmBehaviour& behaviour = system.behaviour;
  NotifierCore& notifier = system.notifier;
  const bool change_pte = behaviour.cow_notify != "invalidate-page" && notifier.behaviour().change_pte;

  announce_write(mm, page);
  const Pte old = mm.table.read(page);
  store(mm, page, old, Pte{}, "cow");
  flush_tlbs_and_tell(mm, one_page(page));
  if (behaviour.cow_notify == "invalidate-page" && notifier.behaviour().invalidate_page)
    notifier.invalidate_page(mm, page);
  const bool writable = vma.attributes.rights.write;  // KSM makes copies for those who may only read, too
  if (change_pte && behaviour.change_pte_first) notifier.change_pte(mm, page, fresh, writable);

  announce_write(mm, page);
  Pte entry = with(entry_for(fresh, vma.attributes.rights, writable), kWritten | kExclusive);
  if (vma.attributes.rights.none()) entry = with(without(entry, Pte::kPresent), Pte::kProtNone);
  store(mm, page, Pte{}, entry, "cow");
  if (change_pte && !behaviour.change_pte_first) notifier.change_pte(mm, page, fresh, writable);

  --system.memory.frame(old.frame()).mappings;
  ++system.memory.frame(fresh).mappings;
  forget_in_swap_cache(system, old.frame());
  system.memory.put(old.frame());  // the mapping's reference; the fault has its own
}

// `old`: the page that the entry maps, with a reference of ours.
FaultResult copy(Mm& mm, const Vma& vma, Vpn page, Pfn old, std::string_view& how) {
  MmSystem& system = mm.system;
  PhysicalMemory& memory = system.memory;
  const Pfn fresh = allocate_private(mm, page);
  if (fresh == kNoPfn) {
    memory.put(old);
    return FaultResult::out_of_memory;
  }
  if (old == system.zero_page_if_any())
    memory.clear(fresh);
  else
    memory.copy(old, fresh);

  const bool announce = system.behaviour.cow_notify == "start-end";
  InvalidateRange announced{&mm, one_page(page), InvalidateEvent::clear};
  if (announce) system.notifier.invalidate_range_start(announced);
  mm.page_table_lock.lock();
  announce_read(mm, page);
  const Pte now = mm.table.read(page);
  const bool same = now.maps() && !now.writable() && now.frame() == old;
  if (same) {
    replace(mm, vma, page, fresh);
    ++mm.counters.cow_copies;
    how = "cow_copy";
  }
  mm.page_table_lock.unlock();
  // invalidate_range has been called where it had to be, under the lock.
  if (announce && system.notifier.behaviour().only_end)
    system.notifier.invalidate_range_only_end(announced);
  else if (announce)
    system.notifier.invalidate_range_end(announced);
  if (!same) memory.put(fresh);
  memory.put(old);
  return FaultResult::resolved;
}

}  // namespace

FaultResult write_fault(Mm& mm, const Vma& vma, Vpn page, Pte seen, std::string_view& how) {
  MmSystem& system = mm.system;
  mm.page_table_lock.lock();
  announce_write(mm, page);
  const Pte entry = mm.table.read(page);
  const bool changed = !entry.maps() || entry.writable() || entry.huge() || entry.frame() != seen.frame();
  if (!changed && (vma.attributes.shared || may_reuse(system, entry))) {
    // More rights need no flush: a TLB that does not know of them asks again.
    const std::uint64_t mine = vma.attributes.shared ? 0 : kExclusive;
    store(mm, page, entry, with(entry, Pte::kWritable | kWritten | Pte::kAccessed | mine), "fault");
    if (!vma.attributes.shared) {
      if (!exclusive(entry)) note_private(mm, page, entry.frame());
      ++mm.counters.cow_reuses;
    }
    if (is_file(vma.attributes)) vma.attributes.object->mark_dirty(vma.offset_of(page));
    how = vma.attributes.shared ? "shared" : "cow_reuse";
    mm.page_table_lock.unlock();
    return FaultResult::resolved;
  }
  if (!changed) system.memory.get(entry.frame());
  mm.page_table_lock.unlock();
  if (changed) return FaultResult::resolved;
  return copy(mm, vma, page, entry.frame(), how);
}

}  // namespace secmmu
