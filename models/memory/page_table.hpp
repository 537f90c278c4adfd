// x86-64 page tables, four levels, in simulated frames: the entries are the bytes in memory and nothing
// else. mm/ writes them through a MemoryPort, walkers read them through theirs.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

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
  static constexpr std::uint64_t kHuge = 1ULL << 7;      // above the last level: maps a large page
  static constexpr std::uint64_t kProtNone = 1ULL << 8;  // not present for hardware; present for mm (PROT_NONE)
  // Bits that hardware ignores. Exclusive: an anonymous page with this mapping alone (Linux's PageAnonExclusive, kept
  // here since there is but one). Write-protected: userfaultfd wants to hear of a write. Soft-dirty: written since
  // such bits were cleared.
  static constexpr std::uint64_t kExclusive = 1ULL << 9;
  static constexpr std::uint64_t kWriteProtected = 1ULL << 10;
  static constexpr std::uint64_t kSoftDirty = 1ULL << 11;
  // What an entry means that is not present: with kSwap the frame field holds a slot of the swap area, with
  // kMigration the frame that is on its way elsewhere (kWritable then says how it will come back).
  static constexpr std::uint64_t kSwap = 1ULL << 52;
  static constexpr std::uint64_t kMigration = 1ULL << 53;
  static constexpr std::uint64_t kNoExecute = 1ULL << 63;
  static constexpr std::uint64_t kFrameMask = 0x000ffffffffff000ULL;

  constexpr bool present() const { return (bits & kPresent) != 0; }
  constexpr bool prot_none() const { return !present() && (bits & kProtNone) != 0; }
  // It maps a frame, for the hardware or only for mm.
  constexpr bool maps() const { return present() || prot_none(); }
  constexpr bool swap() const { return !present() && (bits & kSwap) != 0; }
  constexpr bool migration() const { return !present() && (bits & kMigration) != 0; }
  constexpr std::uint64_t slot() const { return (bits & kFrameMask) >> kPageShift; }  // of a swap entry
  constexpr bool soft_dirty() const { return (bits & kSoftDirty) != 0; }
  constexpr bool none() const { return bits == 0; }
  constexpr bool writable() const { return (bits & kWritable) != 0; }
  constexpr bool accessed() const { return (bits & kAccessed) != 0; }
  constexpr bool user() const { return (bits & kUser) != 0; }
  constexpr bool huge() const { return (bits & kHuge) != 0; }
  constexpr bool dirty() const { return (bits & kDirty) != 0; }
  constexpr Pfn frame() const { return {(bits & kFrameMask) >> kPageShift}; }
  constexpr auto operator<=>(const Pte&) const = default;
};
constexpr Pte make_pte(Pfn frame, std::uint64_t flags) { return {(frame.value << kPageShift) | flags}; }

inline constexpr unsigned kTableLevels = 4;  // 3 = top (PGD) ... 0 = PTE
inline constexpr unsigned kTableShift = 9;   // log2 of the entries in a table
inline constexpr std::uint64_t kTableEntries = 1ULL << kTableShift;
inline constexpr Vpn kMappableEnd{1ULL << (kTableLevels * kTableShift)};  // no tree reaches this page or those behind

// The 512 pages that one table of the last level translates, or one huge entry in its place.
constexpr PageRange block_of(Vpn page) {
  const Vpn first{page.value & ~(kTableEntries - 1)};
  return {first, first + kTableEntries};
}
// What a huge entry says of one page of its block: that page's frame, with kHuge still set.
constexpr Pte part_of_huge(Pte entry, Vpn page) {
  return {entry.bits + ((page.value & (kTableEntries - 1)) << kPageShift)};
}

// Where the entry lies that translates `page` in a table of that level.
constexpr PhysAddr entry_address(Pfn table, Vpn page, unsigned level) {
  return address_of(table) + ((page.value >> (level * kTableShift)) & (kTableEntries - 1)) * sizeof(Pte);
}

// The table tree of one address space. Not a module: it borrows the port of whoever works on it.
// An upper entry that does not lead to a page-table frame (somebody overwrote it) counts as absent.
//
// An entry of the last but one level may be huge: it maps a block of 512 pages. A table is kept aside for each such
// entry (Linux's deposit), so that it can be split where nothing may be allocated.
class PageTable {
 public:
  PageTable(PhysicalMemory& memory, MemoryPort& port, std::string owner);

  // The root frame is allocated with the first table; kNoPfn before and after free_all.
  Pfn root() const { return root_; }
  // Reads without allocating; an absent table reads as a none entry, a page of a huge entry as part_of_huge().
  Pte read(Vpn page);
  // Allocates missing tables down to that level. False: no frame free, or the page is beyond every table. True where
  // a huge entry stands in the way: whoever writes looks first. The allocator's points are the only ones; two tasks
  // that build the same table at once end up with one, as in Linux's __pte_alloc.
  bool ensure(Vpn page, unsigned level = 0);
  // The table must exist. Does not announce a point: the caller does.
  void write(Vpn page, Pte entry);
  // The table that would hold the entry of that level for `page` exists.
  bool has_table(Vpn page, unsigned level = 0);
  // Calls visit(page, entry) for every entry that is not none in the range, ascending; skips absent tables
  // without walking them. A huge entry is visited once, as that of its first page in the range. The visitor may write
  // that entry and may pass points; no table of the range may be freed meanwhile.
  void for_each(PageRange range, const std::function<void(Vpn, Pte)>& visit);
  // Unlinks the tables below the root that have pages of `range`, lie wholly inside `floor`..`ceiling` (the end
  // of the mapping before and the start of the one behind; Linux's free_pgtables), and hold no entry. Each goes
  // to `release`, which must put() it, at once or when no walker can be inside it any more (mmu_gather: after the
  // shootdown). Without `release` it is put at once.
  using Release = std::function<void(Pfn)>;
  void free_tables(PageRange range, Vpn floor, Vpn ceiling, const Release& release = {});
  // Frees every table, the root too, whatever the entries say.
  void free_all();
  // Forgets the tree without freeing: memory has been reset.
  void reset();
  std::uint64_t tables() const { return tables_; }  // those kept aside, too

  // --- huge entries; none of these announces a point but for those of the allocator ---

  // The entry that maps the block of `page` whole; none if there is none.
  Pte read_huge(Vpn page);
  // A table in no tree yet; kNoPfn: no frame free. place_huge() or free_spare() takes it.
  Pfn allocate_spare();
  void free_spare(Pfn table);
  // Maps the block, which has neither a table nor a huge entry, below an upper table that exists.
  void place_huge(Vpn page, Pte entry, Pfn spare);
  void write_huge(Vpn page, Pte entry);  // over a huge entry
  Pfn remove_huge(Vpn page);             // the table that was kept for it: free_spare() or place_huge() takes it
  // The table that was kept takes the place of the huge entry; `small` says what its entries are.
  void split_huge(Vpn page, const std::function<Pte(Vpn)>& small);
  // Takes a table of the last level out of the tree with all that it holds, and puts it back where none is.
  Pfn detach_table(Vpn page);
  void attach_table(Vpn page, Pfn table);
  Pte read_detached(Pfn table, Vpn page) { return {port_.read64(entry_address(table, page, 0))}; }
  void write_detached(Pfn table, Vpn page, Pte entry) { port_.write64(entry_address(table, page, 0), entry.bits); }

 private:
  Pfn table_above(Vpn page, unsigned level);             // that which holds the entry of that level; kNoPfn: absent
  Pte huge_in(Pfn table, Vpn page);                      // of the last but one level
  void write_upper(Vpn page, Pte entry);                 // of the last but one level
  Pfn table_below(Pfn table, Vpn page, unsigned level);  // kNoPfn: absent
  Pfn last_level(Vpn page);                              // with a one-entry cache
  Pfn fresh_table();
  bool empty(Pfn table);
  void for_each_below(Pfn table, unsigned level, PageRange range, const std::function<void(Vpn, Pte)>& visit);
  void free_below(Pfn table, unsigned level, PageRange range, PageRange limits, const Release& release);
  void free_subtree(Pfn table, unsigned level);

  PhysicalMemory& memory_;
  MemoryPort& port_;
  std::string owner_;
  Pfn root_ = kNoPfn;
  std::uint64_t tables_ = 0;
  std::uint64_t cached_region_ = UINT64_MAX;
  Pfn cached_table_ = kNoPfn;
  std::map<std::uint64_t, Pfn> deposits_;  // by block
};

}  // namespace secmmu
