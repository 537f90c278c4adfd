#include "models/mm/shared_object.hpp"

#include <utility>
#include <vector>

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

bool SharedObject::free_unmapped(std::uint64_t first, std::uint64_t end) {
  std::vector<Pfn> gone;
  bool all = true;
  for (auto it = pages_.lower_bound(first); it != pages_.end() && it->first < end;) {
    if (memory_.frame(it->second).mappings != 0) {
      all = false;
      ++it;
      continue;
    }
    gone.push_back(it->second);
    dirty_.erase(it->first);
    it = pages_.erase(it);
  }
  for (const Pfn frame : gone) memory_.put(frame);
  return all;
}

void SharedObject::free_pages() {
  for (const auto& [offset, frame] : std::exchange(pages_, {})) memory_.put(frame);
}

}  // namespace secmmu
