#include "models/mm/shared_object.hpp"

#include <cstring>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "models/mm/memory_pressure.hpp"
#include "models/mm/mm.hpp"
#include "models/mm/page_events.hpp"
#include "models/mm/swap.hpp"

namespace secmmu {

SharedObject::SharedObject(MmSystem& system, std::uint64_t id, std::uint64_t size, bool file)
    : system_(system),
      id_(id),
      size_(size),
      file_(file),
      lock_(system.arbiter, "file_lock", fmt::format("file_lock({})", id)) {}

Pfn SharedObject::cached(std::uint64_t offset) const {
  const auto found = offset < size_ ? pages_.find(offset) : pages_.end();
  return found == pages_.end() ? kNoPfn : found->second;
}

bool SharedObject::holds(std::uint64_t offset, Pfn frame) const { return cached(offset) == frame; }

Pfn SharedObject::ready_page(std::uint64_t offset) const {
  return marked_.contains(offset) ? kNoPfn : cached(offset);
}

// Fills a fresh frame with what belongs at that offset; true: that came from the swap area.
bool SharedObject::content(std::uint64_t offset, Pfn frame) {
  const auto slot = swapped_.find(offset);
  if (slot != swapped_.end()) {
    read_from_swap(system_, slot->second, frame);
    return true;
  }
  system_.memory.clear(frame);
  const auto block = disk_.find(offset);
  if (block != disk_.end()) std::memcpy(system_.memory.bytes(frame), block->second->data(), kPageSize);
  return false;
}

// A page that is not in memory comes there; whether it then is, the caller sees. False: no frame is free.
bool SharedObject::bring(std::uint64_t offset, std::string_view owner) {
  PhysicalMemory& memory = system_.memory;
  const Pfn fresh = system_.pressure->allocate(FrameUse::shared, owner);
  if (fresh == kNoPfn) return false;
  const bool from_swap = content(offset, fresh);
  // Meanwhile somebody else brought it; or the file ends before it; or its slot went, and with that what it held.
  if (offset >= size_ || pages_.contains(offset) || from_swap != swapped_.contains(offset)) {
    memory.put(fresh);
    return true;
  }
  memory.frame(fresh).mapping = id_;
  memory.frame(fresh).index = offset;
  pages_[offset] = fresh;
  system_.pressure->added(fresh);
  if (from_swap) {
    memory.frame(fresh).dirty = true;  // its slot goes
    system_.swap.put(swapped_.extract(offset).mapped());
  }
  return true;
}

Pfn SharedObject::page(std::uint64_t offset, std::string_view owner) {
  for (Pfn frame = cached(offset);; frame = cached(offset)) {
    if (frame != kNoPfn) system_.memory.get(frame);
    if (frame != kNoPfn || offset >= size_ || !bring(offset, owner)) return frame;
  }
}

bool SharedObject::take_dirty(std::uint64_t offset) {
  if (dirty_.erase(offset) == 0) return false;
  const auto page = pages_.find(offset);
  if (page == pages_.end()) return true;
  system_.memory.frame(page->second).dirty = false;
  auto& block = disk_[offset];
  if (!block) block = std::make_unique<Page>();
  std::memcpy(block->data(), system_.memory.bytes(page->second), kPageSize);
  system_.arbiter.bus().emit(PageSaved{page->second, "write-back"});
  return true;
}

bool SharedObject::give_up(std::uint64_t offset, Pfn frame) {
  if (!holds(offset, frame)) return false;
  Frame& state = system_.memory.frame(frame);
  if (file_) {
    if (state.dirty || dirty_.contains(offset)) return false;
  } else if (state.dirty) {
    const auto slot = system_.swap.take(system_.config.swap_slots);
    if (!slot) return false;
    system_.swap.get(*slot);
    state.slot = *slot;
    const bool written = write_to_swap(system_, frame);
    state.slot = kNoSlot;
    const bool used_meanwhile =
        !written || !holds(offset, frame) || state.mappings != 0 || state.references != 2 || state.dirty;
    if (used_meanwhile) {
      state.dirty = true;
      system_.swap.put(*slot);
      return false;
    }
    swapped_[offset] = *slot;
  }
  pages_.erase(offset);
  marked_.erase(offset);
  system_.memory.put(frame);
  return true;
}

void SharedObject::replace(std::uint64_t offset, Pfn frame) {
  system_.memory.get(frame);
  system_.memory.put(std::exchange(pages_.at(offset), frame));  // who moves the page holds another reference
}

bool SharedObject::drop(std::uint64_t offset, Pfn frame) {
  PhysicalMemory& memory = system_.memory;
  const auto found = pages_.find(offset);
  if (found == pages_.end() || found->second != frame) return true;
  if (memory.frame(frame).mappings != 0) return false;
  pages_.erase(found);
  dirty_.erase(offset);
  marked_.erase(offset);
  forget_stored(offset, offset + 1);
  memory.frame(frame).mapping = 0;  // nobody finds it from this side any more
  memory.frame(frame).dirty = false;
  memory.put(frame);
  return true;
}

void SharedObject::forget_stored(std::uint64_t first, std::uint64_t end) {
  for (auto it = swapped_.lower_bound(first); it != swapped_.end() && it->first < end; it = swapped_.erase(it))
    system_.swap.put(it->second);
  disk_.erase(disk_.lower_bound(first), disk_.lower_bound(end));
}

void SharedObject::free_pages() {
  for (const auto& [offset, slot] : std::exchange(swapped_, {})) system_.swap.put(slot);
  for (const auto& [offset, frame] : std::exchange(pages_, {})) system_.memory.put(frame);
}

}  // namespace secmmu
