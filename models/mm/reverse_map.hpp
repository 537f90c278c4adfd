// Where the pages of a shared object are mapped: Linux's rmap of files and of shared memory.
#pragma once

#include <vector>

#include "models/mm/mm.hpp"

namespace secmmu {

struct Mapping {
  Mm* mm;
  PageRange pages;
};
// Who maps the offsets [first, end) of the object, as it is at this instant. Rule: who comes from here does not
// hold the mmap_lock of those address spaces, so it works beside any system call of theirs.
std::vector<Mapping> mappings_of(MmSystem& system, const SharedObject& object, std::uint64_t first, std::uint64_t end);

}  // namespace secmmu
