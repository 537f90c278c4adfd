// mremap: grows, shrinks, moves.
#include "models/mm/entries.hpp"
#include "models/mm/gather.hpp"
#include "models/mm/huge.hpp"

namespace secmmu {

namespace {

// Takes the entries of one table's pages over to where they go. True: all of them. `pending`: the hull of what
// is still to be flushed.
bool move_table(Mm& mm, PageRange from, Vpn to, PageRange& pending) {
  const std::string& when = mm.system.behaviour.mremap_flush;
  bool dirty = false;
  for (const Vpn last : {to, to + (from.pages() - 1)})
    if (!mm.table.ensure(last)) return false;
  PageRange changed;
  mm.lock_rmap();  // who comes from the side of a page finds it at one of its places
  mm.page_table_lock.lock();
  for (const Vpn page : populated_pages(mm, from)) {
    const Vpn target = to + (page - from.first);
    announce_write(mm, page);
    const Pte entry = mm.table.read(page);
    store(mm, page, entry, Pte{}, "move");
    if (when == "each-page") flush_tlbs(mm, one_page(page));
    dirty |= entry.present() && entry.dirty();
    announce_write(mm, target);
    store(mm, target, Pte{}, with(entry, Pte::kSoftDirty), "move");
    if (!entry.present()) continue;
    changed = changed.empty() ? one_page(page) : PageRange{changed.first, page + 1};
  }
  // Rule (v4.19 on): under the lock, for whoever finds the page at its new place may free it, and may not meet
  // a CPU that uses it at the old one.
  if (!changed.empty() && when != "each-page") {
    if (when == "under-lock" || when == "whole-tables" || (when == "dirty-under-lock" && dirty))
      flush_tlbs(mm, changed);
    else
      pending = pending.empty() ? changed : PageRange{pending.first, changed.end};
  }
  mm.page_table_lock.unlock();
  mm.unlock_rmap();
  return true;
}

// Rule (v5.0 on): a block that moves whole to where no table is yet takes its table along. No entry is looked at: none
// gets the soft-dirty bit, and no emptied table stays behind. False: it goes entry by entry.
bool move_whole_table(Mm& mm, PageRange from, Vpn to) {
  if (mm.system.behaviour.mremap_flush != "whole-tables") return false;
  if (from != block_of(from.first) || to != block_of(to).first) return false;
  if (!mm.table.ensure(to, 1) || mm.table.has_table(to) || !mm.table.read_huge(to).none()) return false;
  mm.lock_rmap();  // who comes from the side of a frame would find its page at neither place
  mm.page_table_lock.lock();
  announce_write(mm, from.first);
  const Pfn table = mm.table.detach_table(from.first);
  const auto note = [&](Vpn first, bool gone) {
    for (std::uint64_t i = 0; i < from.pages(); ++i)
      if (const Pte entry = mm.table.read_detached(table, first + i); entry.present())
        note_change(mm, one_page(first + i), gone ? entry : Pte{}, gone ? Pte{} : entry, "move");
  };
  note(from.first, true);
  announce_write(mm, to);
  mm.table.attach_table(to, table);
  note(to, false);
  flush_tlbs(mm, from);
  mm.page_table_lock.unlock();
  mm.unlock_rmap();
  return true;
}

// Announces the old place only: nothing can be held of the new one. False: no frame for a page table; then
// some entries have moved and some have not.
bool move_entries(Mm& mm, PageRange from, Vpn to) {
  InvalidateRange announced{&mm, from, InvalidateEvent::unmap};
  mm.system.notifier.invalidate_range_start(announced);
  bool done = true;
  PageRange pending;
  for (const auto& [part, huge] : populated_parts(mm, from)) {
    const Vpn target = to + (part.first - from.first);
    const Taken taken = huge ? move_huge(mm, part, target, pending) : Taken::small;
    done = taken == Taken::done || (!huge && move_whole_table(mm, part, target)) ||
           (taken == Taken::small && move_table(mm, part, target, pending));
    if (!done) break;
  }
  if (!pending.empty()) flush_tlbs(mm, pending);
  mm.system.notifier.invalidate_range_end(announced);
  return done;
}

// Rule: the new VMA is there before the entries move, the old one goes after, by the sequence of munmap;
// so the old range is announced twice. Entries that cannot all be moved are moved back.
//
// Merged pages are known by their addresses, so they become the process's own before they move.
Errno move_vma(Mm& mm, PageRange from, const VmaAttributes& attributes, Vpn to, std::uint64_t new_pages) {
  if (attributes.mergeable)
    if (const Errno answer = unmerge(mm, from); answer != Errno::ok) return answer;
  const PageRange target{to, to + new_pages};
  VmaAttributes moved = attributes;
  moved.write_protect = false;  // a userfaultfd that does not hear of moves loses sight of what moved
  // Private pages keep their place in the backing once there are any; an untouched VMA starts afresh.
  if (moved.object != nullptr || moved.anon_vma != 0) moved.origin += from.first.value - to.value;
  if (moved.object != nullptr) moved.object->mapped(new_pages);
  lock_vmas_for_writing(mm, from);
  add_vma(mm, target, moved, NewVma::moved);
  const bool done = move_entries(mm, from, to);
  if (!done) move_entries(mm, {to, to + from.pages()}, from.first);
  unmap_span(mm, done ? from : target, false);
  return done ? Errno::ok : Errno::enomem;
}

struct Answer {
  Errno code;
  Vpn at{};
};

// `locked_for_writing` turns false if a shrink downgraded the lock.
Answer remap(Mm& mm, const MremapRequest& request, bool& locked_for_writing) {
  PageRange from = request.from;
  const std::uint64_t pages = request.new_pages;
  if (mm.vma_at(from.first).pages.empty()) return {Errno::efault};
  if (request.fixed) unmap_span(mm, {request.to.page(), request.to.page() + pages}, false);
  if (pages < from.pages()) {
    locked_for_writing = !unmap_span(mm, {from.first + pages, from.end}, !request.fixed);
    from.end = from.first + pages;
  }
  if (!request.fixed && pages == from.pages()) return {Errno::ok, from.first};

  const Vma vma = mm.vma_at(from.first);  // after the unmappings, which may have cut it
  if (vma.pages.end < from.end) return {Errno::efault};
  if (request.fixed) return {move_vma(mm, from, vma.attributes, request.to.page(), pages), request.to.page()};

  const PageRange more{from.end, from.first + pages};
  if (vma.pages.end == from.end && more.end <= kWholeSpace.end && !any_vma(mm.vmas, more)) {
    if (vma.attributes.object != nullptr) vma.attributes.object->mapped(more.pages());
    add_vma(mm, more, vma.attributes, NewVma::moved);
    return {Errno::ok, from.first};
  }
  const Vpn to = request.may_move ? mm.find_gap(pages, 1).page() : Vpn{0};
  if (to.value == 0) return {Errno::enomem};
  return {move_vma(mm, from, vma.attributes, to, pages), to};
}

bool sensible(const MremapRequest& request) {
  if (!is_user_range(request.from) || request.new_pages == 0 || request.new_pages > kWholeSpace.pages()) return false;
  if (!request.fixed) return true;
  const PageRange target{request.to.page(), request.to.page() + request.new_pages};
  return request.may_move && request.to.offset() == 0 && is_user_range(target) && !target.overlaps(request.from);
}

}  // namespace

Errno mremap(Mm& mm, const MremapRequest& request, VirtAddr& result) {
  return system_call(mm, "mremap", request.from, [&] {
    if (!sensible(request)) return Errno::einval;
    lock_for_writing(mm);
    mm.system.arbiter.step(mm.system.costs.vma_work);
    bool locked_for_writing = true;
    const Answer answer = remap(mm, request, locked_for_writing);
    if (locked_for_writing)
      unlock_for_writing(mm);
    else
      unlock_for_reading(mm);
    if (answer.code == Errno::ok) result = address_of(answer.at);
    if (answer.code == Errno::ok && request.new_pages > request.from.pages() && mm.vma_at(answer.at).attributes.locked)
      populate_locked(mm, {answer.at + request.from.pages(), answer.at + request.new_pages});
    return answer.code;
  });
}

}  // namespace secmmu
