#include "models/mm/shared_object.hpp"

#include <cstring>
#include <utility>
#include <vector>

#include "models/mm/mm.hpp"
#include "models/mm/swap.hpp"

namespace secmmu {

// Fills a fresh frame with what belongs at that offset.
bool SharedObject::content(std::uint64_t offset, Pfn frame) {
  const auto slot = swapped_.find(offset);
  const auto block = disk_.find(offset);
  if (slot != swapped_.end()) {
    read_from_swap(system_, slot->second, frame);
    return true;
  }
  system_.memory.clear(frame);
  if (block != disk_.end()) std::memcpy(system_.memory.bytes(frame), block->second->data(), kPageSize);
  return false;
}

Pfn SharedObject::page(std::uint64_t offset, std::string_view owner) {
  PhysicalMemory& memory = system_.memory;
  const auto found = pages_.find(offset);
  if (found != pages_.end()) return found->second;
  const Pfn fresh = memory.allocate(FrameUse::shared, owner);
  if (fresh == kNoPfn) return kNoPfn;
  memory.frame(fresh).mapping = id_;
  memory.frame(fresh).index = offset;
  const bool from_swap = content(offset, fresh);
  const auto [it, inserted] = pages_.try_emplace(offset, fresh);
  const Pfn winner = it->second;
  if (!inserted) {
    memory.put(fresh);  // somebody else brought it meanwhile
    return winner;
  }
  if (from_swap) {
    memory.frame(fresh).dirty = true;  // its slot goes
    const auto slot = swapped_.extract(offset);
    if (!slot.empty()) system_.swap.put(slot.mapped());
  }
  return winner;
}

bool SharedObject::take_dirty(std::uint64_t offset) {
  if (dirty_.erase(offset) == 0) return false;
  const auto page = pages_.find(offset);
  if (page == pages_.end()) return true;
  system_.memory.frame(page->second).dirty = false;
  auto& block = disk_[offset];
  if (!block) block = std::make_unique<Page>();
  std::memcpy(block->data(), system_.memory.bytes(page->second), kPageSize);
  return true;
}

bool SharedObject::give_up(std::uint64_t offset) {
  const Pfn frame = pages_.at(offset);
  Frame& state = system_.memory.frame(frame);
  if (file_) {
    if (state.dirty || dirty_.contains(offset)) return false;
  } else if (state.dirty) {
    const auto slot = system_.swap.take(system_.config.swap_slots);
    if (!slot) return false;
    system_.swap.get(*slot);
    state.slot = *slot;
    write_to_swap(system_, frame);
    state.slot = kNoSlot;
    const bool used_meanwhile = state.mappings != 0 || state.references != 2 || state.dirty;
    if (used_meanwhile) {
      state.dirty = true;
      system_.swap.put(*slot);
      return false;
    }
    swapped_[offset] = *slot;
  }
  pages_.erase(offset);
  system_.memory.put(frame);
  return true;
}

bool SharedObject::free_unmapped(std::uint64_t first, std::uint64_t end) {
  std::vector<Pfn> gone;
  bool all = true;
  for (auto it = pages_.lower_bound(first); it != pages_.end() && it->first < end;) {
    if (system_.memory.frame(it->second).mappings != 0) {
      all = false;
      ++it;
      continue;
    }
    gone.push_back(it->second);
    dirty_.erase(it->first);
    it = pages_.erase(it);
  }
  for (auto it = swapped_.lower_bound(first); it != swapped_.end() && it->first < end; it = swapped_.erase(it))
    system_.swap.put(it->second);
  disk_.erase(disk_.lower_bound(first), disk_.lower_bound(end));
  for (const Pfn frame : gone) system_.memory.put(frame);
  return all;
}

void SharedObject::free_pages() {
  for (const auto& [offset, slot] : std::exchange(swapped_, {})) system_.swap.put(slot);
  for (const auto& [offset, frame] : std::exchange(pages_, {})) system_.memory.put(frame);
}

}  // namespace secmmu
