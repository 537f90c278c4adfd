// The hardware page walker: reads four levels through its memory port, sets Accessed (and Dirty for a
// store) in the last entry as x86 does. Its only input is what it reads there. An access is a user's:
// every level must allow users, and a store needs every level to be writable. A huge entry of the last but one
// level ends the walk; the result then is the translation of the one page.
#pragma once

#include "models/memory/memory_port.hpp"
#include "models/memory/page_table.hpp"
#include "notifier/substrate/arbiter.hpp"

namespace secmmu {

struct WalkCosts {
  Time walk_level{20'000};   // one level of the walk: paging-structure caches and L2 answer most
  Time walk_update{20'000};  // the locked update of Accessed and Dirty
};
const ParameterTable<WalkCosts>& walk_cost_table();

struct WalkResult {
  bool present = false;   // every level was present
  bool allowed = false;   // and the access is permitted
  bool writable = false;  // every level is
  bool broken = false;    // an entry points outside memory, or is of a form that this walker does not know
  Pte entry;              // the last entry read; after the bits were set
  unsigned levels = 0;    // tables read
};

class PageWalker {
 public:
  PageWalker(Arbiter& arbiter, MemoryPort& port);
  WalkCosts costs;
  // A scheduling point before each level's read, and one before the update of the last entry's bits. If the
  // entry changed since it was read, the walk starts again. None after the last look at the entry: what the
  // caller does next happens at the same instant. `root`: the top table's frame; `asid` names the address
  // space in what is announced.
  WalkResult walk(std::uint32_t asid, Pfn root, Vpn page, bool write);
  std::uint64_t walks() const { return walks_; }
  void reset() { walks_ = 0; }

 private:
  Arbiter& arbiter_;
  MemoryPort& port_;
  std::uint64_t walks_ = 0;
};

}  // namespace secmmu
