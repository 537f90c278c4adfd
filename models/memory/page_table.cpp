#include "models/memory/page_table.hpp"

#include <array>
#include <bit>
#include <cassert>

namespace secmmu {
namespace {

// Entries that lead to a table: Linux's _PAGE_TABLE.
constexpr std::uint64_t kTableFlags = Pte::kPresent | Pte::kWritable | Pte::kUser | Pte::kAccessed | Pte::kDirty;

constexpr std::uint64_t pages_of_entry(unsigned level) { return 1ULL << (level * kTableShift); }

// The pages that one entry of a table of this level covers.
constexpr PageRange span_of_entry(Vpn page, unsigned level) {
  const Vpn first{page.value & ~(pages_of_entry(level) - 1)};
  return {first, first + pages_of_entry(level)};
}

constexpr PageRange mappable(PageRange range) { return range.intersect({{0}, kMappableEnd}); }

}  // namespace

PageTable::PageTable(PhysicalMemory& memory, MemoryPort& port, std::string owner)
    : memory_(memory), port_(port), owner_(std::move(owner)) {}

Pfn PageTable::table_below(Pfn table, Vpn page, unsigned level) {
  const Pte entry{port_.read64(entry_address(table, page, level))};
  if (!entry.present() || entry.huge()) return kNoPfn;
  const Pfn below = entry.frame();
  if (!memory_.contains(below) || memory_.frame(below).use != FrameUse::page_table) return kNoPfn;
  return below;
}

Pfn PageTable::last_level(Vpn page) {
  const std::uint64_t region = page.value >> kTableShift;
  if (region == cached_region_) return cached_table_;
  if (root_ == kNoPfn || page >= kMappableEnd) return kNoPfn;
  Pfn table = root_;
  for (unsigned level = kTableLevels - 1; level > 0 && table != kNoPfn; --level)
    table = table_below(table, page, level);
  if (table != kNoPfn) {
    cached_region_ = region;
    cached_table_ = table;
  }
  return table;
}

Pte PageTable::read(Vpn page) {
  const Pfn table = last_level(page);
  return table == kNoPfn ? Pte{} : Pte{port_.read64(entry_address(table, page, 0))};
}

void PageTable::write(Vpn page, Pte entry) {
  const Pfn table = last_level(page);
  assert(table != kNoPfn);
  if (table != kNoPfn) port_.write64(entry_address(table, page, 0), entry.bits);
}

bool PageTable::has_table(Vpn page, unsigned level) {
  if (level == 0) return last_level(page) != kNoPfn;
  if (root_ == kNoPfn || page >= kMappableEnd) return false;
  Pfn table = root_;
  for (unsigned above = kTableLevels - 1; above > level && table != kNoPfn; --above)
    table = table_below(table, page, above);
  return table != kNoPfn;
}

Pfn PageTable::fresh_table() {
  const Pfn table = memory_.allocate(FrameUse::page_table, owner_);
  if (table != kNoPfn) memory_.clear(table);
  return table;
}

bool PageTable::ensure(Vpn page) {
  if (page >= kMappableEnd) return false;
  if (last_level(page) != kNoPfn) return true;
  if (root_ == kNoPfn) {
    const Pfn fresh = fresh_table();
    if (fresh == kNoPfn) return false;
    if (root_ == kNoPfn) {
      root_ = fresh;
      ++tables_;
    } else {
      memory_.put(fresh);  // another task was faster while this one allocated
    }
  }
  Pfn table = root_;
  for (unsigned level = kTableLevels - 1; level > 0; --level) {
    Pfn below = table_below(table, page, level);
    if (below == kNoPfn) {
      const Pfn fresh = fresh_table();
      if (fresh == kNoPfn) return false;
      below = table_below(table, page, level);
      if (below == kNoPfn) {
        below = fresh;
        port_.write64(entry_address(table, page, level), make_pte(fresh, kTableFlags).bits);
        ++tables_;
      } else {
        memory_.put(fresh);
      }
    }
    table = below;
  }
  return true;
}

void PageTable::for_each(PageRange range, const std::function<void(Vpn, Pte)>& visit) {
  if (root_ != kNoPfn) for_each_below(root_, kTableLevels - 1, mappable(range), visit);
}

void PageTable::for_each_below(Pfn table, unsigned level, PageRange range, const std::function<void(Vpn, Pte)>& visit) {
  for (Vpn page = range.first; page < range.end;) {
    const PageRange span = span_of_entry(page, level);
    if (level == 0) {
      const Pte entry{port_.read64(entry_address(table, page, 0))};
      if (!entry.none()) visit(page, entry);
    } else if (const Pfn below = table_below(table, page, level); below != kNoPfn) {
      for_each_below(below, level - 1, range.intersect(span), visit);
    }
    page = span.end;
  }
}

// --- freeing -------------------------------------------------------------------------------------

bool PageTable::empty(Pfn table) {
  std::array<std::uint64_t, kTableEntries> entries;
  port_.read(address_of(table), entries.data(), sizeof entries);
  std::uint64_t all = 0;
  for (const std::uint64_t entry : entries) all |= entry;
  return all == 0;
}

void PageTable::free_tables(PageRange range, Vpn floor, Vpn ceiling, const Release& release) {
  if (root_ == kNoPfn) return;
  free_below(root_, kTableLevels - 1, mappable(range), {floor, ceiling}, release);
}

void PageTable::free_below(Pfn table, unsigned level, PageRange range, PageRange limits, const Release& release) {
  for (Vpn page = range.first; page < range.end;) {
    const PageRange span = span_of_entry(page, level);
    if (const Pfn below = table_below(table, page, level); below != kNoPfn) {
      if (level > 1) free_below(below, level - 1, range.intersect(span), limits, release);
      if (limits.first <= span.first && span.end <= limits.end && empty(below)) {
        port_.write64(entry_address(table, page, level), 0);
        cached_region_ = UINT64_MAX;
        --tables_;
        if (release)
          release(below);
        else
          memory_.put(below);
      }
    }
    page = span.end;
  }
}

void PageTable::free_all() {
  if (root_ == kNoPfn) return;
  const Pfn root = root_;
  root_ = kNoPfn;
  cached_region_ = UINT64_MAX;
  free_subtree(root, kTableLevels - 1);
}

void PageTable::free_subtree(Pfn table, unsigned level) {
  if (level > 0)
    for (std::uint64_t index = 0; index < kTableEntries; ++index) {
      const Vpn page{index * pages_of_entry(level)};
      if (const Pfn below = table_below(table, page, level); below != kNoPfn) free_subtree(below, level - 1);
    }
  --tables_;
  memory_.put(table);
}

void PageTable::reset() {
  root_ = kNoPfn;
  tables_ = 0;
  cached_region_ = UINT64_MAX;
  cached_table_ = kNoPfn;
}

}  // namespace secmmu
