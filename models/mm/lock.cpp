// mlock and munlock.
#include "models/mm/entries.hpp"

namespace secmmu {

namespace {

// VMA by VMA until the first hole. True: there was none.
bool set_locked(Mm& mm, PageRange range, bool locked) {
  lock_for_writing(mm);
  mm.system.arbiter.step(mm.system.costs.vma_work);
  Vpn at = range.first;
  for (const Vma& piece : mm.vmas_in(range)) {
    if (piece.pages.first != at) break;
    at = piece.pages.end;
    if (piece.attributes.locked == locked) continue;
    VmaAttributes attributes = piece.attributes;
    attributes.locked = locked;
    change_vma(mm, piece.pages, attributes);
  }
  unlock_for_writing(mm);
  return at == range.end;
}

}  // namespace

// Rule: private memory that may be written is faulted in as by a write, so that no later write needs a frame; the rest
// as by a read. VMAs are looked up one by one, for others may change them meanwhile.
Errno populate_locked(Mm& mm, PageRange range) {
  for (Vpn at = range.first; at < range.end;) {
    lock_for_reading(mm);
    const VmaList pieces = mm.vmas_in({at, range.end});
    if (pieces.empty()) {
      unlock_for_reading(mm);
      return Errno::ok;
    }
    const Vma& piece = pieces.front();
    const bool write = piece.attributes.rights.write && !piece.attributes.shared;
    Errno answer = Errno::ok;
    for (Vpn page = piece.pages.first; answer == Errno::ok && page < piece.pages.end; page = page + 1) {
      Pfn frame{};
      Pte entry;
      answer = get_user_page_locked(mm, page, write, frame, entry);
      if (answer == Errno::ok) mm.system.memory.put(frame);
    }
    unlock_for_reading(mm);
    if (answer != Errno::ok) return answer;
    at = piece.pages.end;
  }
  return Errno::ok;
}

Errno mlock(Mm& mm, PageRange range) {
  return system_call(mm, "mlock", range, [&] {
    if (!is_user_range(range)) return Errno::einval;
    if (!set_locked(mm, range, true)) return Errno::enomem;
    const Errno answer = populate_locked(mm, range);
    if (answer == Errno::efault) return Errno::enomem;
    return answer == Errno::enomem ? Errno::eagain : answer;
  });
}

Errno munlock(Mm& mm, PageRange range) {
  return system_call(mm, "munlock", range, [&] {
    if (!is_user_range(range)) return Errno::einval;
    return set_locked(mm, range, false) ? Errno::ok : Errno::enomem;
  });
}

}  // namespace secmmu
