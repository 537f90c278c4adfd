// x86-64 page tables, four levels, in simulated frames: the entries are the bytes in memory and nothing
// else. mm/ writes them through a MemoryPort, walkers read them through theirs.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "models/memory/memory_port.hpp"
#include "models/memory/physical_memory.hpp"

namespace secmmu {

// One entry of a page table, any level, as hardware sees it.
struct Pte {
  std::uint64_t bits = 0;

  static constexpr std::uint64_t kPresent = 1ULL << 0;
  static constexpr std::uint64_t kWritable = 1ULL << 1;
  static constexpr std::uint64_t kUser = 1ULL << 2;
  static constexpr std::uint64_t kAccessed = 1ULL << 5;
  static constexpr std::uint64_t kDirty = 1ULL << 6;
  static constexpr std::uint64_t kProtNone = 1ULL << 8;   // not present for hardware; present for mm (PROT_NONE)
  static constexpr std::uint64_t kNoExecute = 1ULL << 63;
  static constexpr std::uint64_t kFrameMask = 0x000ffffffffff000ULL;

  constexpr bool present() const { return (bits & kPresent) != 0; }
  constexpr bool prot_none() const { return !present() && (bits & kProtNone) != 0; }
  constexpr bool none() const { return bits == 0; }
  constexpr bool writable() const { return (bits & kWritable) != 0; }
  constexpr bool accessed() const { return (bits & kAccessed) != 0; }
  constexpr bool dirty() const { return (bits & kDirty) != 0; }
  constexpr Pfn frame() const { return {(bits & kFrameMask) >> kPageShift}; }
  constexpr auto operator<=>(const Pte&) const = default;
};
constexpr Pte make_pte(Pfn frame, std::uint64_t flags) { return {(frame.value << kPageShift) | flags}; }

// The table tree of one address space. Not a module: it borrows the port of whoever works on it.
class PageTable {
 public:
  static constexpr unsigned kLevels = 4;  // 3 = top (PGD) ... 0 = PTE

  PageTable(PhysicalMemory& memory, MemoryPort& port, std::string owner);

  // The root frame is allocated with the first table; kNoPfn before and after free_all.
  Pfn root() const { return root_; }
  // Reads without allocating; an absent table reads as a none entry.
  Pte read(Vpn page);
  // Allocates missing tables. False: no frame free. Does not announce a point: the caller does.
  bool ensure(Vpn page);
  void write(Vpn page, Pte entry);  // the table must exist
  bool has_table(Vpn page);         // the last-level table that would hold `page` exists
  // Calls visit(page, entry) for every entry that is not none in the range, ascending; skips absent tables
  // without walking them. The visitor may write that entry.
  void for_each(PageRange range, const std::function<void(Vpn, Pte)>& visit);
  // Frees last-level and upper tables that lie wholly inside `range` widened to `floor`..`ceiling`
  // (Linux's free_pgtables with its floor and ceiling), if all their entries are none.
  void free_tables(PageRange range, Vpn floor, Vpn ceiling);
  void free_all();
  std::uint64_t tables() const { return tables_; }

 private:
  PhysAddr entry_address(Pfn table, Vpn page, unsigned level) const;
  Pfn last_level(Vpn page);  // with a one-entry cache

  PhysicalMemory& memory_;
  MemoryPort& port_;
  std::string owner_;
  Pfn root_ = kNoPfn;
  std::uint64_t tables_ = 0;
  std::uint64_t cached_region_ = UINT64_MAX;
  Pfn cached_table_ = kNoPfn;
};

}  // namespace secmmu
