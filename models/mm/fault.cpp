// Page faults, of CPUs and of drivers that need a page.
#include "models/mm/huge.hpp"
#include "models/mm/memory_pressure.hpp"
#include "models/mm/migrate.hpp"
#include "models/mm/swap.hpp"
#include "models/mm/user_fault.hpp"

namespace secmmu {

namespace {

bool allowed(const Rights& rights, bool write) { return write ? rights.write : !rights.none(); }

// Maps a frame where no entry is, with the reference that the caller holds. False: somebody else was faster
// (the reference stays the caller's).
bool map_frame(Mm& mm, Vpn page, Pte entry) {
  mm.page_table_lock.lock();
  announce_write(mm, page);
  const bool free = mm.table.read(page).none();
  if (free) {
    store(mm, page, Pte{}, entry, "fault");
    ++mm.system.memory.frame(entry.frame()).mappings;
    ++mm.counters.resident;
  }
  mm.page_table_lock.unlock();
  return free;
}

FaultResult read_fault(Mm& mm, const Vma& vma, Vpn page, std::string_view& how) {
  PhysicalMemory& memory = mm.system.memory;
  const Pfn zero = mm.system.zero_page();
  if (zero == kNoPfn || !mm.table.ensure(page)) return FaultResult::out_of_memory;
  memory.get(zero);
  if (map_frame(mm, page, entry_for(zero, vma.attributes.rights, false))) {
    ++mm.counters.zero_pages;
    how = "zero_page";
  } else {
    memory.put(zero);
  }
  return FaultResult::resolved;
}

FaultResult first_write_fault(Mm& mm, const Vma& vma, Vpn page, std::string_view& how) {
  PhysicalMemory& memory = mm.system.memory;
  if (!mm.table.ensure(page)) return FaultResult::out_of_memory;
  const Pfn fresh = allocate_private(mm, page);
  if (fresh == kNoPfn) return FaultResult::out_of_memory;
  memory.clear(fresh);
  if (map_frame(mm, page, with(entry_for(fresh, vma.attributes.rights, true), kWritten | kExclusive)))
    how = "new_page";
  else
    memory.put(fresh);
  return FaultResult::resolved;
}

FaultResult resolve(Mm& mm, Vpn page, bool write, bool patient, std::string_view& how) {
  const Vma vma = mm.vma_at(page);
  if (vma.pages.empty() || !allowed(vma.attributes.rights, write)) {
    how = "segv";
    return FaultResult::segv;
  }
  announce_read(mm, page);
  if (no_table_or_huge(mm, page))
    if (const auto result = huge_fault(mm, vma, page, write, how)) return *result;
  Pte seen = mm.table.read(page);
  if (seen.migration()) {
    wait_for_migration(mm, page, seen);
    how = "migration";
    return FaultResult::resolved;  // the next attempt sees
  }
  if (write && seen.present() && !seen.writable() && waits_for_handler(vma.attributes, seen)) {
    how = "write_protected";
    return FaultResult::wait_for_handler;
  }
  if (seen.huge() && write && seen.present() && !seen.writable()) {
    if (const auto result = huge_write_fault(mm, vma, page, how)) return *result;
    announce_read(mm, page);
    seen = mm.table.read(page);
    if (seen.none() || seen.huge()) return FaultResult::resolved;  // the next attempt sees
  }
  if (seen.none()) {
    if (vma.attributes.object != nullptr) return file_fault(mm, vma, page, write, patient, how);
    return write ? first_write_fault(mm, vma, page, how) : read_fault(mm, vma, page, how);
  }
  if (seen.swap()) return swap_fault(mm, vma, page, seen, write, how);
  if (write && seen.present() && !seen.writable()) return write_fault(mm, vma, page, seen, how);
  return FaultResult::resolved;  // another fault was faster, or a TLB was behind
}

}  // namespace

Pfn allocate_private(Mm& mm, Vpn page) {
  prepare_anon_vma(mm, page);
  MemoryPressure& pressure = *mm.system.pressure;
  const Pfn fresh = pressure.allocate(FrameUse::anonymous, owner_name(mm, page));
  if (fresh == kNoPfn) return fresh;
  note_private(mm, page, fresh);
  pressure.added(fresh);
  return fresh;
}

void note_private(Mm& mm, Vpn page, Pfn pfn) {
  const Vma vma = mm.vma_at(page);
  Frame& frame = mm.system.memory.frame(pfn);
  frame.mapping = vma.attributes.anon_vma;
  frame.index = vma.offset_of(page);
}

void prepare_anon_vma(Mm& mm, Vpn page) {
  if (mm.vma_at(page).attributes.anon_vma != 0) return;
  mm.page_table_lock.lock();  // as in Linux: mmap_lock is held for reading only
  if (mm.vma_at(page).attributes.anon_vma == 0) adopt_anon_vma(mm.vmas, page, mm.system.next_anon_vma());
  mm.page_table_lock.unlock();
}

FaultResult handle_fault_locked(Mm& mm, Vpn page, bool write, bool patient) {
  ++mm.counters.faults;
  std::string_view how = "spurious";
  mm.system.pressure->keep_reserve();
  const FaultResult result = resolve(mm, page, write, patient, how);
  if (result == FaultResult::out_of_memory) how = "oom";
  mm.system.arbiter.bus().emit(FaultHandled{mm.name(), mm.id(), page, write, how});
  return result;
}

namespace {

// Rule: only faults that change nothing but entries. The first private page of a VMA brings it an anon_vma, maybe a
// neighbour's, and a fault that is not allowed is looked at again, so both take mmap_lock.
bool needs_only_its_vma(const Mm& mm, const Vma& vma, Vpn page, bool write) {
  const std::string& lock = mm.system.behaviour.fault_lock;
  const VmaAttributes& attributes = vma.attributes;
  if (lock == "mmap-lock" || vma.pages.empty() || !allowed(attributes.rights, write)) return false;
  if (attributes.object != nullptr && lock != "vma-lock") return false;
  if (attributes.shared) return true;
  if (attributes.anon_vma == 0 && may_be_huge(mm.system, vma, page)) return false;
  return attributes.anon_vma != 0 || (lock == "vma-lock" && !write);
}

// False: not done, mmap_lock is needed.
bool fault_under_vma_lock(Mm& mm, Vpn page, bool write, FaultResult& result) {
  const Vma vma = mm.vma_at(page);
  if (!needs_only_its_vma(mm, vma, page, write) || !mm.vma_locks.try_lock_read(vma)) return false;
  const Vma now = mm.vma_at(page);  // it cannot change any more
  const bool same = now.pages.first == vma.pages.first && needs_only_its_vma(mm, now, page, write);
  if (same) result = handle_fault_locked(mm, page, write);
  mm.vma_locks.unlock_read(vma);
  return same;
}

}  // namespace

FaultResult handle_fault(Mm& mm, Vpn page, bool write) {
  for (;;) {
    FaultResult result{};
    if (!fault_under_vma_lock(mm, page, write, result)) {
      lock_for_reading(mm);
      result = handle_fault_locked(mm, page, write);
      unlock_for_reading(mm);
    }
    if (result != FaultResult::wait_for_handler) return result;
    if (!wait_for_handler(mm, page)) return FaultResult::segv;
  }
}

namespace {

// Rule: whoever asks for a page to write it makes it dirty here, for nothing else will say so: the entry does not change,
// and a device has no dirty bit that the kernel looks at.
// `waits`: a write to a page that a userfaultfd protects.
Errno user_page(Mm& mm, Vpn page, bool write, Pfn& frame, Pte& entry, bool& waits) {
  for (;;) {
    const Vma vma = mm.vma_at(page);
    const Rights& rights = vma.attributes.rights;
    if (vma.pages.empty() || !(write ? rights.write : rights.read)) return Errno::efault;
    mm.page_table_lock.lock();
    announce_read(mm, page);
    entry = mm.table.read(page);
    const bool usable = entry.present() && (!write || entry.writable());
    if (usable) {
      frame = entry.frame();
      mm.system.memory.get(frame);
      mm.system.memory.frame(frame).idle = false;
      mm.system.pressure->accessed(frame);
      if (write && !entry.dirty()) note_dirty(mm.system, mm.system.memory.head(frame));
    }
    mm.page_table_lock.unlock();
    if (usable) return Errno::ok;
    switch (handle_fault_locked(mm, page, write)) {
      case FaultResult::resolved:
        break;
      case FaultResult::segv:
        return Errno::efault;
      case FaultResult::out_of_memory:
        return Errno::enomem;
      case FaultResult::wait_for_handler:
        waits = true;
        return Errno::efault;
    }
  }
}

}  // namespace

// Rule: who cannot give mmap_lock up cannot wait for userfaultfd's handler, either, and gets nothing.
Errno get_user_page_locked(Mm& mm, Vpn page, bool write, Pfn& frame, Pte& entry) {
  bool waits = false;
  return user_page(mm, page, write, frame, entry, waits);
}

Errno get_user_page(Mm& mm, Vpn page, bool write, Pfn& frame, Pte& entry) {
  for (;;) {
    bool waits = false;
    lock_for_reading(mm);
    const Errno result = user_page(mm, page, write, frame, entry, waits);
    unlock_for_reading(mm);
    if (!waits || !wait_for_handler(mm, page)) return result;
  }
}

// Rule: the reference is taken from a page that the entry still maps, so it is not the first.
bool get_user_page_fast(Mm& mm, Vpn page, bool write, Pfn& frame, Pte& entry) {
  entry = lookup_pte(mm, page);
  if (!entry.present() || (write && !entry.writable())) return false;
  frame = entry.frame();
  mm.system.memory.get(frame);
  mm.system.memory.frame(frame).idle = false;
  mm.system.pressure->accessed(frame);
  return true;
}

Pte lookup_pte(Mm& mm, Vpn page) {
  announce_read(mm, page);
  return mm.table.read(page);
}

}  // namespace secmmu
