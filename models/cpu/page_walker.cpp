#include "models/cpu/page_walker.hpp"

namespace secmmu {

const ParameterTable<WalkCosts>& walk_cost_table() {
  static const char* kOrder = "order of magnitude on x86-64 servers";
  static const ParameterTable<WalkCosts> table =
      ParameterTable<WalkCosts>("cost")
          .duration("walk_level", &WalkCosts::walk_level,
                    "One level of a page walk; paging-structure caches and the second-level cache answer most.", kOrder)
          .duration("walk_update", &WalkCosts::walk_update,
                    "The locked update of a PTE's Accessed and Dirty bits by the walker.", kOrder);
  return table;
}

PageWalker::PageWalker(Arbiter& arbiter, MemoryPort& port) : arbiter_(arbiter), port_(port) {}

WalkResult PageWalker::walk(std::uint32_t asid, Pfn root, Vpn page, bool write) {
  ++walks_;
  WalkResult result;
  if (root == kNoPfn || page >= kMappableEnd) return result;
  for (;;) {
    const unsigned levels_before = result.levels;
    result = {};
    result.levels = levels_before;
    bool user = true;
    bool writable = true;
    bool huge = false;
    Pfn table = root;
    PhysAddr address;
    for (unsigned level = kTableLevels - 1;; --level) {
      arbiter_.step(costs.walk_level, reads(ObjectKind::pte, asid, page.value));
      address = entry_address(table, page, level);
      ++result.levels;
      Pte entry;
      result.broken = !port_.read(address, &entry.bits, sizeof entry.bits);
      result.entry = entry;
      if (result.broken || !entry.present()) return result;
      user &= entry.user();
      writable &= entry.writable();
      huge = level == 1 && entry.huge();
      if (level == 0 || huge) break;
      if (entry.huge()) {  // 1 GiB, or reserved
        result.broken = true;
        return result;
      }
      table = entry.frame();
    }
    result.present = true;
    result.writable = writable;
    const Pte seen = result.entry;
    if (huge) result.entry = part_of_huge(seen, page);
    if (!user || (write && !writable)) return result;

    // SDM 4.8: the processor sets Accessed in what it uses and Dirty in what it writes through, by a locked
    // update that is lost on nobody else's change of the entry.
    const Pte wanted{seen.bits | Pte::kAccessed | (write ? Pte::kDirty : 0)};
    if (wanted != seen) {
      arbiter_.step(costs.walk_update, writes(ObjectKind::pte, asid, page.value));
      if (port_.read64(address) != seen.bits) continue;
      port_.write64(address, wanted.bits);
      result.entry = huge ? part_of_huge(wanted, page) : wanted;
    }
    result.allowed = true;
    return result;
  }
}

}  // namespace secmmu
