// What a fault reads of a file beside the page that it needs: the pages around it, and on from there as long as that
// turns out to be of use.
#include <algorithm>

#include <fmt/format.h>

#include "models/memory/events.hpp"
#include "models/mm/mm.hpp"

namespace secmmu {

namespace {

// Rule modelled: Linux's 128 KiB of reading ahead, and the misses after which it gives up.
constexpr std::uint64_t kWindow = 32;
constexpr std::uint64_t kTooManyMisses = 100;
constexpr std::uint64_t kMostMisses = 1000;

}  // namespace

// Rule: as far as the file goes; pages that are there are left alone, and where no frame is free the reading ends. The
// mark is counted from the end of what is read, so a window that the file's end cuts has it elsewhere, or nowhere.
void SharedObject::read_window() {
  if (window_.first >= size_) return;
  const std::uint64_t first = window_.first;
  const std::uint64_t pages = std::min(window_.pages, size_ - first);
  const std::uint64_t behind_mark = window_.behind_mark;
  const bool named = system_.arbiter.bus().wanted<FrameAllocated>();
  for (std::uint64_t i = 0; i < pages; ++i) {
    const std::uint64_t offset = first + i;
    if (pages_.contains(offset)) continue;
    if (!bring(offset, named ? fmt::format("file {} page {}", id_, offset) : "")) break;
    if (i + behind_mark == pages && pages_.contains(offset)) marked_.insert(offset);
  }
}

// Rule: the page was missed, so its neighbours on both sides are read; not any more when most faults miss.
void SharedObject::read_around(std::uint64_t offset) {
  if (misses_ < kMostMisses) ++misses_;
  if (misses_ > kTooManyMisses) return;
  window_ = {offset - std::min(offset, kWindow / 2), kWindow, kWindow / 4};
  read_window();
}

// Rule: a marked page is used, so its reader goes on; from the end of the window that the mark belongs to, or else from
// the first page behind that is not there.
void SharedObject::read_on(std::uint64_t offset) {
  std::uint64_t next = window_.first + window_.pages;
  if (offset + window_.behind_mark != next && offset != next) {
    next = offset + 1;
    while (next - offset <= kWindow && pages_.contains(next)) ++next;
    if (next - offset > kWindow) return;
  }
  window_ = {next, kWindow, kWindow};
  read_window();
}

Pfn SharedObject::page_for_fault(std::uint64_t offset, std::string_view owner, bool& read) {
  read = false;
  if (file_ && offset < size_) {
    const bool there = pages_.contains(offset);
    if (there) {
      used_ahead();
      if (marked_.erase(offset) != 0) read_on(offset);
    } else {
      read = true;
      read_around(offset);
    }
  }
  return page(offset, owner);
}

}  // namespace secmmu
