// Private and shared pages in the swap area: the swap cache, and the fault that brings a page back.
#pragma once

#include "models/mm/mm.hpp"

namespace secmmu {

// Gives an anonymous page a slot; it is in the swap cache from then on, which holds a reference. False: no slot is
// free.
bool add_to_swap(MmSystem& system, Pfn frame);
// Out of the swap cache, if no entry names its slot and nobody has the page's lock. True: it is in none.
bool leave_swap_cache(MmSystem& system, Pfn frame);
// Out of it in any case: the page goes, its content stays in the slot. Puts the cache's reference.
void drop_from_swap_cache(MmSystem& system, Pfn frame);
// A mapping of the page is gone: if it was the last one, and no entry names the slot, nobody will look for it there.
void forget_in_swap_cache(MmSystem& system, Pfn frame);
// Writes the page's content to its slot. A point. False: the page left the swap cache before.
bool write_to_swap(MmSystem& system, Pfn frame);
// An entry that named the slot is gone; a page in the swap cache that nobody maps goes with the last one.
void free_swap_entry(MmSystem& system, std::uint64_t slot);
// The content of a slot in a frame of the caller's. A point.
void read_from_swap(MmSystem& system, std::uint64_t slot, Pfn frame);
// A fault on `entry`, which names a slot. mmap_lock, or the lock of the VMA, is held for reading.
FaultResult swap_fault(Mm& mm, const Vma& vma, Vpn page, Pte entry, bool write, std::string_view& how);

}  // namespace secmmu
