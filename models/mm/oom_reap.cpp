// Taking the memory of a process that is about to die, before it does so itself.
#include "models/mm/entries.hpp"
#include "models/mm/gather.hpp"

namespace secmmu {

namespace {

// How the reaper of this kernel treats subscribers, in front of everything else. False: it keeps away.
bool may_reap(Mm& victim) {
  const std::string& how = victim.system.behaviour.reaper;
  NotifierCore& notifier = victim.system.notifier;
  if (how == "skips-subscribed") return !notifier.has_notifiers(victim);
  if (how == "skips-blockable") return !notifier.has_blockable_notifiers(victim);
  return true;
}

// False: a subscriber would have had to wait, and nothing was taken.
bool reap(Mm& victim, const Vma& vma) {
  NotifierCore& notifier = victim.system.notifier;
  const std::string& how = victim.system.behaviour.reaper;
  Gather gather(victim);
  InvalidateRange announced{&victim, vma.pages, InvalidateEvent::unmap};
  announced.blockable = how != "asks";
  const bool announces = how == "asks" || how == "skips-blockable";
  const bool told = !announces || notifier.invalidate_range_start(announced) == Errno::ok;
  if (told) {
    zap(gather, vma.pages, "reap");
    if (announces) notifier.invalidate_range_end(announced);
  }
  gather.finish();
  return told;
}

}  // namespace

// Rule: the reaper may wait for nobody who could wait for the victim. It needs mmap_lock for reading only, and
// takes what is the victim's alone; a VMA whose start is refused is left, the others are taken all the same.
// mm_count keeps the structure: the victim may exit meanwhile.
Errno oom_reap(Mm& victim) {
  if (victim.system.behaviour.reaper == "absent")
    throw AbsentInKernel("the out-of-memory reaper does not exist in this kernel");
  if (victim.torn_down) return Errno::esrch;
  victim.count().get();
  lock_for_reading(victim);
  Errno answer = victim.torn_down ? Errno::esrch : Errno::ok;
  if (answer == Errno::ok && !may_reap(victim)) {
    answer = Errno::eagain;
  } else if (answer == Errno::ok) {
    for (const Vma& vma : vmas_in(victim.vmas, kWholeSpace))
      if (!vma.attributes.shared && !reap(victim, vma)) answer = Errno::eagain;
  }
  unlock_for_reading(victim);
  victim.drop_count();
  return answer;
}

}  // namespace secmmu
