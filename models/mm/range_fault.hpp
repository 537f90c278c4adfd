// A driver's look at a range of pages (Linux's hmm_range_fault): what the page table says of each, after the faults
// that were asked for. It takes no references and no page-table lock; the interval subscription's sequence keeps the
// answer right, if the driver asks read_retry under its own lock before it believes it. Exists, with interval
// subscriptions, from v5.5 on.
#pragma once

#include <cstdint>
#include <vector>

#include "models/mm/mm.hpp"
#include "notifier/intervals/interval_subscription.hpp"

namespace secmmu {

// What is asked of a page.
struct PageRequest {
  bool fault = false;  // it shall be present; else it is only looked at
  bool write = false;  // and writable; only together with `fault`
};

// What was found.
struct RangePage {
  bool valid = false;     // present and readable: `frame` says where
  bool writable = false;  // the page table allows writing now, whatever was asked
  bool error = false;     // no page can be there: no mapping, or none that may be read
  Pfn frame = kNoPfn;
  unsigned order = 0;  // log2 of the pages that its entry maps: 9 of a huge one
};

struct RangeFault {
  const IntervalSubscription* subscription = nullptr;  // nullptr: nobody asks whether the sequence moved
  std::uint64_t sequence = 0;                          // from read_begin, before mmap_lock was taken
  PageRange pages;
  PageRequest all;                // asked of every page
  std::vector<PageRequest> each;  // and beside it of single pages; empty, or one for each page
  std::vector<RangePage> found;   // one for each page; means something only if the answer is ok
};

// The caller holds mmap_lock for reading, which stays held throughout. May sleep, and may invalidate the very range: a
// fault that copies on write tells everybody, the caller's own subscription too. Answers:
//   ebusy   an invalidation came since read_begin: begin again there
//   eperm   a page is asked for writing that its VMA forbids to write, and a fault would be needed
//   efault  a page is asked for that has no VMA, may not be read, lies behind the end of its file, or finds no memory
Errno range_fault(Mm& mm, RangeFault& request);

}  // namespace secmmu
