#include "models/mm/vma.hpp"

#include <doctest/doctest.h>

#include <array>
#include <optional>

#include "notifier/substrate/random.hpp"

using namespace secmmu;

namespace {

constexpr std::uint64_t kPages = 40;

// The same promises, page by page.
struct Naive {
  std::array<VmaAttributes, kPages + 2> pages{};  // a page of nothing on either side

  VmaAttributes& at(std::uint64_t page) { return pages[page + 1]; }
  void set(PageRange range, VmaAttributes attributes) {
    attributes.mapped = true;
    for (const std::uint64_t neighbour : {range.first.value - 1, range.end.value}) {
      VmaAttributes theirs = at(neighbour);
      if (attributes.shared || attributes.anon_vma != 0 || theirs.anon_vma == 0) continue;
      theirs.anon_vma = 0;
      if (theirs == attributes) attributes.anon_vma = at(neighbour).anon_vma;
    }
    for (std::uint64_t page = range.first.value; page < range.end.value; ++page) at(page) = attributes;
  }
  void erase(PageRange range) {
    for (std::uint64_t page = range.first.value; page < range.end.value; ++page) at(page) = {};
  }
  PageRange vma_around(std::uint64_t page) {
    std::uint64_t first = page;
    std::uint64_t end = page;
    if (!at(page).mapped) return {{page}, {page}};
    while (first > 0 && at(first - 1) == at(page)) --first;
    while (end < kPages && at(end) == at(page)) ++end;
    return {{first}, {end}};
  }
};

VmaAttributes some_attributes(RandomStream& random) {
  static int objects[2];
  VmaAttributes attributes;
  attributes.rights = {true, random.below(2) != 0, false};
  attributes.shared = random.below(4) == 0;
  if (attributes.shared) {
    attributes.object = reinterpret_cast<SharedObject*>(&objects[random.below(2)]);
    attributes.origin = random.below(2);
  } else {
    attributes.anon_vma = random.below(3);
  }
  return attributes;
}

bool agree(const VmaMap& map, Naive& naive) {
  VmaList expected;
  for (std::uint64_t page = 0; page < kPages; ++page) {
    const Vma vma = find_vma(map, {page});
    if (vma.pages != naive.vma_around(page) || vma.attributes != naive.at(page)) return false;
    if (naive.at(page).mapped && (expected.empty() || expected.back().pages != vma.pages)) expected.push_back(vma);
  }
  const VmaList all = vmas_in(map, {{0}, {kPages}});
  if (all.size() != expected.size()) return false;
  for (std::size_t i = 0; i < all.size(); ++i)
    if (all[i].pages != expected[i].pages || all[i].attributes != expected[i].attributes) return false;
  return true;
}

bool pieces_agree(const VmaMap& map, Naive& naive, PageRange range) {
  std::uint64_t covered = 0;
  std::uint64_t mapped = 0;
  Vpn last{0};
  for (const Vma& piece : vmas_in(map, range)) {
    if (piece.pages.empty() || piece.pages.first < last || piece.pages.intersect(range) != piece.pages) return false;
    last = piece.pages.end;
    covered += piece.pages.pages();
    for (Vpn page = piece.pages.first; page < piece.pages.end; page = page + 1)
      if (naive.at(page.value) != piece.attributes) return false;
  }
  for (std::uint64_t page = range.first.value; page < range.end.value; ++page) mapped += naive.at(page).mapped;
  return covered == mapped && any_vma(map, range) == (mapped != 0);
}

}  // namespace

TEST_CASE("the map of VMAs keeps its promises: against a map page by page") {
  RandomStream random(1, "vma");
  VmaMap map;
  Naive naive;
  unsigned wrong = 0;
  for (int step = 0; step < 20'000; ++step) {
    const std::uint64_t first = random.below(kPages);
    const PageRange range{{first}, {first + 1 + random.below(std::min<std::uint64_t>(12, kPages - first))}};
    switch (random.below(4)) {
      case 0:
        map.erase(interval_of(range));
        naive.erase(range);
        break;
      case 1: {  // protect: what is mapped gets other rights
        const bool write = random.below(2) != 0;
        for (const Vma& piece : vmas_in(map, range)) {
          VmaAttributes attributes = piece.attributes;
          attributes.rights.write = write;
          set_vma(map, piece.pages, attributes);
          naive.set(piece.pages, attributes);
        }
        break;
      }
      default: {
        const VmaAttributes attributes = some_attributes(random);
        set_vma(map, range, attributes);
        naive.set(range, attributes);
      }
    }
    wrong += agree(map, naive) ? 0 : 1;
    wrong += pieces_agree(map, naive, range) ? 0 : 1;
    // The hole around what is not mapped reaches to the next VMAs and no further.
    if (!any_vma(map, range)) {
      const PageRange hole = hole_around(map, range);
      const bool left = hole.first == kWholeSpace.first || naive.at(hole.first.value - 1).mapped;
      const bool right = hole.end == kWholeSpace.end || naive.at(hole.end.value).mapped;
      const bool clear = !any_vma(map, hole);
      wrong += left && right && clear ? 0 : 1;
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("a piece without anon_vma joins a neighbour that has one, not the other way round") {
  VmaAttributes fresh;
  fresh.rights = {true, true, false};
  VmaAttributes used = fresh;
  used.anon_vma = 7;
  VmaMap map;
  set_vma(map, {{10}, {20}}, used);
  set_vma(map, {{20}, {30}}, fresh);
  CHECK(find_vma(map, {25}).pages == PageRange{{10}, {30}});
  set_vma(map, {{40}, {50}}, fresh);
  set_vma(map, {{50}, {60}}, used);
  CHECK(find_vma(map, {45}).pages == PageRange{{40}, {50}});
}

TEST_CASE("the first private page brings an anon_vma: the next neighbour's, the previous one's, or a new one") {
  VmaAttributes readable;
  readable.rights = {true, false, false};
  readable.mapped = true;
  VmaAttributes writable = readable;
  writable.rights.write = true;
  VmaMap map;
  VmaAttributes before = readable;
  before.anon_vma = 3;
  VmaAttributes behind = readable;
  behind.anon_vma = 4;
  map.set({interval_of({{0}, {10}}), before});
  map.set({interval_of({{10}, {20}}), writable});
  CHECK(adopt_anon_vma(map, {15}, 9));
  CHECK(find_vma(map, {15}).attributes.anon_vma == 3);
  CHECK_FALSE(adopt_anon_vma(map, {15}, 9));
  map.set({interval_of({{30}, {40}}), writable});
  CHECK(adopt_anon_vma(map, {30}, 9));
  CHECK(find_vma(map, {30}).attributes.anon_vma == 9);
  map.set({interval_of({{10}, {20}}), writable});
  map.set({interval_of({{20}, {30}}), behind});
  CHECK(adopt_anon_vma(map, {15}, 9));
  CHECK(find_vma(map, {15}).attributes.anon_vma == 4);
  writable.accounted = true;  // more than access rights differ
  map.set({interval_of({{10}, {20}}), writable});
  CHECK(adopt_anon_vma(map, {15}, 9));
  CHECK(find_vma(map, {15}).attributes.anon_vma == 9);
}
