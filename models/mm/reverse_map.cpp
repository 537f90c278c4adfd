#include "models/mm/reverse_map.hpp"

#include <algorithm>

namespace secmmu {

std::vector<Mapping> mappings_of(MmSystem& system, const SharedObject& object, std::uint64_t first, std::uint64_t end) {
  std::vector<Mapping> mappings;
  for (const auto& space : system.spaces()) {
    if (space->torn_down) continue;
    for (const Vma& vma : space->vmas_in(kWholeSpace)) {
      if (!vma.attributes.shared || vma.attributes.object != &object) continue;
      const std::uint64_t offset = vma.offset_of(vma.pages.first);
      const std::uint64_t low = std::max(first, offset);
      const std::uint64_t high = std::min(end, offset + vma.pages.pages());
      if (low >= high) continue;
      mappings.push_back({space.get(), {vma.pages.first + (low - offset), vma.pages.first + (high - offset)}});
    }
  }
  return mappings;
}

}  // namespace secmmu
