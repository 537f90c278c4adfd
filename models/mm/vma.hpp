// VMAs on Boost.ICL: an interval_map from page number to the attributes of the mapping. Two neighbours
// with equal attributes are one VMA, as Linux merges them: equal access, equal flags, the same backing
// at offsets that continue (kept as one number, the offset of page 0), the same anon_vma.
#pragma once

#include <cstdint>

#include <boost/container/small_vector.hpp>
#include <boost/icl/interval_map.hpp>

#include "notifier/substrate/address.hpp"

namespace secmmu {

struct Rights {
  bool read = false;
  bool write = false;
  bool execute = false;
  constexpr bool operator==(const Rights&) const = default;
  constexpr bool none() const { return !read && !write && !execute; }
};

class SharedObject;  // pages of shared anonymous memory, by offset; lives as long as somebody maps it

struct VmaAttributes {
  Rights rights;
  bool shared = false;
  bool accounted = false;          // VM_ACCOUNT: private, and was writable once; parts what mprotect made equal
  bool mapped = false;             // false: the identity element of the map, no VMA
  SharedObject* object = nullptr;  // shared only; counts the pages that VMAs map
  std::uint64_t origin = 0;        // offset of the backing minus the page number (modulo 2^64)
  std::uint64_t anon_vma = 0;      // 0: no private page was ever allocated here

  bool operator==(const VmaAttributes&) const = default;
};

using VmaMap = boost::icl::interval_map<std::uint64_t, VmaAttributes, boost::icl::partial_absorber, std::less,
                                        boost::icl::inplace_plus, boost::icl::inter_section,
                                        boost::icl::right_open_interval<std::uint64_t>>;
// ICL wants an addition for values; mappings are only ever set, never added.
inline VmaAttributes& operator+=(VmaAttributes& left, const VmaAttributes& right) { return left = right; }

struct Vma {
  PageRange pages;
  VmaAttributes attributes;

  // Where in its backing a page lies.
  std::uint64_t offset_of(Vpn page) const { return page.value + attributes.origin; }
};
// A copy, so that it stays valid when another task changes the map at the next scheduling point.
using VmaList = boost::container::small_vector<Vma, 4>;

inline VmaMap::interval_type interval_of(PageRange range) { return {range.first.value, range.end.value}; }
inline PageRange range_of(const VmaMap::interval_type& interval) { return {{interval.lower()}, {interval.upper()}}; }

// The VMA that holds `page`, widened to its borders; pages.empty() if none.
Vma find_vma(const VmaMap& map, Vpn page);
// The pieces of VMAs in the range, ascending, clipped to it.
VmaList vmas_in(const VmaMap& map, PageRange range);
bool any_vma(const VmaMap& map, PageRange range);
// Makes the range one mapping of these attributes. Rule modelled: a piece without anon_vma takes that of an
// otherwise equal neighbour (the previous one first) and becomes one VMA with it; a piece that has one does
// not join a neighbour without.
void set_vma(VmaMap& map, PageRange range, VmaAttributes attributes);
// Rule modelled: the first private page of a VMA brings it an anon_vma, that of a neighbour (the next one
// first) which differs in access rights only, else `fresh`. False: it had one.
bool adopt_anon_vma(VmaMap& map, Vpn page, std::uint64_t fresh);
// The nearest VMA borders around a range that holds none: what free_pgtables calls floor and ceiling.
PageRange hole_around(const VmaMap& map, PageRange range);

}  // namespace secmmu
