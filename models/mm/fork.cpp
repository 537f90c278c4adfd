// fork: the child gets the VMAs, and a copy of those entries that a fault could not make again.
#include "models/mm/entries.hpp"
#include "models/mm/gather.hpp"
#include "models/mm/huge.hpp"
#include "models/mm/memory_pressure.hpp"

namespace secmmu {

namespace {

// One private page: read-only on both sides from now on, and nobody's own any more.
void share_page(Mm& parent, Mm& child, Vpn page) {
  announce_write(parent, page);
  const Pte old = parent.table.read(page);
  if (old.migration()) {  // whoever moves the page comes by here, too
    const Pte both = without(old, kExclusive | Pte::kWritable);
    if (both != old) store(parent, page, old, both, "fork");
    announce_write(child, page);
    store(child, page, Pte{}, without(both, Pte::kWriteProtected), "fork");
    return;
  }
  if (old.swap()) {
    const Pte both = without(old, kExclusive);
    if (both != old) store(parent, page, old, both, "fork");
    announce_write(child, page);
    parent.system.swap.get(old.slot());
    ++child.counters.swapped;
    store(child, page, Pte{}, without(both, Pte::kWriteProtected), "fork");
    return;
  }
  const Pte shared = without(old, Pte::kWritable | kExclusive);
  if (shared != old) store(parent, page, old, shared, "fork");

  announce_write(child, page);
  PhysicalMemory& memory = parent.system.memory;
  memory.get(old.frame());
  ++memory.frame(old.frame()).mappings;
  ++child.counters.resident;
  store(child, page, Pte{}, without(shared, Pte::kAccessed | Pte::kWriteProtected), "fork");
}

bool copy_entries(Mm& parent, Mm& child, PageRange pages) {
  for (const auto& [table, huge] : populated_parts(parent, pages)) {
    const Taken taken = huge ? share_huge(parent, child, table.first) : Taken::small;
    if (taken == Taken::out_of_memory) return false;
    if (taken == Taken::done) continue;
    parent.system.pressure->keep_reserve();
    if (!child.table.ensure(table.first)) return false;
    child.page_table_lock.lock();
    parent.page_table_lock.lock(1);
    for (const Vpn page : populated_pages(parent, table)) share_page(parent, child, page);
    parent.page_table_lock.unlock();
    child.page_table_lock.unlock();
  }
  return true;
}

// Rule: a VMA whose pages a fault can bring again (shared, or only ever read) is not walked. The others are
// announced whole: the parent's entries lose their write bit. What the parent said of its own pages, that they are
// locked, or watched by its userfaultfd, does not hold for the child's.
bool copy_vma(Mm& parent, Mm& child, const Vma& vma) {
  MmSystem& system = parent.system;
  VmaAttributes attributes = vma.attributes;
  if (attributes.dont_fork) return true;
  attributes.locked = false;
  attributes.write_protect = false;
  if (attributes.wipe_on_fork) attributes.anon_vma = 0;
  if (attributes.wipe_on_fork) attributes.inherited.clear();
  if (attributes.object != nullptr) attributes.object->mapped(vma.pages.pages());
  const bool walk = !attributes.shared && attributes.anon_vma != 0;
  if (walk) {
    attributes.inherited.push_back(attributes.anon_vma);
    attributes.anon_vma = system.next_anon_vma();
  }
  place_vma(child.vmas, vma.pages, attributes);
  note_mapped(child, vma.pages, attributes);
  if (!walk) return true;

  InvalidateRange announced{&parent, vma.pages, InvalidateEvent::protection_page};
  system.notifier.invalidate_range_start(announced);
  const bool done = copy_entries(parent, child, vma.pages);
  system.notifier.invalidate_range_end(announced);
  return done;
}

}  // namespace

// Rule: one flush of the parent at the end, before anybody can change its mappings; until then its CPUs may
// still write pages that the child shares.
Errno fork(Mm& parent, Mm& child) {
  return system_call(parent, "fork", kWholeSpace, [&] {
    MmSystem& system = parent.system;
    lock_for_writing(parent);
    lock_for_writing(child, 1);
    system.arbiter.step(system.costs.vma_work);
    if (system.behaviour.fork_locks_vmas) lock_vmas_for_writing(parent, kWholeSpace);
    child.brk_start = parent.brk_start;
    child.brk_end = parent.brk_end;
    bool done = true;
    for (const Vma& vma : vmas_in(parent.vmas, kWholeSpace)) {
      done = copy_vma(parent, child, vma);
      if (!done) break;
    }
    merge_after_fork(parent, child);
    unlock_for_writing(child);
    flush_tlbs(parent, kWholeSpace);
    unlock_for_writing(parent);
    return done ? Errno::ok : Errno::enomem;
  });
}

}  // namespace secmmu
