// userfaultfd's write protection: a program is told of writes to pages that it has protected, before they happen, and
// lets them go on. One handler for each address space. Private memory only.
#pragma once

#include "models/mm/mm.hpp"

namespace secmmu {

// UFFDIO_REGISTER for writes to protected pages (v5.7 on). Takes mmap_lock for writing. EINVAL: shared memory, or
// nothing is mapped there.
Errno user_fault_register(Mm& mm, PageRange range);
// UFFDIO_WRITEPROTECT: protects the pages that are there, or lets their writers go on. Takes mmap_lock for reading; may
// sleep. ENOENT: not registered, or not of one VMA where the kernel wants that.
Errno user_fault_protect(Mm& mm, PageRange range, bool protect);
// What a handler does, once: waits until somebody waits for it, and takes the protection of that page away. EINTR: the
// process ends.
Errno user_fault_answer(Mm& mm);

// --- for faults; no lock is held ---

// Sleeps until the page is no longer protected. False: the process ends, and nobody will come.
bool wait_for_handler(Mm& mm, Vpn page);
// The process ends: nobody waits any longer.
void end_user_faults(Mm& mm);

}  // namespace secmmu
