#include "models/mm/shared_object.hpp"

#include <utility>

namespace secmmu {

Pfn SharedObject::page(std::uint64_t offset, std::string_view owner) {
  const auto found = pages_.find(offset);
  if (found != pages_.end()) return found->second;
  const Pfn fresh = memory_.allocate(FrameUse::shared, owner);
  if (fresh == kNoPfn) return kNoPfn;
  memory_.clear(fresh);
  const auto [it, inserted] = pages_.try_emplace(offset, fresh);
  const Pfn winner = it->second;
  if (!inserted) memory_.put(fresh);  // somebody else brought it meanwhile
  return winner;
}

void SharedObject::free_pages() {
  for (const auto& [offset, frame] : std::exchange(pages_, {})) memory_.put(frame);
}

}  // namespace secmmu
