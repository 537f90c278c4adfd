// Where the pages of a shared object, or one page of any kind, may be mapped: Linux's rmap.
#pragma once

#include <functional>

#include "models/mm/mm.hpp"

namespace secmmu {

struct Mapping {
  Mm* mm;
  PageRange pages;
  bool locked = false;  // by mlock
  bool shared = false;  // not private
};
// Calls `visit` for whoever maps the offsets [first, end) of the object, in order of creation. Rule: who comes from
// here does not hold the mmap_lock of those address spaces, so it works beside any system call of theirs; but it holds
// their locks of reverse mappings, one mm's at a time, so none of them ends, and nobody registers there, during the
// visit.
void for_each_mapping(MmSystem& system, const SharedObject& object, std::uint64_t first, std::uint64_t end,
                      const std::function<void(const Mapping&)>& visit);
// The same for the VMAs that may map this page, those whose family of private pages, or whose object, it belongs to, at
// its offset; until `visit` answers false.
//
// Rule: only the page table tells whether one of them does. After a fork the children's VMAs are among them.
// Of a folio, whose first frame is meant, all its pages.
void for_each_mapping(MmSystem& system, Pfn frame, const std::function<bool(const Mapping&)>& visit);

// Writes back what was written to the pages [first, end) of a file; nothing of other objects. May sleep.
void write_back(MmSystem& system, SharedObject& object, std::uint64_t first, std::uint64_t end);

}  // namespace secmmu
