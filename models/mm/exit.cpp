// The end of an address space: its last user has gone.
#include <utility>

#include "models/mm/entries.hpp"
#include "models/mm/gather.hpp"

namespace secmmu {

namespace {

void unmap_all(Mm& mm, Gather& gather) {
  NotifierCore& notifier = mm.system.notifier;
  InvalidateRange announced{&mm, kWholeSpace, InvalidateEvent::unmap};
  notifier.invalidate_range_start(announced);
  for (const Vma& vma : vmas_in(mm.vmas, kWholeSpace)) zap(gather, vma.pages, "exit");
  notifier.invalidate_range_end(announced);
}

// Rule: nobody finds its VMAs any more by the reverse map, and who has found one has come to an end with it.
VmaList take_vmas_out(Mm& mm) {
  if (mm.vmas.empty()) return {};
  mm.lock_rmap();
  const VmaList all = vmas_in(mm.vmas, kWholeSpace);
  mm.vmas.clear();
  mm.unlock_rmap();
  return all;
}

void forget_vmas(Mm& mm, const VmaList& all) {
  for (const Vma& vma : all) {
    mm.system.arbiter.bus().emit(VmaUnmapped{mm.name(), mm.id(), vma.pages});
    if (vma.attributes.object != nullptr) mm.system.unmap_object(*vma.attributes.object, vma.pages.pages());
  }
}

}  // namespace

// Rule: subscribers are released first, while every page is still there; the announcement that follows
// reaches nobody of the list. No core may walk the tables when they go, so cores that still have them
// loaded load nobody's instead.
void exit_mmap(Mm& mm) {
  MmSystem& system = mm.system;
  const bool locks = system.behaviour.exit_lock == "read-then-write";
  system.notifier.release(mm);
  merge_before_exit(mm);

  Gather gather(mm, true);
  if (locks) lock_for_reading(mm);
  if (!mm.vmas.empty()) unmap_all(mm, gather);
  if (locks) unlock_for_reading(mm);
  if (locks) lock_for_writing(mm);
  for (Core* core : system.cores)
    if (core->loaded().asid == mm.id()) core->load({});
  const VmaList vmas = take_vmas_out(mm);
  gather.finish();
  mm.table.free_all();
  forget_vmas(mm, vmas);
  mm.torn_down = true;
  if (locks) unlock_for_writing(mm);
  for (const auto& close : std::exchange(mm.at_close, {})) close();
}

void mmput(Mm& mm) {
  mm.system.arbiter.might_sleep("mmput");
  if (!mm.users().put()) return;
  exit_mmap(mm);
  mm.drop_count();
}

bool enter_kernel(Mm& mm) { return mm.users().join(); }

void leave_kernel(Mm& mm) {
  if (!mm.users().part()) mmput(mm);
}

}  // namespace secmmu
