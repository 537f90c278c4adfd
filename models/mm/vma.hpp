// VMAs on Boost.ICL: an interval_map from page number to the attributes of the mapping. Two neighbours
// with equal attributes are one VMA, as Linux merges them: equal access, equal flags, the same backing
// at offsets that continue (kept as one number, the offset of page 0), the same anon_vma.
#pragma once

#include <cstdint>
#include <memory>

#include <boost/icl/interval_map.hpp>

#include "notifier/substrate/address.hpp"

namespace secmmu {

struct Rights {
  bool read = false;
  bool write = false;
  bool execute = false;
  constexpr bool operator==(const Rights&) const = default;
};

class SharedObject;  // pages of shared anonymous memory, by offset; lives as long as somebody maps it

struct VmaAttributes {
  Rights rights;
  bool shared = false;
  std::shared_ptr<SharedObject> object;  // shared only
  std::uint64_t origin = 0;              // shared: offset of the object minus the page number (modulo 2^64)
  std::uint64_t anon_vma = 0;            // 0: no private page was ever allocated here
  bool mapped = false;                   // false: the identity element of the map, no VMA

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
};

}  // namespace secmmu
