// What happens when frames run short: pages are taken from whoever has not used them for long. Linux asks the page
// tables of CPUs and, through clear_flush_young, the devices; a page that either used stays.
//
// Three marks divide the free frames. Below the low one the thread kswapd is woken and works until the high one is
// reached. At the lowest mark whoever allocates a page for a user reclaims first, in the middle of its fault; only the
// kernel's own page tables may go below it.
#pragma once

#include <cstdint>
#include <string_view>

#include "models/mm/reclaim_lists.hpp"
#include "models/memory/physical_memory.hpp"
#include "notifier/substrate/sync/wait_queue.hpp"

namespace secmmu {

class MmSystem;

class MemoryPressure {
 public:
  explicit MemoryPressure(MmSystem& system);

  // Reclaim is switched on (machine.mm.reclaim). Else an allocation that finds no frame fails, and no page is on a list.
  bool on() const;
  // A frame for a page of a user; kNoPfn: none is free, and none could be made so. May sleep, and may invalidate pages
  // of any address space: the caller holds no lock of a page table or of a reverse mapping. Points.
  Pfn allocate(FrameUse use, std::string_view owner);
  // Page tables are allocated where nobody can reclaim for them, some under a spinlock. Who may come to need one sees
  // beforehand that some frames are left. May sleep, as allocate() does. False: there are none, or nobody reclaims.
  bool keep_reserve();
  // A huge page, if so many frames are to spare; nothing is reclaimed for it.
  Pfn allocate_huge(FrameUse use, std::string_view owner);
  // The page may be found by reclaim from now on. A huge page with its first frame.
  void added(Pfn page);
  // Somebody used the page by a look at its entry, which reclaim would not see there.
  void accessed(Pfn page);
  // It is taken off its list, by who moves it, and comes back to one, with the frame that it has then.
  void taken(Pfn page);
  void given_back(Pfn page);
  // A huge page is several now.
  void split(Pfn first);
  // The body of the thread kswapd; never returns.
  void run_kswapd();

  struct Counters {
    std::uint64_t scanned = 0;
    std::uint64_t reclaimed = 0;
    std::uint64_t activated = 0;
    std::uint64_t deactivated = 0;
    std::uint64_t direct = 0;  // allocations that reclaimed
    std::uint64_t kswapd = 0;  // wake-ups
  } counters;
  void reset();

 private:
  void wake_kswapd();
  std::uint64_t lowest() const;
  std::uint64_t low() const { return lowest() + (lowest() + 3) / 4; }
  std::uint64_t high() const { return lowest() + (lowest() + 1) / 2; }
  bool make_room(std::uint64_t wanted);
  std::uint64_t shrink(unsigned priority, std::uint64_t wanted);
  std::uint64_t shrink_inactive(bool file, std::uint64_t count);
  void shrink_active(bool file, std::uint64_t count);
  bool inactive_is_short(bool file) const;
  Pfn isolate(ReclaimList list);
  bool on_its_way(Pfn page) const;
  bool reclaim(Pfn page, bool file);

  MmSystem& system_;
  ReclaimLists lists_;
  WaitQueue kswapd_;
  bool woken_ = false;
};

}  // namespace secmmu
