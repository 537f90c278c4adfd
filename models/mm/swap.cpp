#include "models/mm/swap.hpp"

#include <algorithm>

#include "models/mm/entries.hpp"
#include "models/mm/page_events.hpp"
#include "models/mm/page_lock.hpp"

namespace secmmu {

bool add_to_swap(MmSystem& system, Pfn frame) {
  const auto slot = system.swap.take(system.config.swap_slots);
  if (!slot) return false;
  system.swap.cache(*slot, frame);
  system.memory.frame(frame).slot = *slot;
  system.memory.frame(frame).dirty = true;  // nothing is in the slot yet
  system.memory.get(frame);
  return true;
}

bool leave_swap_cache(MmSystem& system, Pfn frame) {
  const std::uint64_t slot = system.memory.frame(frame).slot;
  if (slot == kNoSlot) return true;
  if (system.memory.frame(system.memory.head(frame)).locked || system.swap.users(slot) != 0) return false;
  drop_from_swap_cache(system, frame);
  return true;
}

void drop_from_swap_cache(MmSystem& system, Pfn frame) {
  Frame& page = system.memory.frame(frame);
  system.swap.uncache(page.slot);
  page.slot = kNoSlot;
  page.dirty = true;  // its content is nowhere else any more
  system.memory.put(frame);
}

void forget_in_swap_cache(MmSystem& system, Pfn frame) {
  if (system.memory.frame(frame).slot != kNoSlot && system.memory.mappings(frame) == 0)
    leave_swap_cache(system, frame);
}

bool write_to_swap(MmSystem& system, Pfn frame) {
  Frame& page = system.memory.frame(frame);
  const std::uint64_t slot = page.slot;
  if (slot == kNoSlot) return false;
  system.arbiter.step(system.costs.swap_write, reads(ObjectKind::frame_bytes, 0, frame.value));
  if (page.slot != slot) return false;
  system.swap.write(page.slot, system.memory.bytes(frame));
  page.dirty = false;
  system.arbiter.bus().emit(PageSaved{frame, "swap"});
  return true;
}

void read_from_swap(MmSystem& system, std::uint64_t slot, Pfn frame) {
  system.arbiter.step(system.costs.swap_read, writes(ObjectKind::frame_bytes, 0, frame.value));
  system.swap.read(slot, system.memory.bytes(frame));
}

void free_swap_entry(MmSystem& system, std::uint64_t slot) {
  const Pfn cached = system.swap.cached(slot);
  const bool last = system.swap.users(slot) == 1;
  system.swap.put(slot);
  if (last && cached != kNoPfn) forget_in_swap_cache(system, cached);
}

namespace {

// Rule: entries that a merged page has left name one slot, from different places. A page is found by its one place, so
// each of the others gets a copy.
bool fits_here(Mm& mm, Vpn page, Pfn frame) {
  const Frame& state = mm.system.memory.frame(frame);
  const Vma vma = mm.vma_at(page);
  const VmaAttributes& attributes = vma.attributes;
  return state.use == FrameUse::merged ||
         (state.index == vma.offset_of(page) &&
          (state.mapping == attributes.anon_vma ||
           std::ranges::find(attributes.inherited, state.mapping) != attributes.inherited.end()));
}

// The page for a slot, with a reference for the caller; kNoPfn: no frame is free.
//
// Rule: where the device answers at once, a slot that one entry names needs no cache: the page is this process's own.
Pfn page_of_slot(Mm& mm, Vpn page, Pte entry, bool& fresh) {
  MmSystem& system = mm.system;
  const std::uint64_t slot = entry.slot();
  fresh = false;
  if (const Pfn cached = system.swap.cached(slot); cached != kNoPfn && fits_here(mm, page, cached)) {
    system.memory.get(cached);
    return cached;
  }
  const bool alone = system.swap.users(slot) == 1;
  const Pfn frame = allocate_private(mm, page);
  if (frame == kNoPfn || mm.table.read(page) != entry) return frame;  // the second: seen again under the lock
  read_from_swap(system, slot, frame);
  const Pfn elsewhere = system.swap.cached(slot);
  const bool of_others = elsewhere != kNoPfn && !fits_here(mm, page, elsewhere);
  if (alone || of_others || mm.table.read(page) != entry) {
    fresh = true;
    return frame;
  }
  if (const Pfn cached = system.swap.cached(slot); cached != kNoPfn) {  // somebody else was faster
    system.memory.get(cached);
    system.memory.put(frame);
    return cached;
  }
  // Others may map it at the same offset: it is looked for with the first of their family.
  const VmaAttributes attributes = mm.vma_at(page).attributes;
  if (!attributes.inherited.empty()) system.memory.frame(frame).mapping = attributes.inherited.front();
  system.swap.cache(slot, frame);
  system.memory.frame(frame).slot = slot;
  system.memory.get(frame);
  system.arbiter.bus().emit(PageSaved{frame, "swap"});  // the slot keeps it
  return frame;
}

}  // namespace

// Rule: a page that was this process's own when it went is so when it comes back, and a write makes it writable at
// once. Otherwise the entry forbids writing, and a write goes on as any write to a shared page.
FaultResult swap_fault(Mm& mm, const Vma& vma, Vpn page, Pte entry, bool write, std::string_view& how) {
  MmSystem& system = mm.system;
  PhysicalMemory& memory = system.memory;
  bool fresh = false;
  const Pfn frame = page_of_slot(mm, page, entry, fresh);
  if (frame == kNoPfn) return FaultResult::out_of_memory;
  // Reclaim may be about to give it up; who has waited for that looks again.
  lock_page(system, frame);
  mm.page_table_lock.lock();
  announce_write(mm, page);
  Frame& found = memory.frame(frame);
  if (mm.table.read(page) != entry || (!fresh && found.slot != entry.slot())) {
    mm.page_table_lock.unlock();
    unlock_page(system, frame);
    memory.put(frame);
    return FaultResult::resolved;
  }
  system.swap.put(entry.slot());
  if (found.slot != kNoSlot && (vma.attributes.locked || (write && memory.references(frame) == 2)) &&
      system.swap.users(found.slot) == 0)
    drop_from_swap_cache(system, frame);
  Pte restored = without(entry_for(frame, vma.attributes.rights, false), kSoftDirtyAndProtected);
  restored = with(restored, entry.bits & kSoftDirtyAndProtected);
  const bool own = found.use != FrameUse::merged && (exclusive(entry) || fresh || memory.references(frame) == 1);
  bool copies = write && !waits_for_handler(vma.attributes, entry);  // the next attempt finds the page protected
  if (own) {
    note_private(mm, page, frame);
    restored = with(restored, kExclusive);
    if (write && !waits_for_handler(vma.attributes, entry)) {
      restored = with(restored, Pte::kWritable | kWritten);
      copies = false;
    }
  }
  store(mm, page, entry, restored, "swap-in");
  ++found.mappings;
  ++mm.counters.resident;
  --mm.counters.swapped;
  mm.page_table_lock.unlock();
  unlock_page(system, frame);
  how = "swap_in";
  return copies ? write_fault(mm, vma, page, restored, how) : FaultResult::resolved;
}

}  // namespace secmmu
