// Taking pages away from who maps them, because memory is short or somebody asked for it (MADV_PAGEOUT).
#pragma once

#include "models/mm/mm.hpp"

namespace secmmu {

// One page, which the caller holds a reference of: asked whether it was used of late, taken out of every address space,
// written to where it belongs, freed with the caller's reference. False: kept, and so is the reference. The locks of
// those address spaces are not needed. May sleep.
bool reclaim_page(MmSystem& system, Pfn frame);

// The two halves of it, for who keeps count. Who used the page since the last look: how many entries, of CPUs and
// devices; the marks are cleared. `locked`: a VMA forbids to take it, and nothing was looked at.
struct References {
  std::uint64_t entries = 0;
  bool locked = false;
};
References take_references(MmSystem& system, Pfn frame);
bool take_page_away(MmSystem& system, Pfn frame);

// What idle-page tracking asks, without reclaiming: every mapping, CPU and devices. True: used since the last time.
bool clear_references(MmSystem& system, Pfn frame);

}  // namespace secmmu
