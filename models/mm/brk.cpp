// brk: the heap, one private mapping that grows and shrinks at its end.
#include "models/mm/entries.hpp"

namespace secmmu {

namespace {

// Where the heap of a program begins that does not say so itself.
constexpr VirtAddr kHeapBase{0x5555'5580'0000};

constexpr Vpn page_up(VirtAddr address) { return pages_of({}, address.value).end; }

}  // namespace

// Rule: an end below the heap's start only asks. Whole pages come and go; shrinking is an unmapping.
Errno brk(Mm& mm, VirtAddr end, VirtAddr& result) {
  VmaAttributes heap;
  heap.rights = {true, true, false};
  heap.accounted = true;
  return system_call(mm, "brk", pages_of(end, 0), [&] {
    lock_for_writing(mm);
    if (mm.brk_start.value == 0) mm.brk_start = mm.brk_end = kHeapBase;
    if (mm.brk_end < mm.brk_start) mm.brk_end = mm.brk_start;
    bool downgraded = false;
    Errno answer = Errno::ok;
    if (end >= mm.brk_start) {
      mm.system.arbiter.step(mm.system.costs.vma_work);
      const Vpn old_end = page_up(mm.brk_end);
      const Vpn new_end = end > address_of(kWholeSpace.end) ? kWholeSpace.end + 1 : page_up(end);
      if (new_end > kWholeSpace.end || any_vma(mm.vmas, {old_end, new_end})) {
        answer = Errno::enomem;
      } else {
        mm.brk_end = end;
        if (new_end > old_end) add_vma(mm, {old_end, new_end}, heap, NewVma::mapping);
        if (new_end < old_end) downgraded = unmap_span(mm, {new_end, old_end}, true);
      }
    }
    result = mm.brk_end;
    if (downgraded)
      unlock_for_reading(mm);
    else
      unlock_for_writing(mm);
    return answer;
  });
}

}  // namespace secmmu
