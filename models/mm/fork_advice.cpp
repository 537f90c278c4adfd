// madvise about what a child will get.
#include "models/mm/entries.hpp"

namespace secmmu {

// Rule: VMA by VMA; one that refuses ends it. Holes are passed over and make the answer ENOMEM.
Errno madvise_fork(Mm& mm, PageRange range, ForkAdvice advice) {
  if (advice == ForkAdvice::wipe || advice == ForkAdvice::keep)
    require(mm.system.behaviour.wipe_on_fork, "MADV_WIPEONFORK");
  return system_call(mm, "madvise", range, [&] {
    if (!is_user_range(range)) return Errno::einval;
    lock_for_writing(mm);
    mm.system.arbiter.step(mm.system.costs.vma_work);
    std::uint64_t mapped = 0;
    Errno answer = Errno::ok;
    for (const Vma& piece : mm.vmas_in(range)) {
      mapped += piece.pages.pages();
      VmaAttributes attributes = piece.attributes;
      if (advice == ForkAdvice::wipe && attributes.object != nullptr) {
        answer = Errno::einval;
        break;
      }
      if (advice == ForkAdvice::dont_fork || advice == ForkAdvice::do_fork)
        attributes.dont_fork = advice == ForkAdvice::dont_fork;
      else
        attributes.wipe_on_fork = advice == ForkAdvice::wipe;
      if (attributes != piece.attributes) change_vma(mm, piece.pages, attributes);
    }
    unlock_for_writing(mm);
    return answer != Errno::ok || mapped == range.pages() ? answer : Errno::enomem;
  });
}

}  // namespace secmmu
