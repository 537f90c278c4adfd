// madvise: which memory may have huge pages. Nothing of what is mapped now changes.
#include "models/mm/entries.hpp"

namespace secmmu {

// Rule: a VMA that has this advice already is left alone; another one joins its neighbours or is cut out. Holes are
// passed over and make the answer ENOMEM.
Errno madvise_huge(Mm& mm, PageRange range, HugeAdvice advice) {
  return system_call(mm, "madvise", range, [&] {
    if (!is_user_range(range) || !mm.system.behaviour.huge_pages) return Errno::einval;
    lock_for_writing(mm);
    mm.system.arbiter.step(mm.system.costs.vma_work);
    std::uint64_t mapped = 0;
    for (const Vma& piece : mm.vmas_in(range)) {
      mapped += piece.pages.pages();
      if (piece.attributes.huge == advice) continue;
      VmaAttributes attributes = piece.attributes;
      attributes.huge = advice;
      change_vma(mm, piece.pages, attributes);
    }
    unlock_for_writing(mm);
    return mapped == range.pages() ? Errno::ok : Errno::enomem;
  });
}

}  // namespace secmmu
