#include "models/mm/vma.hpp"

#include <utility>

namespace secmmu {

Vma find_vma(const VmaMap& map, Vpn page) {
  if (page >= kWholeSpace.end) return {{page, page}, {}};  // also the page before page 0
  const auto it = map.find(page.value);
  if (it == map.end()) return {{page, page}, {}};
  return {range_of(it->first), it->second};
}

VmaList vmas_in(const VmaMap& map, PageRange range) {
  VmaList pieces;
  if (range.empty()) return pieces;
  const auto [first, end] = map.equal_range(interval_of(range));
  for (auto it = first; it != end; ++it) pieces.push_back({range_of(it->first).intersect(range), it->second});
  return pieces;
}

bool any_vma(const VmaMap& map, PageRange range) { return !range.empty() && map.find(interval_of(range)) != map.end(); }

void place_vma(VmaMap& map, PageRange range, const VmaAttributes& attributes) {
  map.erase(interval_of(range));
  VmaAttributes placed = attributes;
  placed.mapped = true;
  map.insert({interval_of(range), std::move(placed)});
}

void cut_vma(VmaMap& map, Vpn at) {
  const Vma vma = find_vma(map, at);
  if (vma.pages.empty() || vma.pages.first == at) return;
  place_vma(map, {vma.pages.first, at}, vma.attributes);
  place_vma(map, {at, vma.pages.end}, vma.attributes);
}

namespace {

// But for what may differ between VMAs that join.
bool alike(VmaAttributes left, VmaAttributes right) {
  for (VmaAttributes* side : {&left, &right}) {
    side->mapped = true;
    side->soft_dirty = false;
    side->anon_vma = 0;
    side->inherited.clear();
  }
  return left == right;
}

// `anon_vma`: of what joins, 0 if it has none.
bool may_join(const Vma& neighbour, const VmaAttributes& attributes, std::uint64_t anon_vma) {
  const VmaAttributes& theirs = neighbour.attributes;
  if (neighbour.pages.empty() || !alike(theirs, attributes)) return false;
  return anon_vma == theirs.anon_vma || (anon_vma == 0 && theirs.inherited.empty());
}

void take_anon_vma(VmaAttributes& to, const VmaAttributes& from) {
  if (to.anon_vma != 0) return;
  to.anon_vma = from.anon_vma;
  to.inherited = from.inherited;
}

}  // namespace

std::optional<Joined> join_of(const VmaMap& map, PageRange piece, const VmaAttributes& attributes, bool next_first) {
  const Vma owner = find_vma(map, piece.first);
  const Vma left = find_vma(map, {piece.first.value - 1});
  const Vma right = find_vma(map, piece.end);
  bool with_left = left.pages.end == piece.first && may_join(left, attributes, attributes.anon_vma);
  bool with_right = right.pages.first == piece.end && may_join(right, attributes, attributes.anon_vma);
  if (with_left && with_right) {
    const std::uint64_t before = left.attributes.anon_vma;
    const std::uint64_t behind = right.attributes.anon_vma;
    const bool agree = next_first ? may_join(left, attributes, behind) : before == behind || before == 0 || behind == 0;
    if (!agree) (next_first ? with_left : with_right) = false;
  }
  if (!with_left && !with_right) return {};

  Joined joined{{with_left ? left.pages.first : piece.first, with_right ? right.pages.end : piece.end},
                with_left ? left.attributes : right.attributes,
                {}};
  take_anon_vma(joined.attributes, attributes);
  if (with_right) take_anon_vma(joined.attributes, right.attributes);
  if (!owner.pages.empty() && !with_right && owner.pages.end > piece.end) joined.cut = piece.end;
  if (!owner.pages.empty() && !with_left && owner.pages.first < piece.first) joined.cut = piece.first;
  return joined;
}

bool adopt_anon_vma(VmaMap& map, Vpn page, std::uint64_t fresh) {
  Vma vma = find_vma(map, page);
  if (vma.attributes.anon_vma != 0) return false;
  for (const Vpn neighbour : {vma.pages.end, Vpn{vma.pages.first.value - 1}}) {
    VmaAttributes theirs = find_vma(map, neighbour).attributes;
    theirs.rights = vma.attributes.rights;
    if (theirs.anon_vma == 0 || !theirs.inherited.empty() || !alike(theirs, vma.attributes)) continue;
    fresh = theirs.anon_vma;
    break;
  }
  vma.attributes.anon_vma = fresh;
  place_vma(map, vma.pages, vma.attributes);
  return true;
}

PageRange hole_around(const VmaMap& map, PageRange range) {
  PageRange hole = kWholeSpace;
  const auto next = map.lower_bound(interval_of(range));
  if (next != map.end()) hole.end = range_of(next->first).first;
  if (next != map.begin()) hole.first = range_of(std::prev(next)->first).end;
  return hole;
}

}  // namespace secmmu
