#include "models/mm/vma.hpp"

#include <doctest/doctest.h>

#include <array>
#include <optional>

#include "notifier/substrate/random.hpp"

using namespace secmmu;

namespace {

constexpr std::uint64_t kPages = 40;

// The same promises, page by page: what is mapped there, and as a part of which VMA.
struct Naive {
  struct Page {
    VmaAttributes attributes;
    unsigned vma = 0;
  };
  std::array<Page, kPages + 2> pages{};  // a page of nothing on either side
  unsigned vmas = 0;

  Page& at(std::uint64_t page) { return pages[page + 1]; }
  void cut(std::uint64_t where) {
    if (!at(where).attributes.mapped || at(where - 1).vma != at(where).vma) return;
    const unsigned old = at(where).vma;
    ++vmas;
    for (; at(where).vma == old; ++where) at(where).vma = vmas;
  }
  void place(PageRange range, VmaAttributes attributes) {
    attributes.mapped = true;
    cut(range.first.value);
    cut(range.end.value);
    ++vmas;
    for (std::uint64_t page = range.first.value; page < range.end.value; ++page) at(page) = {attributes, vmas};
  }
  void erase(PageRange range) {
    cut(range.first.value);
    cut(range.end.value);
    for (std::uint64_t page = range.first.value; page < range.end.value; ++page) at(page) = {};
  }
  PageRange vma_around(std::uint64_t page) {
    std::uint64_t first = page;
    std::uint64_t end = page;
    if (!at(page).attributes.mapped) return {{page}, {page}};
    while (first > 0 && at(first - 1).vma == at(page).vma) --first;
    while (end < kPages && at(end).vma == at(page).vma) ++end;
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
    if (vma.pages != naive.vma_around(page) || vma.attributes != naive.at(page).attributes) return false;
    if (naive.at(page).attributes.mapped && (expected.empty() || expected.back().pages != vma.pages))
      expected.push_back(vma);
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
      if (naive.at(page.value).attributes != piece.attributes) return false;
  }
  for (std::uint64_t page = range.first.value; page < range.end.value; ++page)
    mapped += naive.at(page).attributes.mapped;
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
    switch (random.below(5)) {
      case 0:
        map.erase(interval_of(range));
        naive.erase(range);
        break;
      case 1:
        cut_vma(map, range.first);
        naive.cut(range.first.value);
        break;
      case 2: {  // protect: what is mapped gets other rights
        const bool write = random.below(2) != 0;
        for (const Vma& piece : vmas_in(map, range)) {
          VmaAttributes attributes = piece.attributes;
          attributes.rights.write = write;
          place_vma(map, piece.pages, attributes);
          naive.place(piece.pages, attributes);
        }
        break;
      }
      default: {
        const VmaAttributes attributes = some_attributes(random);
        place_vma(map, range, attributes);
        naive.place(range, attributes);
      }
    }
    wrong += agree(map, naive) ? 0 : 1;
    wrong += pieces_agree(map, naive, range) ? 0 : 1;
    // The hole around what is not mapped reaches to the next VMAs and no further.
    if (!any_vma(map, range)) {
      const PageRange hole = hole_around(map, range);
      const bool left = hole.first == kWholeSpace.first || naive.at(hole.first.value - 1).attributes.mapped;
      const bool right = hole.end == kWholeSpace.end || naive.at(hole.end.value).attributes.mapped;
      const bool clear = !any_vma(map, hole);
      wrong += left && right && clear ? 0 : 1;
    }
  }
  CHECK(wrong == 0);
}

namespace {

VmaAttributes plain(std::uint64_t anon_vma = 0, std::initializer_list<std::uint64_t> inherited = {}) {
  VmaAttributes attributes;
  attributes.rights = {true, true, false};
  attributes.anon_vma = anon_vma;
  attributes.inherited = inherited;
  return attributes;
}

PageRange joined_pages(const VmaMap& map, PageRange piece, const VmaAttributes& attributes, bool next_first = false) {
  const auto joined = join_of(map, piece, attributes, next_first);
  return joined ? joined->pages : PageRange{};
}

constexpr PageRange kLeft{{0}, {10}};
constexpr PageRange kMiddle{{10}, {20}};
constexpr PageRange kRight{{20}, {30}};

}  // namespace

TEST_CASE("a piece without anon_vma joins a neighbour that has one, not the other way round") {
  VmaMap map;
  place_vma(map, kLeft, plain(7));
  CHECK(joined_pages(map, kMiddle, plain()) == PageRange{{0}, {20}});
  CHECK(join_of(map, kMiddle, plain())->attributes.anon_vma == 7);
  CHECK(joined_pages(map, kMiddle, plain(7)) == PageRange{{0}, {20}});
  CHECK_FALSE(join_of(map, kMiddle, plain(8)));
  place_vma(map, kLeft, plain());
  CHECK_FALSE(join_of(map, kMiddle, plain(7)));
  place_vma(map, kLeft, plain(7, {3}));  // shared with a parent
  CHECK_FALSE(join_of(map, kMiddle, plain()));
  CHECK(joined_pages(map, kMiddle, plain(7, {3})) == PageRange{{0}, {20}});
}

TEST_CASE("neighbours that do not agree: the previous one gets the piece, of a new mapping the next one") {
  VmaMap map;
  place_vma(map, kLeft, plain(7));
  place_vma(map, kRight, plain(8));
  CHECK(joined_pages(map, kMiddle, plain()) == PageRange{{0}, {20}});
  CHECK(joined_pages(map, kMiddle, plain(), true) == PageRange{{10}, {30}});
  place_vma(map, kRight, plain(7));
  CHECK(joined_pages(map, kMiddle, plain()) == PageRange{{0}, {30}});
  CHECK(joined_pages(map, kMiddle, plain(), true) == PageRange{{0}, {30}});
}

TEST_CASE("soft-dirty parts no VMAs, any other attribute does") {
  VmaMap map;
  VmaAttributes left = plain();
  left.soft_dirty = false;
  place_vma(map, kLeft, left);
  CHECK(joined_pages(map, kMiddle, plain()) == PageRange{{0}, {20}});
  left.mergeable = true;
  place_vma(map, kLeft, left);
  CHECK_FALSE(join_of(map, kMiddle, plain()));
  VmaAttributes elsewhere = plain();
  elsewhere.origin = 1;
  place_vma(map, kLeft, elsewhere);
  CHECK_FALSE(join_of(map, kMiddle, plain()));
}

TEST_CASE("a piece of a VMA that joins a neighbour leaves one cut behind, a whole one none") {
  VmaMap map;
  place_vma(map, kLeft, plain(7));
  VmaAttributes readable = plain(7);
  readable.rights.write = false;
  place_vma(map, kMiddle, readable);
  place_vma(map, kRight, plain(7));
  const auto head = join_of(map, {{10}, {13}}, plain(7));
  CHECK(head->pages == PageRange{{0}, {13}});
  CHECK(head->cut == Vpn{13});
  const auto tail = join_of(map, {{15}, {20}}, plain(7));
  CHECK(tail->pages == PageRange{{15}, {30}});
  CHECK(tail->cut == Vpn{15});
  CHECK_FALSE(join_of(map, {{12}, {14}}, plain(7)));
  const auto all = join_of(map, kMiddle, plain(7));
  CHECK(all->pages == PageRange{{0}, {30}});
  CHECK_FALSE(all->cut);
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
  place_vma(map, {{0}, {10}}, before);
  place_vma(map, {{10}, {20}}, writable);
  CHECK(adopt_anon_vma(map, {15}, 9));
  CHECK(find_vma(map, {15}).attributes.anon_vma == 3);
  CHECK_FALSE(adopt_anon_vma(map, {15}, 9));
  place_vma(map, {{30}, {40}}, writable);
  CHECK(adopt_anon_vma(map, {30}, 9));
  CHECK(find_vma(map, {30}).attributes.anon_vma == 9);
  place_vma(map, {{10}, {20}}, writable);
  place_vma(map, {{20}, {30}}, behind);
  CHECK(adopt_anon_vma(map, {15}, 9));
  CHECK(find_vma(map, {15}).attributes.anon_vma == 4);
  writable.accounted = true;  // more than access rights differ
  place_vma(map, {{10}, {20}}, writable);
  CHECK(adopt_anon_vma(map, {15}, 9));
  CHECK(find_vma(map, {15}).attributes.anon_vma == 9);
}
