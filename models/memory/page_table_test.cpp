#include "models/memory/page_table.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <set>

#include "models/cpu/test_hardware.hpp"

using namespace secmmu;
using namespace secmmu::literals;

namespace {

PhysicalMemory& memory() { return hardware().memory(); }
std::uint64_t used_frames() { return TestHardware::kFrames - memory().free_frames(); }
constexpr std::uint64_t kFlags = Pte::kPresent | Pte::kUser;

// Pages in clusters, so that tables are shared and emptied, and at the ends of tables of every level.
Vpn random_page(RandomStream& random) {
  static constexpr std::uint64_t kBases[] = {
      0, 512, 1ULL << 18, (1ULL << 18) + 512, (1ULL << 27) - 8, 1ULL << 27, (1ULL << 35) - 8, 3ULL << 27};
  return {kBases[random.below(std::size(kBases))] + random.below(8)};
}

using Model = std::map<std::uint64_t, Pte>;

}  // namespace

TEST_CASE("page table: random operations against a map, without a leaked frame") {
  machine().reset();
  hardware().run({{"", 0, [] {
                     PageTable table(memory(), hardware().port(), "test");
                     Model model;
                     RandomStream random(7, "table");
                     bool same = true;
                     for (int i = 0; i < 20'000; ++i) {
                       const Vpn page = random_page(random);
                       switch (random.below(6)) {
                         case 0:
                         case 1: {
                           same &= table.ensure(page);
                           const Pte entry = make_pte({random.below(TestHardware::kFrames)}, kFlags);
                           table.write(page, entry);
                           model[page.value] = entry;
                           break;
                         }
                         case 2:
                           if (table.has_table(page)) table.write(page, {});
                           model.erase(page.value);
                           break;
                         case 3: {
                           const auto found = model.find(page.value);
                           same &= table.read(page) == (found == model.end() ? Pte{} : found->second);
                           break;
                         }
                         case 4: {
                           const PageRange range{page, page + random.below(1ULL << random.below(30))};
                           Model visited;
                           std::uint64_t last = 0;
                           table.for_each(range, [&](Vpn at, Pte entry) {
                             same &= at.value >= last;
                             last = at.value;
                             same &= visited.emplace(at.value, entry).second;
                           });
                           same &= visited ==
                                   Model(model.lower_bound(range.first.value), model.lower_bound(range.end.value));
                           break;
                         }
                         case 5:
                           if (random.below(10) == 0) table.free_tables({page, page + 1'000}, {0}, kMappableEnd);
                           break;
                       }
                       same &= table.tables() == used_frames();
                       if (!same) break;
                     }
                     CHECK(same);

                     // Exactly the tables that hold an entry, and the root, are left by a sweep over everything.
                     table.free_tables(kWholeSpace, {0}, kMappableEnd);
                     std::set<std::uint64_t> expected[3];
                     for (const auto& [page, entry] : model)
                       for (unsigned level = 1; level <= 3; ++level) expected[level - 1].insert(page >> (9 * level));
                     CHECK(table.tables() == 1 + expected[0].size() + expected[1].size() + expected[2].size());
                     for (const auto& [page, entry] : model) CHECK(table.read({page}) == entry);

                     table.free_all();
                     CHECK(table.tables() == 0);
                     CHECK(table.root() == kNoPfn);
                     CHECK(used_frames() == 0);
                     CHECK(table.read({0}).none());
                   }}});
}

TEST_CASE("page table: its entries are the bytes in memory that hardware expects") {
  machine().reset();
  hardware().run({{"", 0, [] {
                     PageTable table(memory(), hardware().port(), "test");
                     const Vpn page{0x7ff12'3456ULL & (kMappableEnd.value - 1)};
                     CHECK(table.ensure(page));
                     CHECK(table.tables() == 4);
                     table.write(page, make_pte({0x123}, kFlags | Pte::kNoExecute));
                     Pfn at = table.root();
                     for (const unsigned shift : {27U, 18U, 9U, 0U}) {
                       std::uint64_t entry = 0;
                       std::memcpy(&entry, memory().bytes(at) + ((page.value >> shift) & 511) * 8, 8);
                       CHECK((entry & 1) == 1);
                       at = {(entry & Pte::kFrameMask) >> 12};
                     }
                     CHECK(at == Pfn{0x123});
                     CHECK(table.read(page).bits == (0x8000000000000000ULL | 0x123005));
                     CHECK(memory().frame(table.root()).use == FrameUse::page_table);
                     table.free_all();
                   }}});
}

TEST_CASE("page table: floor and ceiling keep the tables of the neighbours") {
  machine().reset();
  hardware().run({{"", 0, [] {
                     PageTable table(memory(), hardware().port(), "test");
                     const auto build = [&] {
                       CHECK(table.ensure({512}));
                       CHECK(table.ensure({1023}));
                       CHECK(table.ensure({1024}));
                     };
                     build();
                     CHECK(table.tables() == 5);
                     table.free_tables({{600}, {700}}, {0}, {1023});  // somebody lives at 1023
                     CHECK(table.has_table({600}));
                     table.free_tables({{600}, {700}}, {513}, kMappableEnd);  // somebody lives at 512
                     CHECK(table.has_table({600}));
                     table.free_tables({{600}, {700}}, {512}, {1024});
                     CHECK_FALSE(table.has_table({600}));
                     CHECK(table.has_table({1024}));
                     CHECK(table.tables() == 4);
                     table.free_tables({{600}, {1100}}, {0}, kMappableEnd);  // then every level up to the root
                     CHECK(table.tables() == 1);

                     build();
                     table.write({1000}, make_pte({1}, kFlags));
                     table.free_tables({{0}, {2048}}, {0}, kMappableEnd);  // an entry keeps its tables
                     CHECK(table.has_table({1000}));
                     CHECK_FALSE(table.has_table({1024}));
                     table.free_tables({{5}, {5}}, {0}, kMappableEnd);
                     table.write({1000}, {});

                     // Whoever gathers gets each unlinked table and puts it later.
                     std::vector<Pfn> gathered;
                     table.free_tables({{0}, {2048}}, {0}, kMappableEnd, [&](Pfn pfn) { gathered.push_back(pfn); });
                     CHECK(gathered.size() == 3);
                     CHECK(table.tables() == 1);
                     CHECK(used_frames() == 4);
                     for (const Pfn pfn : gathered) CHECK(memory().put(pfn));
                     table.free_all();
                     CHECK(used_frames() == 0);
                   }}});
}

TEST_CASE("page table: two tasks that build the same tables at once end with one of each") {
  machine().reset();
  PageTable table(memory(), hardware().port(), "test");
  const auto build = [&] { CHECK(table.ensure({77})); };
  hardware().run({{"", 0, build}, {"", 1, build}, {"", 2, build}});
  CHECK(table.tables() == 4);
  CHECK(used_frames() == 4);
}

TEST_CASE("page table: without a free frame it says so, and nothing is lost") {
  machine().reset();
  hardware().run({{"", 0, [] {
                     PageTable table(memory(), hardware().port(), "test");
                     std::vector<Pfn> taken;
                     while (memory().free_frames() > 2) taken.push_back(memory().allocate(FrameUse::kernel, "test"));
                     CHECK_FALSE(table.ensure({5}));
                     CHECK_FALSE(table.has_table({5}));
                     CHECK(table.tables() == 2);
                     memory().put(taken[0]);
                     memory().put(taken[1]);
                     CHECK(table.ensure({5}));
                     CHECK_FALSE(table.ensure(kMappableEnd));
                     CHECK_FALSE(table.ensure({UINT64_MAX}));
                     CHECK(table.read({UINT64_MAX}).none());
                     table.free_all();
                     CHECK(memory().free_frames() == 4);
                   }}});
}

TEST_CASE("page table: an upper entry that somebody overwrote counts as absent") {
  machine().reset();
  hardware().run({{"", 0, [] {
                     PageTable table(memory(), hardware().port(), "test");
                     const Pfn data = memory().allocate(FrameUse::anonymous, "data");
                     CHECK(table.ensure({0}));
                     const PhysAddr top = entry_address(table.root(), {0}, 3);
                     const std::uint64_t good = hardware().port().read64(top);
                     for (const std::uint64_t bad :
                          {UINT64_MAX, make_pte(data, kFlags).bits, good | Pte::kHuge, good & ~Pte::kPresent}) {
                       hardware().port().write64(top, bad);
                       PageTable other = table;  // without the cached last table
                       other.free_tables({{512}, {513}}, {0}, kMappableEnd);
                       CHECK_FALSE(other.has_table({600}));
                       CHECK(other.read({600}).none());
                       other.for_each(kWholeSpace, [](Vpn, Pte) { CHECK(false); });
                       hardware().port().write64(top, good);
                     }
                     CHECK(memory().frame(data).references == 1);
                     table.free_all();
                     CHECK(used_frames() == 1);
                   }}});
}

TEST_CASE("page table: huge entries among small ones, against a map") {
  machine().reset();
  hardware().run({{"", 0, [] {
                     PageTable table(memory(), hardware().port(), "test");
                     Model model;
                     std::set<std::uint64_t> huge;
                     RandomStream random(11, "huge");
                     bool same = true;
                     for (int i = 0; i < 3'000 && same; ++i) {
                       const Vpn page{random.below(8 * kTableEntries)};
                       const PageRange block = block_of(page);
                       const bool is_huge = huge.contains(block.first.value);
                       const auto known = [&](Vpn at) {
                         const auto found = model.find(at.value);
                         return found == model.end() ? Pte{} : found->second;
                       };
                       switch (random.below(7)) {
                         case 0:
                           same &= table.ensure(page);
                           same &= table.has_table(page) == !is_huge;
                           if (is_huge) break;
                           model[page.value] = make_pte({random.below(1'000)}, kFlags);
                           table.write(page, model[page.value]);
                           break;
                         case 1: {  // a huge entry where nothing is, or over one
                           const Pte entry = make_pte({random.below(8) * kTableEntries}, kFlags | Pte::kHuge);
                           if (is_huge) {
                             table.write_huge(page, entry);
                           } else {
                             same &= table.ensure(page, 1);
                             if (table.has_table(page)) break;
                             table.place_huge(page, entry, table.allocate_spare());
                           }
                           huge.insert(block.first.value);
                           for (Vpn at = block.first; at < block.end; at = at + 1)
                             model[at.value] = part_of_huge(entry, at);
                           break;
                         }
                         case 2:
                           if (!is_huge) break;
                           table.free_spare(table.remove_huge(page));
                           huge.erase(block.first.value);
                           model.erase(model.lower_bound(block.first.value), model.lower_bound(block.end.value));
                           break;
                         case 3:
                           if (!is_huge) break;
                           table.split_huge(page, [&](Vpn at) { return Pte{known(at).bits & ~Pte::kHuge}; });
                           huge.erase(block.first.value);
                           for (Vpn at = block.first; at < block.end; at = at + 1) model[at.value].bits &= ~Pte::kHuge;
                           break;
                         case 4: {  // a table is replaced by a huge entry, or put back
                           if (is_huge || !table.has_table(page)) break;
                           const Pfn taken = table.detach_table(page);
                           same &= table.read(page).none() && table.read_detached(taken, page) == known(page);
                           if (random.below(2) == 0) {
                             table.attach_table(page, taken);
                             break;
                           }
                           const Pte entry = make_pte({0}, kFlags | Pte::kHuge);
                           table.place_huge(page, entry, taken);
                           huge.insert(block.first.value);
                           for (Vpn at = block.first; at < block.end; at = at + 1)
                             model[at.value] = part_of_huge(entry, at);
                           break;
                         }
                         case 5: {
                           const PageRange range{page, page + random.below(3 * kTableEntries)};
                           Model wanted(model.lower_bound(range.first.value), model.lower_bound(range.end.value));
                           std::erase_if(wanted, [&](const auto& item) {
                             const std::uint64_t first = block_of({item.first}).first.value;
                             return huge.contains(first) && item.first != std::max(first, range.first.value);
                           });
                           Model visited;
                           table.for_each(range, [&](Vpn at, Pte entry) { visited.emplace(at.value, entry); });
                           same &= visited == wanted;
                           break;
                         }
                         default:
                           if (random.below(20) == 0) table.free_tables(block, {0}, kMappableEnd);
                       }
                       same &= table.read(page) == known(page);
                       same &= table.read_huge(page).none() == !huge.contains(block.first.value);
                       same &= table.tables() == used_frames();
                     }
                     CHECK(same);
                     CHECK(huge.size() > 1);
                     table.free_all();
                     CHECK(table.tables() == 0);
                     CHECK(used_frames() == 0);
                   }}});
}
