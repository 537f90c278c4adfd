// mprotect.
#include "models/mm/protect.hpp"

#include "models/mm/entries.hpp"

namespace secmmu {

// Rule modelled: x86's pte_needs_flush. Nothing that was not present can be in a TLB; of what was, rights
// that changed in either direction, and what is gone, must go.
bool needs_flush(Pte old, Pte fresh) {
  constexpr std::uint64_t kSeen = Pte::kWritable | Pte::kNoExecute | Pte::kPresent | Pte::kFrameMask;
  return old.present() && ((old.bits ^ fresh.bits) & kSeen) != 0;
}

// Rule: private pages become read-only first, so that the next write decides about a copy; those that the
// kernel knows to be this process's own get the write bit back at once.
Pte protected_entry(const MmBehaviour& behaviour, Pte old, const VmaAttributes& attributes) {
  if (!old.maps()) return old.migration() ? without(old, Pte::kWritable) : old;  // what it will come back as
  Pte fresh = without(old, Pte::kPresent | Pte::kWritable | Pte::kProtNone | Pte::kNoExecute);
  if (attributes.rights.none()) return with(fresh, Pte::kProtNone | Pte::kNoExecute);
  fresh = with(fresh, Pte::kPresent | (attributes.rights.execute ? 0 : Pte::kNoExecute));
  bool writable = attributes.rights.write;
  // Who follows writes hears of the first one to an entry that says nothing of it yet.
  const bool followed = (!attributes.soft_dirty && !old.soft_dirty()) || waits_for_handler(attributes, old);
  if (writable && !attributes.shared) {
    const bool own = exclusive(old) && (behaviour.mprotect_upgrade == "exclusive" || old.dirty());
    writable = behaviour.mprotect_upgrade != "never" && own && !followed;
  } else if (wants_write_faults(attributes)) {
    writable = writable && old.dirty() && !followed;  // a clean page waits for the write that dirties it
  }
  return writable ? with(fresh, Pte::kWritable) : fresh;
}

namespace {

constexpr std::uint64_t kPagesPerUpperTable = kTableEntries * kTableEntries;  // 1 GiB

// True: an entry was there.
bool change_entries(Gather& gather, PageRange range, const VmaAttributes& attributes, ChangeEntry change) {
  Mm& mm = gather.mm;
  bool any = false;
  for (const auto& [part, huge] : populated_parts(mm, range)) {
    if (huge && protect_huge(gather, part, attributes, change)) {
      any = true;
      continue;
    }
    mm.page_table_lock.lock();
    for (const Vpn page : populated_pages(mm, part)) {
      announce_write(mm, page);
      const Pte old = mm.table.read(page);
      const Pte fresh = change(mm.system.behaviour, old, attributes);
      any = true;
      if (fresh == old) continue;
      store(mm, page, old, fresh, "protect");
      if (needs_flush(old, fresh)) gather.changed(page);
    }
    mm.page_table_lock.unlock();
  }
  return any;
}

// The first page of the range whose last-level table exists (an empty one counts) or that is huge, or the range's end.
Vpn first_with_table(Mm& mm, PageRange range) {
  while (!range.empty()) {
    if (!no_table_or_huge(mm, range.first)) return range.first;
    range.first = in_first_table(range).end;
  }
  return range.end;
}

bool announce_and_change(Gather& gather, PageRange range, const VmaAttributes& attributes, ChangeEntry change) {
  Mm& mm = gather.mm;
  InvalidateRange announced{&mm, range, InvalidateEvent::protection_vma};
  mm.system.notifier.invalidate_range_start(announced);
  const bool any = change_entries(gather, range, attributes, change);
  // While the whole piece is announced, its flush lies inside the announcement.
  if (mm.system.behaviour.mprotect_range == "whole-span" && mm.system.behaviour.mprotect_flush != "gather" &&
      (any || mm.system.behaviour.mprotect_flush == "always"))
    flush_tlbs(mm, range);
  mm.system.notifier.invalidate_range_end(announced);
  return any;
}

}  // namespace

void change_protection(Gather& gather, PageRange piece, const VmaAttributes& attributes, ChangeEntry change) {
  Mm& mm = gather.mm;
  const MmBehaviour& behaviour = mm.system.behaviour;
  if (behaviour.mprotect_range == "whole-span") {
    announce_and_change(gather, piece, attributes, change);
    return;
  }
  // Rule: one announcement per GiB in which a table exists, from the first such table to the end of the GiB.
  bool any = false;
  for (Vpn at = piece.first; at < piece.end;) {
    const Vpn border{(at.value | (kPagesPerUpperTable - 1)) + 1};
    const PageRange area = PageRange{at, border}.intersect(piece);
    const Vpn first = first_with_table(mm, area);
    if (first < area.end) any |= announce_and_change(gather, {first, area.end}, attributes, change);
    at = area.end;
  }
  if (behaviour.mprotect_flush == "always" || (any && behaviour.mprotect_flush == "if-changed")) flush_tlbs(mm, piece);
}

void finish_protection(Gather& gather) {
  if (gather.mm.system.behaviour.mprotect_flush == "gather")
    gather.finish();
  else
    gather.dismiss();
}

// Rule: piece by piece until the first hole, which makes the answer ENOMEM; what lies before it is done. A
// piece that has these rights already is left alone. The VMA changes before its entries.
Errno mprotect(Mm& mm, PageRange range, Rights rights) {
  return system_call(mm, "mprotect", range, [&] {
    if (!is_user_range(range)) return Errno::einval;
    MmSystem& system = mm.system;
    lock_for_writing(mm);
    system.arbiter.step(system.costs.vma_work);
    Gather gather(mm);
    Vpn at = range.first;
    for (const Vma& piece : vmas_in(mm.vmas, range)) {
      if (piece.pages.first != at) break;
      at = piece.pages.end;
      if (piece.attributes.rights == rights) continue;
      VmaAttributes attributes = piece.attributes;
      attributes.rights = rights;
      if (rights.write && !attributes.shared) attributes.accounted = true;
      change_vma(mm, piece.pages, attributes);
      change_protection(gather, piece.pages, attributes, protected_entry);
    }
    finish_protection(gather);
    unlock_for_writing(mm);
    return at == range.end ? Errno::ok : Errno::enomem;
  });
}

}  // namespace secmmu
