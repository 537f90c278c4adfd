// The pages behind shared mappings, and behind private ones of files, by offset: of memory that is shared (what tmpfs
// keeps for it in Linux), or of a file (its page cache). It holds one reference on each page. Offsets from `size` on do
// not exist: a fault there is SIGBUS. A file remembers which of its pages were written since its last write-back, and
// what it holds on its disk; shared memory has its pages in the swap area when reclaim takes them.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string_view>

#include "models/memory/physical_memory.hpp"
#include "notifier/substrate/sync/mutex.hpp"

namespace secmmu {

class MmSystem;

class SharedObject {
 public:
  SharedObject(MmSystem& system, std::uint64_t id, std::uint64_t size, bool file);

  std::uint64_t id() const { return id_; }  // Frame::mapping of its pages

  std::uint64_t size() const { return size_; }
  bool file() const { return file_; }
  // Held by calls that change the size, punch a hole, or write (Linux's i_rwsem); faults do not ask for it.
  Mutex& lock() { return lock_; }

  // The page at that offset, with a reference for the caller: read, or made and cleared, at the first use. kNoPfn: no
  // frame is free, or the offset is behind the end. Points.
  Pfn page(std::uint64_t offset, std::string_view owner);
  // The same for a fault, which reads more of a file than it needs (read_ahead.cpp). `read`: the page was not there.
  Pfn page_for_fault(std::uint64_t offset, std::string_view owner, bool& read);
  // It is (still) the page at that offset. Who is about to map a page asks, at the same instant.
  bool holds(std::uint64_t offset, Pfn frame) const;
  // The page at that offset if it may be mapped for the sake of a neighbour; kNoPfn: not there, or its use is to be
  // noticed. Without a reference, or a point.
  Pfn ready_page(std::uint64_t offset) const;
  // It is about to be mapped so: what was read ahead is of use.
  void used_ahead() { misses_ -= misses_ > 0 ? 1 : 0; }
  const std::map<std::uint64_t, Pfn>& pages() const { return pages_; }
  const std::map<std::uint64_t, std::uint64_t>& swapped() const { return swapped_; }  // offset to slot
  void free_pages();                                                                  // points
  // Reclaim wants this page, which nobody maps: to the swap area, or just away if its content can be had again. The
  // object's reference is put. False: it stays (a file's page that was not written back yet; no slot). Points.
  bool give_up(std::uint64_t offset, Pfn frame);
  // The page at that offset has moved to this frame.
  void replace(std::uint64_t offset, Pfn frame);
  // From now on so many pages exist. Those that lie behind stay until they are dropped; nobody finds them.
  void resize(std::uint64_t pages) { size_ = pages; }
  // The page is no page of the object any more, and its content is lost; unless somebody maps it: false. A point.
  bool drop(std::uint64_t offset, Pfn frame);
  // What pages in [first, end) hold that are not in memory is lost.
  void forget_stored(std::uint64_t first, std::uint64_t end);

  // Of a file. A write fault says that a page will be written; write-back takes it for clean and looks on.
  void mark_dirty(std::uint64_t offset) { dirty_.insert(offset); }
  // What is written back: true if it was dirty; its content is on the disk then.
  bool take_dirty(std::uint64_t offset);
  const std::set<std::uint64_t>& dirty() const { return dirty_; }

  // How many pages of VMAs map it; who needs it for a while, counts as one.
  void mapped(std::uint64_t pages) { mapped_ += pages; }
  void unmapped(std::uint64_t pages) { mapped_ -= pages; }
  std::uint64_t mapped_pages() const { return mapped_; }

 private:
  using Page = std::array<std::uint8_t, kPageSize>;
  Pfn cached(std::uint64_t offset) const;
  bool content(std::uint64_t offset, Pfn frame);
  bool bring(std::uint64_t offset, std::string_view owner);
  void read_around(std::uint64_t offset);
  void read_on(std::uint64_t offset);
  void read_window();

  MmSystem& system_;
  std::uint64_t id_;
  std::uint64_t size_;
  bool file_;
  Mutex lock_;
  std::uint64_t mapped_ = 0;
  std::map<std::uint64_t, Pfn> pages_;
  std::map<std::uint64_t, std::uint64_t> swapped_;
  std::map<std::uint64_t, std::unique_ptr<Page>> disk_;
  std::set<std::uint64_t> dirty_;
  // Of reading ahead: the latest window, and how many of its pages lie behind the one whose use shows that more should
  // be read.
  struct Window {
    std::uint64_t first = 0;
    std::uint64_t pages = 0;
    std::uint64_t behind_mark = 0;
  };
  Window window_;
  std::set<std::uint64_t> marked_;
  std::uint64_t misses_ = 0;  // faults that found no page, less those that found one
};

}  // namespace secmmu
