#include "models/mm/mm.hpp"

#include <utility>

#include "models/mm/entries.hpp"

namespace secmmu {

namespace {
// Where mmap looks for room: the lowest page of the last TiB of user space.
constexpr Vpn kMmapBase = VirtAddr{0x7f00'0000'0000}.page();
}  // namespace

Mm::Mm(MmSystem& the_system, std::string name, std::uint32_t id)
    : system(the_system),
      table(the_system.memory, the_system.port, name + " page tables"),
      vma_locks(the_system.arbiter, name),
      page_table_lock(the_system.arbiter, "page_table_lock", "page_table_lock(" + name + ")"),
      user_faults{.queue = {the_system.arbiter, "userfaultfd(" + name + ")"}, .untold = {}},
      name_(std::move(name)),
      id_(id),
      mmap_lock_(the_system.arbiter, "mmap_lock", "mmap_lock(" + name_ + ")"),
      users_(the_system.arbiter, "mm_users(" + name_ + ")", 1),
      count_(the_system.arbiter, "mm_count(" + name_ + ")", 1),
      rmap_lock_(the_system.arbiter, "rmap_locks", "rmap_locks(" + name_ + ")") {}

Mm::~Mm() = default;

// mmap_lock is held for write, so no operation of this mm is under way, but faults that hold the lock of a VMA
// only: from v6.5 on they are waited for. The locks of reverse mappings stop those that come to its pages from
// the side of the frames.
Errno Mm::take_all_locks() {
  system.all_locks_mutex.lock();
  if (system.interrupted && system.interrupted()) {
    system.all_locks_mutex.unlock();
    return Errno::eintr;
  }
  written_before_ = vma_locks.written();
  if (system.behaviour.all_locks_cover_vmas) lock_vmas_for_writing(*this, kWholeSpace);
  rmap_lock_.lock();
  return Errno::ok;
}

void Mm::drop_all_locks() {
  rmap_lock_.unlock();
  vma_locks.restore(std::move(written_before_));
  system.all_locks_mutex.unlock();
}

void Mm::last_count_dropped() {
  system.notifier.destroy(*this);
  freed = true;
  system.arbiter.bus().emit(MmFreed{name_, id_, users_.value()});
}

VirtAddr Mm::find_gap(std::uint64_t pages, std::uint64_t align) const {
  if (align == 0) align = 1;
  const auto aligned = [align](Vpn page) { return Vpn{(page.value + align - 1) / align * align}; };
  Vpn candidate = aligned(kMmapBase);
  auto it = vmas.lower_bound(interval_of(one_page(kMmapBase)));
  for (;; ++it) {
    if (candidate >= kWholeSpace.end || kWholeSpace.end - candidate < pages) return {};
    if (it == vmas.end() || (it->first.lower() > candidate.value && it->first.lower() - candidate.value >= pages))
      return address_of(candidate);
    if (it->first.upper() > candidate.value) candidate = aligned({it->first.upper()});
  }
}

Pte Mm::peek(Vpn page) { return table.read(page); }

void load_on(Mm& mm, Core& core) {
  const std::uint64_t bit = 1ULL << core.number();
  if ((mm.cpu_mask & bit) == 0) {
    // Before the root is loaded: whoever changes an entry from here on also asks this core to flush.
    Arbiter& arbiter = mm.system.arbiter;
    if (arbiter.in_task()) arbiter.step(mm.system.costs.pte_write, writes(ObjectKind::interrupt, core.number()));
    mm.cpu_mask |= bit;
  }
  core.load(mm.translation());
}

}  // namespace secmmu
