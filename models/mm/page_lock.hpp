// The lock of a page: whoever takes its content elsewhere (to the swap area, out of the swap cache) or brings it back
// holds it, so that two who do so never meet. Of a folio, its first frame has it.
#pragma once

#include "models/mm/mm.hpp"

namespace secmmu {

// The caller holds a reference of the page.
bool try_lock_page(MmSystem& system, Pfn frame);
void lock_page(MmSystem& system, Pfn frame);  // may sleep
// A point if somebody waits. A page in the swap cache that nobody maps and no entry names any more goes from there: who
// took the last entry away could not do it.
void unlock_page(MmSystem& system, Pfn frame);

}  // namespace secmmu
