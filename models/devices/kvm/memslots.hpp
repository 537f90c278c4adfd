// Memory slots: which pages of the process are which pages of the guest. One page of the process may be shown by
// several slots; a page of the guest belongs to one slot at most.
#pragma once

#include <optional>
#include <vector>

#include "models/memory/page_table.hpp"

namespace secmmu {

struct Memslot {
  Vpn guest;       // its first page in the guest
  PageRange host;  // what it shows of the process
};

class Memslots {
 public:
  void add(Memslot slot) { slots_.push_back(slot); }
  const std::vector<Memslot>& all() const { return slots_; }
  // The page of the process behind a page of the guest, if a slot has it.
  std::optional<Vpn> host_of(Vpn guest) const;
  // Where the guest sees a page of the process: through slot number `view`, counted around; nullopt: not there.
  std::optional<Vpn> guest_of(Vpn host, unsigned view) const;
  // The block of guest pages around this one, if its slot shows a whole block of the process there.
  std::optional<PageRange> guest_block(Vpn guest) const;
  // All that the guest sees of a range of the process, slot by slot.
  std::vector<PageRange> guest_ranges(PageRange host) const;

 private:
  std::vector<Memslot> slots_;
};

}  // namespace secmmu
