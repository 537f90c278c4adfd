#include "models/mm/reverse_map.hpp"

#include <algorithm>
#include <vector>

namespace secmmu {

namespace {

std::vector<Mapping> mappings_in(Mm& mm, const SharedObject& object, std::uint64_t first, std::uint64_t end) {
  std::vector<Mapping> mappings;
  for (const Vma& vma : mm.vmas_in(kWholeSpace)) {
    if (!vma.attributes.shared || vma.attributes.object != &object) continue;
    const std::uint64_t offset = vma.offset_of(vma.pages.first);
    const std::uint64_t low = std::max(first, offset);
    const std::uint64_t high = std::min(end, offset + vma.pages.pages());
    if (low < high) mappings.push_back({&mm, {vma.pages.first + (low - offset), vma.pages.first + (high - offset)}});
  }
  return mappings;
}

}  // namespace

// By number: a fork may bring further address spaces meanwhile, and they come last.
void for_each_mapping(MmSystem& system, const SharedObject& object, std::uint64_t first, std::uint64_t end,
                      const std::function<void(const Mapping&)>& visit) {
  for (std::size_t number = 0; number < system.spaces().size(); ++number) {
    Mm& mm = *system.spaces()[number];
    if (mappings_in(mm, object, first, end).empty()) continue;
    mm.lock_rmap();
    for (const Mapping& mapping : mappings_in(mm, object, first, end)) visit(mapping);
    mm.unlock_rmap();
  }
}

}  // namespace secmmu
