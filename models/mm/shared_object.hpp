// The pages behind shared mappings, by offset: of memory that is shared (what tmpfs keeps for it in Linux), or
// of a file (its page cache). It holds one reference on each page. Offsets from `size` on do not exist: a
// fault there is SIGBUS. A file remembers which of its pages were written since its last write-back.
#pragma once

#include <cstdint>
#include <map>
#include <set>

#include "models/memory/physical_memory.hpp"

namespace secmmu {

class SharedObject {
 public:
  SharedObject(PhysicalMemory& memory, std::uint64_t size, bool file) : memory_(memory), size_(size), file_(file) {}

  std::uint64_t size() const { return size_; }
  bool file() const { return file_; }
  // The page at that offset, made and cleared at the first use; kNoPfn: no frame is free. Points.
  Pfn page(std::uint64_t offset, std::string_view owner);
  const std::map<std::uint64_t, Pfn>& pages() const { return pages_; }
  void free_pages();  // points
  // Gives back those pages of [first, end) that nobody maps. True: none of them is left. Points.
  bool free_unmapped(std::uint64_t first, std::uint64_t end);

  // Of a file. A write fault says that a page will be written; write-back takes it for clean and looks on.
  void mark_dirty(std::uint64_t offset) { dirty_.insert(offset); }
  bool take_dirty(std::uint64_t offset) { return dirty_.erase(offset) != 0; }
  const std::set<std::uint64_t>& dirty() const { return dirty_; }

  // How many pages of VMAs map it.
  void mapped(std::uint64_t pages) { mapped_ += pages; }
  void unmapped(std::uint64_t pages) { mapped_ -= pages; }
  std::uint64_t mapped_pages() const { return mapped_; }

 private:
  PhysicalMemory& memory_;
  std::uint64_t size_;
  bool file_;
  std::uint64_t mapped_ = 0;
  std::map<std::uint64_t, Pfn> pages_;
  std::set<std::uint64_t> dirty_;
};

}  // namespace secmmu
