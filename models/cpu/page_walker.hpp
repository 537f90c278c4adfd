// The hardware page walker: reads four levels through its memory port, sets Accessed (and Dirty for a
// store) in the last entry as x86 does. Its only input is what it reads there.
#pragma once

#include "models/memory/memory_port.hpp"
#include "models/memory/page_table.hpp"
#include "notifier/substrate/arbiter.hpp"

namespace secmmu {

struct WalkCosts {
  Time walk_level{20'000};  // one level of the walk: paging-structure caches and L2 answer most
};
const ParameterTable<WalkCosts>& walk_cost_table();

struct WalkResult {
  bool present = false;   // every level was present
  bool allowed = false;   // and the access is permitted
  Pte entry;              // the last entry read; after the bits were set
  unsigned levels = 0;    // tables read
};

class PageWalker {
 public:
  PageWalker(Arbiter& arbiter, MemoryPort& port, std::uint32_t owner);
  WalkCosts costs;
  // A scheduling point before each level's read. `root`: the top table's frame.
  WalkResult walk(Pfn root, Vpn page, bool write);
  std::uint64_t walks() const { return walks_; }
  void reset() { walks_ = 0; }

 private:
  Arbiter& arbiter_;
  MemoryPort& port_;
  std::uint32_t owner_;
  std::uint64_t walks_ = 0;
};

}  // namespace secmmu
