// VMAs on Boost.ICL: a split_interval_map from page number to the attributes of the mapping, one segment for each
// VMA. Neighbours with equal attributes may be two VMAs: as in Linux, VMAs are joined when one of them is made or
// changed, and not when they come to look alike later. These functions know nothing of locks or subscribers;
// borders.cpp uses them for the operations.
#pragma once

#include <cstdint>
#include <optional>

#include <boost/container/small_vector.hpp>
#include <boost/icl/split_interval_map.hpp>

#include "notifier/substrate/address.hpp"

namespace secmmu {

struct Rights {
  bool read = false;
  bool write = false;
  bool execute = false;
  constexpr bool operator==(const Rights&) const = default;
  constexpr bool none() const { return !read && !write && !execute; }
};

class SharedObject;  // pages of shared memory or of a file, by offset; lives as long as somebody maps it

enum class HugeAdvice { none, always, never };  // MADV_HUGEPAGE, MADV_NOHUGEPAGE

struct VmaAttributes {
  Rights rights;
  bool shared = false;             // MAP_SHARED; false: private, pages are copied when they are written
  bool accounted = false;          // VM_ACCOUNT: private, and was writable once; parts what mprotect made equal
  bool mapped = false;             // false: the identity element of the map, no VMA
  SharedObject* object = nullptr;  // shared, or private over a file; counts the pages that VMAs map
  std::uint64_t origin = 0;        // offset of the backing minus the page number (modulo 2^64)
  // The family of private pages: 0, no private page was ever allocated here. After a fork the pages of the
  // parents may be found here, too.
  std::uint64_t anon_vma = 0;
  boost::container::small_vector<std::uint64_t, 2> inherited;
  HugeAdvice huge = HugeAdvice::none;
  bool mergeable = false;      // MADV_MERGEABLE: KSM looks for equal pages
  bool dont_fork = false;      // MADV_DONTFORK
  bool wipe_on_fork = false;   // MADV_WIPEONFORK
  bool locked = false;         // mlock
  bool write_protect = false;  // userfaultfd tells of writes to protected pages
  bool soft_dirty = true;      // new, or changed, since soft-dirty bits were last cleared

  bool operator==(const VmaAttributes&) const = default;
};

using VmaMap = boost::icl::split_interval_map<std::uint64_t, VmaAttributes, boost::icl::partial_absorber, std::less,
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
// Makes the range one VMA of these attributes, whatever was there; VMAs on its borders are cut.
void place_vma(VmaMap& map, PageRange range, const VmaAttributes& attributes);
// Two VMAs where one was; nothing if `at` is a border, or in none.
void cut_vma(VmaMap& map, Vpn at);

// What becomes of a piece that joins its neighbours.
struct Joined {
  PageRange pages;           // of the VMA that it becomes a part of
  VmaAttributes attributes;  // that VMA's
  std::optional<Vpn> cut;    // where the VMA that the piece belongs to loses it; none if it was all of that VMA
};
// A piece, of one VMA or of none, gets these attributes: does it join its neighbours?
//
// Rule modelled (vma_merge): the neighbours' attributes are equal but for soft-dirty, their backing continues, and
// their anon_vmas agree: they are one, or one side has none and the neighbour, if it has one, does not share it with a
// parent or another VMA's children. A piece that has an anon_vma does not join a neighbour without. If the neighbours
// do not agree with each other, the previous one gets the piece; `next_first`: the next one does (mmap since v6.1).
std::optional<Joined> join_of(const VmaMap& map, PageRange piece, const VmaAttributes& attributes,
                              bool next_first = false);
// Rule modelled: the first private page of a VMA brings it an anon_vma, that of a neighbour (the next one
// first) which differs in access rights only and has inherited none, else `fresh`. False: it had one.
bool adopt_anon_vma(VmaMap& map, Vpn page, std::uint64_t fresh);
// The nearest VMA borders around a range that holds none: what free_pgtables calls floor and ceiling.
PageRange hole_around(const VmaMap& map, PageRange range);

}  // namespace secmmu
