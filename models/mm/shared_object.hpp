// The pages behind shared mappings, by offset: of memory that is shared (what tmpfs keeps for it in Linux), or
// of a file (its page cache). It holds one reference on each page. Offsets from `size` on do not exist: a
// fault there is SIGBUS. A file remembers which of its pages were written since its last write-back, and what it holds
// on its disk; shared memory has its pages in the swap area when reclaim takes them.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <set>

#include "models/memory/physical_memory.hpp"

namespace secmmu {

class MmSystem;

class SharedObject {
 public:
  SharedObject(MmSystem& system, std::uint64_t id, std::uint64_t size, bool file)
      : system_(system), id_(id), size_(size), file_(file) {}

  std::uint64_t id() const { return id_; }  // Frame::mapping of its pages

  std::uint64_t size() const { return size_; }
  bool file() const { return file_; }
  // The page at that offset, read, or made and cleared, at the first use; kNoPfn: no frame is free. Points.
  Pfn page(std::uint64_t offset, std::string_view owner);
  const std::map<std::uint64_t, Pfn>& pages() const { return pages_; }
  const std::map<std::uint64_t, std::uint64_t>& swapped() const { return swapped_; }  // offset to slot
  void free_pages();                                                                  // points
  // Reclaim wants this page, which nobody maps: to the swap area, or just away if its content can be had again. The
  // object's reference is put. False: it stays (a file's page that was not written back yet; no slot). Points.
  bool give_up(std::uint64_t offset);
  // Gives back those pages of [first, end) that nobody maps. True: none of them is left. Points.
  bool free_unmapped(std::uint64_t first, std::uint64_t end);

  // Of a file. A write fault says that a page will be written; write-back takes it for clean and looks on.
  void mark_dirty(std::uint64_t offset) { dirty_.insert(offset); }
  // What is written back: true if it was dirty; its content is on the disk then.
  bool take_dirty(std::uint64_t offset);
  const std::set<std::uint64_t>& dirty() const { return dirty_; }

  // How many pages of VMAs map it.
  void mapped(std::uint64_t pages) { mapped_ += pages; }
  void unmapped(std::uint64_t pages) { mapped_ -= pages; }
  std::uint64_t mapped_pages() const { return mapped_; }

 private:
  using Page = std::array<std::uint8_t, kPageSize>;
  bool content(std::uint64_t offset, Pfn frame);

  MmSystem& system_;
  std::uint64_t id_;
  std::uint64_t size_;
  bool file_;
  std::uint64_t mapped_ = 0;
  std::map<std::uint64_t, Pfn> pages_;
  std::map<std::uint64_t, std::uint64_t> swapped_;
  std::map<std::uint64_t, std::unique_ptr<Page>> disk_;
  std::set<std::uint64_t> dirty_;
};

}  // namespace secmmu
