// madvise: the pages go, the mapping stays. MADV_DONTNEED takes them from this address space only.
#include "models/mm/entries.hpp"
#include "models/mm/gather.hpp"

namespace secmmu {

void zap_pages(Mm& mm, PageRange range) {
  for (const Vma& piece : vmas_in(mm.vmas, range)) {
    Gather gather(mm);
    InvalidateRange announced{&mm, piece.pages, InvalidateEvent::clear};
    mm.system.notifier.invalidate_range_start(announced);
    zap(gather, piece.pages, "zap");
    mm.system.notifier.invalidate_range_end(announced);
    gather.finish();
  }
}

// Rule: per VMA one gather, and in it one start and end over the piece, whether anything is there or not.
// Holes are passed over and make the answer ENOMEM. mmap_lock is held for reading: faults and other
// discards run at the same time.
Errno madvise_dontneed(Mm& mm, PageRange range) {
  return system_call(mm, "madvise", range, [&] {
    if (!is_user_range(range)) return Errno::einval;
    MmSystem& system = mm.system;
    lock_for_reading(mm);
    system.arbiter.step(system.costs.vma_work);
    std::uint64_t mapped = 0;
    for (const Vma& piece : vmas_in(mm.vmas, range)) {
      if (piece.attributes.locked) {
        unlock_for_reading(mm);
        return Errno::einval;
      }
      mapped += piece.pages.pages();
    }
    zap_pages(mm, range);
    unlock_for_reading(mm);
    return mapped == range.pages() ? Errno::ok : Errno::enomem;
  });
}

}  // namespace secmmu
