// munmap, and the unmapping inside mmap, mremap and brk.
#include <algorithm>

#include "models/mm/entries.hpp"
#include "models/mm/gather.hpp"

namespace secmmu {

namespace {

// Rule: who comes to their pages from the side of a file finds the VMAs as long as anything may be mapped there, and
// has come to an end with them when their tables go.
void leave_reverse_map(Mm& mm) {
  const auto of_object = [](const Vma& vma) { return vma.attributes.object != nullptr; };
  const bool locks = std::ranges::any_of(mm.leaving, of_object);
  if (locks) mm.lock_rmap();
  mm.leaving.clear();
  if (locks) mm.unlock_rmap();
}

}  // namespace

// Rule: one start and end for the whole requested span, holes included, if a VMA lies in it at all. The
// VMAs go first, so that no fault brings a page back; the last pages are freed after end.
bool unmap_span(Mm& mm, PageRange range, bool may_downgrade) {
  MmSystem& system = mm.system;
  const VmaList pieces = vmas_in(mm.vmas, range);
  if (pieces.empty()) return false;
  lock_vmas_for_writing(mm, range);
  cut_vma(mm, range.first);
  cut_vma(mm, range.end);
  mm.vmas.erase(interval_of(range));
  mm.leaving = pieces;
  for (const Vma& piece : pieces) system.arbiter.bus().emit(VmaUnmapped{mm.name(), mm.id(), piece.pages});
  const bool downgraded = may_downgrade && system.behaviour.munmap_downgrades;
  if (downgraded) downgrade_to_reading(mm);

  Gather gather(mm);
  InvalidateRange announced{&mm, range, InvalidateEvent::unmap};
  system.notifier.invalidate_range_start(announced);
  for (const Vma& piece : pieces) zap(gather, piece.pages, "zap");
  system.notifier.invalidate_range_end(announced);
  leave_reverse_map(mm);
  free_page_tables(gather, {pieces.front().pages.first, pieces.back().pages.end});
  gather.finish();

  for (const Vma& piece : pieces)
    if (piece.attributes.object != nullptr) system.unmap_object(*piece.attributes.object, piece.pages.pages());
  return downgraded;
}

Errno munmap(Mm& mm, PageRange range) {
  return system_call(mm, "munmap", range, [&] {
    if (!is_user_range(range)) return Errno::einval;
    lock_for_writing(mm);
    mm.system.arbiter.step(mm.system.costs.vma_work);
    if (unmap_span(mm, range, true))
      unlock_for_reading(mm);
    else
      unlock_for_writing(mm);
    return Errno::ok;
  });
}

}  // namespace secmmu
