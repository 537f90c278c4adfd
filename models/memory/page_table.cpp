#include "models/memory/page_table.hpp"

#include <array>
#include <bit>
#include <cassert>
#include <utility>

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

Pfn PageTable::table_above(Vpn page, unsigned level) {
  if (root_ == kNoPfn || page >= kMappableEnd) return kNoPfn;
  Pfn table = root_;
  for (unsigned above = kTableLevels - 1; above > level && table != kNoPfn; --above)
    table = table_below(table, page, above);
  return table;
}

Pte PageTable::read(Vpn page) {
  const Pfn table = last_level(page);
  if (table != kNoPfn) return {port_.read64(entry_address(table, page, 0))};
  const Pte huge = read_huge(page);
  return huge.none() ? huge : part_of_huge(huge, page);
}

void PageTable::write(Vpn page, Pte entry) {
  const Pfn table = last_level(page);
  assert(table != kNoPfn);
  if (table != kNoPfn) port_.write64(entry_address(table, page, 0), entry.bits);
}

bool PageTable::has_table(Vpn page, unsigned level) {
  return (level == 0 ? last_level(page) : table_above(page, level)) != kNoPfn;
}

Pfn PageTable::fresh_table() {
  const Pfn table = memory_.allocate(FrameUse::page_table, owner_);
  if (table != kNoPfn) memory_.clear(table);
  return table;
}

bool PageTable::ensure(Vpn page, unsigned level) {
  if (page >= kMappableEnd) return false;
  if (has_table(page, level)) return true;
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
  for (unsigned above = kTableLevels - 1; above > level; --above) {
    Pfn below = table_below(table, page, above);
    if (below == kNoPfn) {
      if (above == 1 && !huge_in(table, page).none()) return true;
      const Pfn fresh = fresh_table();
      if (fresh == kNoPfn) return false;
      below = table_below(table, page, above);
      if (below == kNoPfn && (above > 1 || huge_in(table, page).none())) {
        below = fresh;
        port_.write64(entry_address(table, page, above), make_pte(fresh, kTableFlags).bits);
        ++tables_;
      } else {
        memory_.put(fresh);
        if (below == kNoPfn) return true;
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
    } else if (const Pte entry = level == 1 ? huge_in(table, page) : Pte{}; !entry.none()) {
      visit(page, part_of_huge(entry, page));
    }
    page = span.end;
  }
}

// --- huge entries --------------------------------------------------------------------------------

// One that nobody placed (somebody overwrote the table) counts as absent.
Pte PageTable::huge_in(Pfn table, Vpn page) {
  const Pte entry{port_.read64(entry_address(table, page, 1))};
  return entry.huge() && deposits_.contains(page.value >> kTableShift) ? entry : Pte{};
}

Pte PageTable::read_huge(Vpn page) {
  if (deposits_.empty()) return {};
  const Pfn table = table_above(page, 1);
  return table == kNoPfn ? Pte{} : huge_in(table, page);
}

Pfn PageTable::allocate_spare() {
  const Pfn table = fresh_table();
  if (table != kNoPfn) ++tables_;
  return table;
}

void PageTable::free_spare(Pfn table) {
  --tables_;
  memory_.put(table);
}

void PageTable::write_upper(Vpn page, Pte entry) {
  const Pfn table = table_above(page, 1);
  assert(table != kNoPfn);
  if (table != kNoPfn) port_.write64(entry_address(table, page, 1), entry.bits);
  cached_region_ = UINT64_MAX;
}

void PageTable::place_huge(Vpn page, Pte entry, Pfn spare) {
  assert(entry.huge() && !has_table(page) && read_huge(page).none());
  write_upper(page, entry);
  deposits_[page.value >> kTableShift] = spare;
}

void PageTable::write_huge(Vpn page, Pte entry) {
  assert(entry.huge() && !read_huge(page).none());
  write_upper(page, entry);
}

Pfn PageTable::remove_huge(Vpn page) {
  assert(!read_huge(page).none());
  write_upper(page, {});
  const auto kept = deposits_.find(page.value >> kTableShift);
  const Pfn spare = kept->second;
  deposits_.erase(kept);
  return spare;
}

void PageTable::split_huge(Vpn page, const std::function<Pte(Vpn)>& small) {
  const Pfn table = remove_huge(page);
  const PageRange block = block_of(page);
  for (Vpn at = block.first; at < block.end; at = at + 1) write_detached(table, at, small(at));
  attach_table(page, table);
}

Pfn PageTable::detach_table(Vpn page) {
  const Pfn table = last_level(page);
  if (table != kNoPfn) write_upper(page, {});
  return table;
}

void PageTable::attach_table(Vpn page, Pfn table) { write_upper(page, make_pte(table, kTableFlags)); }

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
  for (const auto& [block, table] : std::exchange(deposits_, {})) free_spare(table);
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
  deposits_.clear();
}

}  // namespace secmmu
