// Where private pages go when memory is short: numbered slots of one page each on a device that answers at once
// (compressed memory). A slot is in use while an entry of a page table names it (its users) or a page in memory
// still has the same content (cached). No points: who reads or writes a slot announces the cost.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "models/memory/physical_memory.hpp"
#include "notifier/substrate/address.hpp"

namespace secmmu {

class SwapArea {
 public:
  // A free slot, the lowest, without users: cached or used before the next slot is taken. None is free: nothing.
  std::optional<std::uint64_t> take(std::uint64_t slots);
  void get(std::uint64_t slot) { ++at(slot).users; }
  void put(std::uint64_t slot);  // one user less
  std::uint32_t users(std::uint64_t slot) const { return slots_[slot].users; }
  void cache(std::uint64_t slot, Pfn frame) { at(slot).cached = frame; }
  void uncache(std::uint64_t slot);
  Pfn cached(std::uint64_t slot) const { return slots_[slot].cached; }

  void write(std::uint64_t slot, const std::uint8_t* page);
  void read(std::uint64_t slot, std::uint8_t* page) const;

  bool contains(std::uint64_t slot) const { return slot < slots_.size(); }
  std::uint64_t size() const { return slots_.size(); }
  std::uint64_t used() const { return used_; }
  void reset();

 private:
  using Page = std::array<std::uint8_t, kPageSize>;
  struct Slot {
    std::uint32_t users = 0;
    Pfn cached = kNoPfn;
    bool taken = false;
    std::unique_ptr<Page> page;
  };
  Slot& at(std::uint64_t slot) { return slots_[slot]; }
  void free_if_unused(std::uint64_t slot);

  std::vector<Slot> slots_;
  std::vector<std::uint64_t> free_;  // a heap, the lowest on top
  std::uint64_t used_ = 0;
};

}  // namespace secmmu
