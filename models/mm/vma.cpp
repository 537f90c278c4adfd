#include "models/mm/vma.hpp"

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

void set_vma(VmaMap& map, PageRange range, VmaAttributes attributes) {
  attributes.mapped = true;
  if (!attributes.shared && attributes.anon_vma == 0) {
    for (const Vpn neighbour : {Vpn{range.first.value - 1}, range.end}) {
      VmaAttributes theirs = find_vma(map, neighbour).attributes;
      const std::uint64_t anon_vma = theirs.anon_vma;
      theirs.anon_vma = 0;
      if (anon_vma == 0 || theirs != attributes) continue;
      attributes.anon_vma = anon_vma;
      break;
    }
  }
  map.set({interval_of(range), attributes});
}

bool adopt_anon_vma(VmaMap& map, Vpn page, std::uint64_t fresh) {
  Vma vma = find_vma(map, page);
  if (vma.attributes.anon_vma != 0) return false;
  for (const Vpn neighbour : {vma.pages.end, Vpn{vma.pages.first.value - 1}}) {
    VmaAttributes theirs = find_vma(map, neighbour).attributes;
    const std::uint64_t anon_vma = theirs.anon_vma;
    theirs.anon_vma = 0;
    theirs.rights = vma.attributes.rights;
    if (anon_vma == 0 || theirs != vma.attributes) continue;
    fresh = anon_vma;
    break;
  }
  vma.attributes.anon_vma = fresh;
  map.set({interval_of(vma.pages), vma.attributes});
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
