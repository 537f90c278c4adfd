// Where the pages of a shared object are mapped: Linux's rmap of files and of shared memory.
#pragma once

#include <functional>

#include "models/mm/mm.hpp"

namespace secmmu {

struct Mapping {
  Mm* mm;
  PageRange pages;
};
// Calls `visit` for whoever maps the offsets [first, end) of the object, in order of creation. Rule: who comes from
// here does not hold the mmap_lock of those address spaces, so it works beside any system call of theirs; but it holds
// their locks of reverse mappings, one mm's at a time, so none of them ends, and nobody registers there, during the
// visit.
void for_each_mapping(MmSystem& system, const SharedObject& object, std::uint64_t first, std::uint64_t end,
                      const std::function<void(const Mapping&)>& visit);

}  // namespace secmmu
