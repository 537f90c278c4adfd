#include "models/mm/reverse_map.hpp"

#include <algorithm>
#include <vector>

namespace secmmu {

namespace {

using Belongs = std::function<bool(const VmaAttributes&)>;

// The VMAs that belong, as far as they show the offsets [first, end) of their backing; those that are being unmapped,
// too.
std::vector<Mapping> mappings_in(Mm& mm, const Belongs& belongs, std::uint64_t first, std::uint64_t end) {
  std::vector<Mapping> mappings;
  VmaList all = mm.vmas_in(kWholeSpace);
  all.insert(all.end(), mm.leaving.begin(), mm.leaving.end());
  for (const Vma& vma : all) {
    if (!belongs(vma.attributes)) continue;
    const std::uint64_t offset = vma.offset_of(vma.pages.first);
    const std::uint64_t low = std::max(first, offset);
    const std::uint64_t high = std::min(end, offset + vma.pages.pages());
    if (low >= high) continue;
    mappings.push_back({&mm,
                        {vma.pages.first + (low - offset), vma.pages.first + (high - offset)},
                        vma.attributes.locked,
                        vma.attributes.shared});
  }
  return mappings;
}

// By number: a fork may bring further address spaces meanwhile, and they come last.
void walk(MmSystem& system, const Belongs& belongs, std::uint64_t first, std::uint64_t end,
          const std::function<bool(const Mapping&)>& visit) {
  bool more = true;
  for (std::size_t number = 0; more && number < system.spaces().size(); ++number) {
    Mm& mm = *system.spaces()[number];
    if (mappings_in(mm, belongs, first, end).empty()) continue;
    mm.lock_rmap();
    for (const Mapping& mapping : mappings_in(mm, belongs, first, end)) {
      more = visit(mapping);
      if (!more) break;
    }
    mm.unlock_rmap();
  }
}

}  // namespace

void for_each_mapping(MmSystem& system, const SharedObject& object, std::uint64_t first, std::uint64_t end,
                      const std::function<void(const Mapping&)>& visit) {
  walk(
      system, [&object](const VmaAttributes& attributes) { return attributes.object == &object; }, first, end,
      [&visit](const Mapping& mapping) {
        visit(mapping);
        return true;
      });
}

namespace {

bool has_family(const VmaAttributes& attributes, std::uint64_t family) {
  return attributes.anon_vma == family || std::ranges::find(attributes.inherited, family) != attributes.inherited.end();
}

// A merged page is where KSM has put it, at any offset; and at the same addresses of those who were forked since. Rule:
// the places themselves come first, the last one that was merged before the others.
void walk_merged(MmSystem& system, Pfn frame, const std::function<bool(const Mapping&)>& visit) {
  const auto node = system.ksm.nodes.find(system.memory.frame(frame).mapping);
  if (node == system.ksm.nodes.end()) return;
  const std::vector<Ksm::Place> places(node->second.places.rbegin(), node->second.places.rend());
  bool more = true;
  const auto look = [&](Mm& mm, const Ksm::Place& place) {
    const auto fits = [&] { return has_family(mm.vma_at(place.page).attributes, place.family); };
    if (!more || !fits()) return;
    mm.lock_rmap();
    if (fits()) more = visit({&mm, one_page(place.page), mm.vma_at(place.page).attributes.locked});
    mm.unlock_rmap();
  };
  for (const Ksm::Place& place : places) look(*place.mm, place);
  for (const Ksm::Place& place : places)
    for (std::size_t number = 0; more && number < system.spaces().size(); ++number)
      if (Mm& mm = *system.spaces()[number]; &mm != place.mm) look(mm, place);
}

}  // namespace

void for_each_mapping(MmSystem& system, Pfn frame, const std::function<bool(const Mapping&)>& visit) {
  const Frame& page = system.memory.frame(frame);
  if (page.use == FrameUse::merged) return walk_merged(system, frame, visit);
  const std::uint64_t family = page.mapping;
  const SharedObject* object = page.use == FrameUse::shared ? system.object(family) : nullptr;
  if (object == nullptr && (page.use != FrameUse::anonymous || family == 0)) return;
  const auto belongs = [object, family](const VmaAttributes& attributes) {
    if (object != nullptr) return attributes.object == object;
    return has_family(attributes, family);
  };
  walk(system, belongs, page.index, page.index + system.memory.folio_frames(frame), visit);
}

}  // namespace secmmu
