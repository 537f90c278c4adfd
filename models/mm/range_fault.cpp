#include "models/mm/range_fault.hpp"

#include <algorithm>

#include "models/mm/huge.hpp"

namespace secmmu {
namespace {

struct Need {
  bool fault = false;
  bool write = false;
};

class Walk {
 public:
  Walk(Mm& mm, RangeFault& request) : mm_(mm), request_(request), next_(request.pages.first) {}

  // Everything from `next_` on. ebusy: faults were taken, and the walk goes on there with another look.
  Errno go() {
    for (Vpn page = next_; page < request_.pages.end;) {
      const Vma vma = mm_.vma_at(page);
      const PageRange part = vma.pages.empty() ? hole_at(page) : PageRange{page, std::min(vma.pages.end, end())};
      const Errno result = readable(vma) ? look_at_tables(vma, part) : leave_out(part);
      if (result != Errno::ok) return result;
      page = part.end;
    }
    return Errno::ok;
  }

 private:
  Vpn end() const { return request_.pages.end; }
  RangePage& found(Vpn page) { return request_.found[page - request_.pages.first]; }
  static bool readable(const Vma& vma) { return !vma.pages.empty() && vma.attributes.rights.read; }

  // Up to the next VMA.
  PageRange hole_at(Vpn page) const {
    const VmaList behind = mm_.vmas_in({page, end()});
    return {page, behind.empty() ? end() : behind.front().pages.first};
  }

  Need need(Vpn page, bool valid, bool writable) const {
    PageRequest asked = request_.all;
    if (!request_.each.empty()) {
      const PageRequest& single = request_.each[page - request_.pages.first];
      asked.fault |= single.fault;
      asked.write |= single.write;
    }
    if (!asked.fault) return {};
    if (asked.write && !writable) return {true, true};
    return {!valid, false};
  }
  // Of pages of which none is there: one that is asked for makes them all wanted.
  Need need_of(PageRange pages) const {
    Need all;
    for (Vpn page = pages.first; page < pages.end; page = page + 1) {
      const Need one = need(page, false, false);
      all.fault |= one.fault;
      all.write |= one.write;
    }
    return all;
  }
  void set(PageRange pages, const RangePage& what) {
    for (Vpn page = pages.first; page < pages.end; page = page + 1) found(page) = what;
  }

  // Where there is no VMA, or none that allows reading, no page can be had: to ask for one is an error.
  Errno leave_out(PageRange part) {
    if (need_of(part).fault) return Errno::efault;
    set(part, {.error = true});
    return Errno::ok;
  }

  Errno look_at_tables(const Vma& vma, PageRange part) {
    while (!part.empty()) {
      const PageRange below = in_first_table(part);
      const Errno result =
          !no_table_or_huge(mm_, below.first) ? look_at_entries(vma, below) : look_at_nothing(vma, below);
      if (result != Errno::ok) return result;
      part.first = below.end;
    }
    return Errno::ok;
  }

  Errno look_at_nothing(const Vma& vma, PageRange below) {
    announce_read(mm_, below.first);
    const Need wanted = need_of(below);
    if (wanted.fault) return fault(vma, below, wanted);
    set(below, {});
    return Errno::ok;
  }

  Errno look_at_entries(const Vma& vma, PageRange below) {
    for (Vpn page = below.first; page < below.end; page = page + 1) {
      announce_read(mm_, page);
      const Pte entry = mm_.table.read(page);
      const bool valid = entry.present();
      const bool writable = valid && entry.writable();
      const Need wanted = need(page, valid, writable);
      if (wanted.fault) return fault(vma, {page, below.end}, wanted);
      found(page) = valid ? RangePage{.valid = true,
                                      .writable = writable,
                                      .frame = entry.frame(),
                                      .order = entry.huge() ? kTableShift : 0}
                          : RangePage{};
    }
    return Errno::ok;
  }

  // Rule: from the page that needs it to the end of its table's part, every page takes a fault of the same kind,
  // whatever was asked of the others. Pages that are there already lose nothing by it; what was missing comes in
  // with one restart of the walk instead of many. Why memory ran out is not told.
  Errno fault(const Vma& vma, PageRange pages, Need wanted) {
    next_ = pages.first;
    if (wanted.write && !vma.attributes.rights.write) return Errno::eperm;
    for (Vpn page = pages.first; page < pages.end; page = page + 1)
      if (handle_fault_locked(mm_, page, wanted.write, false) != FaultResult::resolved) return Errno::efault;
    return Errno::ebusy;
  }

  Mm& mm_;
  RangeFault& request_;
  Vpn next_;
};

}  // namespace

// Rule: what was found before a fault stays found, although the fault may have taken time: it is the sequence that
// tells whether it is still true, so the sequence is asked before each walk.
Errno range_fault(Mm& mm, RangeFault& request) {
  request.found.assign(request.pages.pages(), {});
  Walk walk(mm, request);
  for (;;) {
    const IntervalSubscription* const subscription = request.subscription;
    if (subscription != nullptr && mm.system.notifier.check_retry(*subscription, request.sequence)) return Errno::ebusy;
    const Errno result = walk.go();
    if (result != Errno::ebusy) return result;
  }
}

}  // namespace secmmu
