// The pages of one shared anonymous mapping, by offset: what tmpfs keeps for it in Linux. It holds one
// reference on each page. Offsets from `size` on do not exist: a fault there is SIGBUS.
#pragma once

#include <cstdint>
#include <map>

#include "models/memory/physical_memory.hpp"

namespace secmmu {

class SharedObject {
 public:
  SharedObject(PhysicalMemory& memory, std::uint64_t size) : memory_(memory), size_(size) {}

  std::uint64_t size() const { return size_; }
  // The page at that offset, made and cleared at the first use; kNoPfn: no frame is free. Points.
  Pfn page(std::uint64_t offset, std::string_view owner);
  const std::map<std::uint64_t, Pfn>& pages() const { return pages_; }
  void free_pages();  // points
  // Gives back those pages of [first, end) that nobody maps. True: none of them is left. Points.
  bool free_unmapped(std::uint64_t first, std::uint64_t end);

  // How many pages of VMAs map it.
  void mapped(std::uint64_t pages) { mapped_ += pages; }
  void unmapped(std::uint64_t pages) { mapped_ -= pages; }
  std::uint64_t mapped_pages() const { return mapped_; }

 private:
  PhysicalMemory& memory_;
  std::uint64_t size_;
  std::uint64_t mapped_ = 0;
  std::map<std::uint64_t, Pfn> pages_;
};

}  // namespace secmmu
