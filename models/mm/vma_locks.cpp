#include "models/mm/vma_locks.hpp"

#include <utility>

#include <fmt/format.h>

namespace secmmu {

VmaLocks::VmaLocks(Arbiter& arbiter, std::string mm) : arbiter_(arbiter), mm_(std::move(mm)) {}

RwSemaphore& VmaLocks::of(const Vma& vma) {
  const auto found = locks_.find(vma.pages.first);
  if (found != locks_.end()) return found->second;
  const std::string name = fmt::format("vma_lock({} {})", mm_, to_text(address_of(vma.pages.first)));
  return locks_.try_emplace(vma.pages.first, arbiter_, "vma_lock", name).first->second;
}

bool VmaLocks::try_lock_read(const Vma& vma) {
  RwSemaphore& lock = of(vma);
  if (!lock.try_lock_read()) return false;
  // A writer keeps it although his hold of the lock itself is short.
  if (!boost::icl::contains(written_, vma.pages.first.value)) return true;
  lock.unlock_read();
  return false;
}

void VmaLocks::unlock_read(const Vma& vma) { of(vma).unlock_read(); }

void VmaLocks::lock_write(const VmaList& vmas) {
  for (const Vma& vma : vmas) {
    if (boost::icl::contains(written_, vma.pages.first.value)) continue;
    written_.add(boost::icl::discrete_interval<std::uint64_t>::right_open(vma.pages.first.value, vma.pages.end.value));
    of(vma);
    // Two VMAs may have become one since a fault entered the second: its lock counts too.
    for (auto it = locks_.lower_bound(vma.pages.first); it != locks_.end() && it->first < vma.pages.end; ++it) {
      it->second.lock_write();
      it->second.unlock_write();
    }
  }
}

}  // namespace secmmu
