// A hash map from 64-bit keys to 32-bit indices: open addressing in one array, no allocation per element.
// It is never iterated over, so nothing depends on the order of its keys.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace secmmu {

class FlatMap {
 public:
  static constexpr std::uint32_t kNone = UINT32_MAX;

  FlatMap() { resize(64); }

  // The index stored under the key, or kNone. UINT64_MAX is no key.
  std::uint32_t find(std::uint64_t key) const {
    for (std::size_t at = home(key);; at = (at + 1) & mask()) {
      if (slots_[at].key == key) return slots_[at].value;
      if (slots_[at].key == kEmpty) return kNone;
    }
  }

  // The key must not be there yet.
  void insert(std::uint64_t key, std::uint32_t value) {
    if ((size_ + 1) * 2 > slots_.size()) grow();
    place(key, value);
    ++size_;
  }

  void erase(std::uint64_t key) {
    std::size_t hole = home(key);
    while (slots_[hole].key != key) {
      if (slots_[hole].key == kEmpty) return;
      hole = (hole + 1) & mask();
    }
    // What follows in the same run moves up, so that no search meets a hole before its key.
    for (std::size_t at = (hole + 1) & mask(); slots_[at].key != kEmpty; at = (at + 1) & mask()) {
      const std::size_t wish = home(slots_[at].key);
      if (((at - wish) & mask()) < ((at - hole) & mask())) continue;
      slots_[hole] = slots_[at];
      hole = at;
    }
    slots_[hole].key = kEmpty;
    --size_;
  }

  void clear() {
    if (slots_.size() > 4096)
      resize(64);  // one big run must not make every later reset slow
    else if (size_ != 0)
      slots_.assign(slots_.size(), Slot{});
    size_ = 0;
  }
  std::size_t size() const { return size_; }

 private:
  static constexpr std::uint64_t kEmpty = UINT64_MAX;
  struct Slot {
    std::uint64_t key = kEmpty;
    std::uint32_t value = kNone;
  };

  std::size_t mask() const { return slots_.size() - 1; }
  // The upper bits of the product: keys at even distances (neighbouring pages, entries of one array) then lie
  // far from each other.
  std::size_t home(std::uint64_t key) const {
    return static_cast<std::size_t>(key * 0x9e3779b97f4a7c15ULL >> shift_);
  }
  void resize(std::size_t slots) {
    slots_ = std::vector<Slot>(slots);
    shift_ = static_cast<unsigned>(std::countl_zero(slots - 1));
  }
  void place(std::uint64_t key, std::uint32_t value) {
    std::size_t at = home(key);
    while (slots_[at].key != kEmpty) at = (at + 1) & mask();
    slots_[at] = {key, value};
  }
  void grow() {
    const std::vector<Slot> old = std::move(slots_);
    resize(old.size() * 2);
    for (const Slot& slot : old)
      if (slot.key != kEmpty) place(slot.key, slot.value);
  }

  std::vector<Slot> slots_;
  unsigned shift_ = 0;  // 64 minus the bits of a slot's number
  std::size_t size_ = 0;
};

}  // namespace secmmu
