#include "models/memory/swap_area.hpp"

#include <algorithm>
#include <cstring>
#include <functional>

namespace secmmu {

std::optional<std::uint64_t> SwapArea::take(std::uint64_t slots) {
  std::uint64_t slot = slots_.size();
  if (!free_.empty()) {
    std::pop_heap(free_.begin(), free_.end(), std::greater<>());
    slot = free_.back();
    free_.pop_back();
  } else if (slot < slots) {
    slots_.emplace_back();
  } else {
    return {};
  }
  at(slot).taken = true;
  ++used_;
  return slot;
}

void SwapArea::put(std::uint64_t slot) {
  --at(slot).users;
  free_if_unused(slot);
}

void SwapArea::uncache(std::uint64_t slot) {
  at(slot).cached = kNoPfn;
  free_if_unused(slot);
}

void SwapArea::free_if_unused(std::uint64_t slot) {
  Slot& entry = at(slot);
  if (!entry.taken || entry.users != 0 || entry.cached != kNoPfn) return;
  entry.taken = false;
  entry.page.reset();
  free_.push_back(slot);
  std::push_heap(free_.begin(), free_.end(), std::greater<>());
  --used_;
}

void SwapArea::write(std::uint64_t slot, const std::uint8_t* page) {
  Slot& entry = at(slot);
  if (!entry.page) entry.page = std::make_unique<Page>();
  std::memcpy(entry.page->data(), page, kPageSize);
}

void SwapArea::read(std::uint64_t slot, std::uint8_t* page) const {
  const Slot& entry = slots_[slot];
  if (entry.page)
    std::memcpy(page, entry.page->data(), kPageSize);
  else
    std::memset(page, 0, kPageSize);
}

void SwapArea::reset() {
  slots_.clear();
  free_.clear();
  used_ = 0;
}

}  // namespace secmmu
