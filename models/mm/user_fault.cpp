#include "models/mm/user_fault.hpp"

#include <algorithm>

#include "models/mm/protect.hpp"

namespace secmmu {

namespace {

Pte with_protection(const MmBehaviour&, Pte old, const VmaAttributes&) {
  if (old.none()) return old;
  const Pte fresh = with(old, Pte::kWriteProtected);
  return old.swap() ? fresh : without(fresh, Pte::kWritable);
}

// Rule: up to v6.2 the write bit goes, even where nothing was protected: the next write takes a fault, and decides
// there about a copy.
Pte without_protection(const MmBehaviour& behaviour, Pte old, const VmaAttributes& attributes) {
  if (old.swap()) return without(old, Pte::kWriteProtected);
  const Pte fresh = without(old, Pte::kWriteProtected | Pte::kWritable);
  if (!behaviour.unprotect_upgrade || !old.present()) return fresh;
  return with(fresh, protected_entry(behaviour, fresh, attributes).bits & Pte::kWritable);
}

// What of the range one call may change.
VmaList registered_in(Mm& mm, PageRange range) {
  VmaList pieces = mm.vmas_in(range);
  std::uint64_t pages = 0;
  for (const Vma& piece : pieces) pages += piece.attributes.write_protect ? piece.pages.pages() : 0;
  const bool one = mm.system.behaviour.unprotect_any_vmas || pieces.size() == 1;
  if (pages != range.pages() || !one) pieces.clear();
  return pieces;
}

void wake(Mm& mm) {
  if (mm.user_faults.queue.has_waiters()) mm.user_faults.queue.wake_all();
}

}  // namespace

// Rule: holes are passed over; memory that cannot be watched refuses the whole range before anything is done.
Errno user_fault_register(Mm& mm, PageRange range) {
  require(mm.system.behaviour.write_protection, "userfaultfd's write protection");
  return system_call(mm, "userfaultfd", range, [&] {
    if (!is_user_range(range)) return Errno::einval;
    lock_for_writing(mm);
    mm.system.arbiter.step(mm.system.costs.vma_work);
    const VmaList pieces = mm.vmas_in(range);
    const bool fits = !pieces.empty() &&
                      std::ranges::none_of(pieces, [](const Vma& piece) { return piece.attributes.object != nullptr; });
    for (const Vma& piece : fits ? pieces : VmaList{}) {
      if (piece.attributes.write_protect) continue;
      VmaAttributes attributes = piece.attributes;
      attributes.write_protect = true;
      change_vma(mm, piece.pages, attributes);
    }
    unlock_for_writing(mm);
    return fits ? Errno::ok : Errno::einval;
  });
}

// Rule: announced and flushed as mprotect's change of entries, but VMAs stay as they are. Pages that are not there are
// not protected.
Errno user_fault_protect(Mm& mm, PageRange range, bool protect) {
  require(mm.system.behaviour.write_protection, "userfaultfd's write protection");
  return system_call(mm, "userfaultfd", range, [&] {
    if (!is_user_range(range)) return Errno::einval;
    lock_for_reading(mm);
    const VmaList pieces = registered_in(mm, range);
    for (const Vma& piece : pieces) {
      Gather gather(mm);
      change_protection(gather, piece.pages, piece.attributes, protect ? with_protection : without_protection);
      finish_protection(gather);
    }
    unlock_for_reading(mm);
    if (pieces.empty()) return Errno::enoent;
    if (!protect) {
      std::erase_if(mm.user_faults.untold, [range](Vpn page) { return range.contains(page); });
      wake(mm);
    }
    return Errno::ok;
  });
}

Errno user_fault_answer(Mm& mm) {
  Mm::UserFaults& faults = mm.user_faults;
  faults.queue.wait_until([&faults] { return faults.killed || !faults.untold.empty(); }, "a write to a protected page");
  if (faults.untold.empty()) return Errno::eintr;
  return user_fault_protect(mm, one_page(faults.untold.front()), false);
}

bool wait_for_handler(Mm& mm, Vpn page) {
  Mm::UserFaults& faults = mm.user_faults;
  if (faults.killed) return false;
  ++mm.counters.protected_writes;
  faults.untold.push_back(page);
  wake(mm);
  const auto free = [&] {
    return faults.killed || !waits_for_handler(mm.vma_at(page).attributes, mm.table.read(page));
  };
  faults.queue.wait_until(free, "a userfaultfd's handler");
  return !faults.killed;
}

void end_user_faults(Mm& mm) {
  mm.user_faults.killed = true;
  wake(mm);
}

}  // namespace secmmu
