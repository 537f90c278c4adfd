// madvise: the pages go, the mapping stays. MADV_DONTNEED takes them from this address space, MADV_REMOVE out
// of the shared object and so from everyone who maps it.
#include "models/mm/entries.hpp"
#include "models/mm/gather.hpp"
#include "models/mm/reverse_map.hpp"

namespace secmmu {

void zap_pages(Mm& mm, PageRange range) {
  for (const Vma& piece : vmas_in(mm.vmas, range)) {
    Gather gather(mm);
    InvalidateRange announced{&mm, piece.pages, InvalidateEvent::clear};
    mm.system.notifier.invalidate_range_start(announced);
    zap(gather, piece.pages, piece.attributes.shared, "zap");
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

namespace {

void unmap_everywhere(MmSystem& system, const SharedObject& object, std::uint64_t first, std::uint64_t end) {
  for_each_mapping(system, object, first, end, [&system](const Mapping& mapping) {
    Gather gather(*mapping.mm);
    InvalidateRange announced{mapping.mm, mapping.pages, InvalidateEvent::clear};
    system.notifier.invalidate_range_start(announced);
    zap(gather, mapping.pages, true, "zap");
    system.notifier.invalidate_range_end(announced);
    gather.finish();
  });
}

}  // namespace

// Rule: mmap_lock is held only to find out what is mapped there. Unmapped again until nobody maps what is given
// back: a fault, or an mremap, may have been faster.
Errno madvise_remove(Mm& mm, PageRange range) {
  return system_call(mm, "madvise", range, [&] {
    if (!is_user_range(range)) return Errno::einval;
    MmSystem& system = mm.system;
    lock_for_reading(mm);
    system.arbiter.step(system.costs.vma_work);
    const VmaList pieces = vmas_in(mm.vmas, range);
    std::uint64_t mapped = 0;
    for (const Vma& piece : pieces) mapped += piece.attributes.shared ? piece.pages.pages() : 0;
    const bool whole = mapped == range.pages();
    if (whole)  // keeps the objects
      for (const Vma& piece : pieces) piece.attributes.object->mapped(1);
    unlock_for_reading(mm);
    if (!whole) return Errno::einval;
    for (const Vma& piece : pieces) {
      SharedObject& object = *piece.attributes.object;
      const std::uint64_t first = piece.offset_of(piece.pages.first);
      const std::uint64_t end = first + piece.pages.pages();
      do {
        unmap_everywhere(system, object, first, end);
      } while (!object.free_unmapped(first, end));
      system.unmap_object(object, 1);
    }
    return Errno::ok;
  });
}

}  // namespace secmmu
