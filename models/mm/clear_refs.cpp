// /proc/PID/clear_refs: forgetting which pages were used, or written.
#include "models/mm/entries.hpp"
#include "models/mm/gather.hpp"
#include "models/mm/huge.hpp"

namespace secmmu {

namespace {

template <class Change>
void change_all(Mm& mm, Change change) {
  for (const auto& [part, huge] : populated_parts(mm, kWholeSpace)) {
    mm.page_table_lock.lock();
    if (const Pte old = huge ? mm.table.read_huge(part.first) : Pte{}; !old.none()) {
      announce_write(mm, part.first);
      const Pte fresh = change(old);
      if (fresh != old) mm.table.write_huge(part.first, fresh);
      if (fresh != old) note_change(mm, part, old, fresh, "clear_refs");
    }
    for (const Vpn page : populated_pages(mm, part)) {
      announce_write(mm, page);
      const Pte old = mm.table.read(page);
      const Pte fresh = change(old);
      if (fresh != old) store(mm, page, old, fresh, "clear_refs");
    }
    mm.page_table_lock.unlock();
  }
}

}  // namespace

// Rule: devices are not asked, and keep what they know.
Errno clear_referenced(Mm& mm) {
  return system_call(mm, "clear_refs", kWholeSpace, [&] {
    PhysicalMemory& memory = mm.system.memory;
    lock_for_writing(mm);
    change_all(mm, [&memory](Pte old) {
      if (!old.maps()) return old;
      memory.frame(old.frame()).young = false;
      return without(old, Pte::kAccessed);
    });
    flush_tlbs(mm, kWholeSpace);
    unlock_for_writing(mm);
    return Errno::ok;
  });
}

// Rule: to see the next write, every entry forbids it. One announcement for the whole address space; the flush of the
// CPUs comes after its end, with mmap_lock still held.
Errno clear_soft_dirty(Mm& mm) {
  require(mm.system.behaviour.soft_dirty, "the soft-dirty bit");
  return system_call(mm, "clear_refs", kWholeSpace, [&] {
    lock_for_writing(mm);
    lock_vmas_for_writing(mm, kWholeSpace);
    for (Vma vma : mm.vmas_in(kWholeSpace)) {
      vma.attributes.soft_dirty = false;
      place_vma(mm.vmas, vma.pages, vma.attributes);
    }
    ++mm.pending_gathers;
    InvalidateRange announced{&mm, kWholeSpace, InvalidateEvent::soft_dirty};
    mm.system.notifier.invalidate_range_start(announced);
    change_all(mm, [](Pte old) {
      if (old.maps()) return without(old, Pte::kWritable | Pte::kSoftDirty);
      return old.swap() ? without(old, Pte::kSoftDirty) : old;
    });
    mm.system.notifier.invalidate_range_end(announced);
    flush_tlbs(mm, kWholeSpace);
    --mm.pending_gathers;
    unlock_for_writing(mm);
    return Errno::ok;
  });
}

}  // namespace secmmu
