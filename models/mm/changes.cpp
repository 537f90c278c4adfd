// The history of what mm/ does to page tables and when it tells subscribers, as a changelog. The first rows
// say how it was when notifiers came, in v2.6.27. A row without a commit after those is dated by its release.
#include <string>

#include "models/mm/mm.hpp"

namespace secmmu {

const std::vector<Change>& mm_changes() {
  using std::string;
  constexpr KernelVersion kFirst{2, 6, 27};
  static const std::vector<Change> changes{
      // --- how it began ---
      {"", kFirst, "mprotect_range", string("whole-span"), "mprotect announces each piece of a VMA, touched or not."},
      {"", kFirst, "cow_notify", string("invalidate-page"),
       "A copied page is a page that went: the next access of a device faults."},
      {"", kFirst, "change_pte_first", false, "There is no change_pte yet; when it came, it came after the entry."},
      {"", kFirst, "gather_flush", string("whole-mm"), "An unmapping flushes all of the address space."},
      {"", kFirst, "zap_flushes_under_lock", false, "A full batch is flushed after the lock was dropped."},
      {"", kFirst, "gather_collision", false, "Each unmapping flushes what it found itself."},
      {"", kFirst, "mprotect_flush", string("always"), "mprotect flushes each piece before it ends its announcement."},
      {"", kFirst, "cow_reuse", string("one-mapping"), "A page that nobody else maps is written in place."},
      {"", kFirst, "mprotect_upgrade", string("never"), "A private page becomes writable again by a fault."},
      {"", kFirst, "munmap_downgrades", false, "munmap holds mmap_lock for writing to its end."},
      {"", kFirst, "exit_lock", string("none"), "Nobody is left who could take mmap_lock, it is thought."},

      // --- and what became of it ---
      {"828502d30073",
       {2, 6, 32},
       "cow_notify",
       string("change-pte"),
       "A device that can change a translation in place is given the new page instead of losing the old one."},
      {"597e1c3580b7",
       {3, 6, 0},
       "gather_flush",
       string("hull"),
       "Flushing a range costs less than refilling a whole TLB, so the gather remembers what it touched."},
      {"48af0d7cb3c8",
       {3, 7, 0},
       "change_pte_first",
       true,
       "A CPU could write through the new entry while a device still read the old page; now the device is told first."},
      {"6bdb913f0a70",
       {3, 7, 0},
       "cow_notify",
       string("start-end"),
       "Callbacks may sleep from now on, but this place holds a spinlock; the range around it does not."},
      {"7da4d641c58d",
       {3, 8, 0},
       "mprotect_flush",
       string("if-changed"),
       "A walk that met no page leaves the TLBs alone."},
      {"a5338093bfb4",
       {3, 15, 0},
       "mprotect_range",
       string("populated"),
       "Protecting a large untouched range no longer makes every device drop everything."},
      {"1cf35d47712d",
       {3, 15, 0},
       "zap_flushes_under_lock",
       true,
       "A CPU could still dirty a shared page through its TLB after the page had been taken for clean."},
      {"99baac21e458",
       {4, 14, 0},
       "gather_collision",
       true,
       "Two threads that discarded the same pages: the second found nothing to flush and returned while another CPU "
       "could still read them."},
      {"dd2283f2605e",
       {4, 20, 0},
       "munmap_downgrades",
       true,
       "Unmapping a huge range kept every fault of the process waiting."},
      {"09854ba94c6a",
       {5, 9, 0},
       "cow_reuse",
       string("one-reference"),
       "Counting mappings did not see who else held the page; a write in place could change what they read."},
      {"6c287605fd56",
       {5, 19, 0},
       "cow_reuse",
       string("exclusive"),
       "A page that was never shared belongs to its process whatever references others hold, so it is not copied away "
       "from a device that pinned it."},
      {"4a18419f71cd",
       {5, 19, 0},
       "mprotect_flush",
       string("gather"),
       "One flush for the whole call, and only for entries that became weaker or that hardware could not notice."},
      {"64fe24a3e05e",
       {6, 0, 0},
       "mprotect_upgrade",
       string("dirty"),
       "Dirty pages that were never shared need no fault to become writable again."},
      {"bf3980c85212",
       {6, 0, 0},
       "exit_lock",
       string("read-then-write"),
       "The out-of-memory reaper works beside exit on the same page tables; the lock tells them apart."},
      {"", {6, 2, 0}, "mprotect_upgrade", string("exclusive"), "The same for clean pages."},
  };
  return changes;
}

}  // namespace secmmu
