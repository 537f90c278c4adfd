// msync: pages of files go back to where they came from, and stay. To notice the next write, every entry that
// allows one loses that right first.
#include <vector>

#include "models/mm/entries.hpp"
#include "models/mm/gather.hpp"
#include "models/mm/reverse_map.hpp"

namespace secmmu {

namespace {

// True: the entry was writable or dirty, and is neither now.
bool make_clean(Mm& mm, Vpn page, Pfn frame) {
  MmSystem& system = mm.system;
  const std::string& how = system.behaviour.clean_notify;
  mm.page_table_lock.lock();
  announce_write(mm, page);
  const Pte old = mm.table.read(page);
  const bool ours = (old.present() || old.prot_none()) && old.frame() == frame && (old.writable() || old.dirty());
  if (ours) {
    store(mm, page, old, Pte{}, "clean");
    if (how == "start-range-end")
      flush_tlbs_and_tell(mm, one_page(page));
    else
      flush_tlbs(mm, one_page(page));
    if (how == "page-under-lock") system.notifier.invalidate_page(mm, page);
    announce_write(mm, page);
    store(mm, page, Pte{}, without(old, Pte::kWritable | Pte::kDirty), "clean");
  }
  mm.page_table_lock.unlock();
  return ours;
}

// Rule: found through the reverse map, so every VMA that could map the page is announced, whether it does or not.
void make_clean_in(const Mapping& mapping, Pfn frame) {
  Mm& mm = *mapping.mm;
  NotifierCore& notifier = mm.system.notifier;
  const std::string& how = mm.system.behaviour.clean_notify;
  const bool announces = how == "start-end" || how == "start-range-end";
  InvalidateRange announced{&mm, mapping.pages, InvalidateEvent::protection_page};
  if (announces) notifier.invalidate_range_start(announced);
  const bool changed = make_clean(mm, mapping.pages.first, frame);
  if (changed && how == "page") notifier.invalidate_page(mm, mapping.pages.first);
  if (changed && how == "range") notifier.invalidate_range(mm, mapping.pages);
  if (announces) notifier.invalidate_range_end(announced);
}

}  // namespace

// Rule: page by page, ascending, those that were written. The page is clean before its entries are, so that a
// write in between is not forgotten; and nobody can write when it is looked at again.
void write_back(MmSystem& system, SharedObject& object, std::uint64_t first, std::uint64_t end) {
  if (!object.file()) return;
  const std::vector<std::uint64_t> written(object.dirty().lower_bound(first), object.dirty().lower_bound(end));
  for (const std::uint64_t offset : written) {
    const auto page = object.pages().find(offset);
    if (page == object.pages().end() || !object.take_dirty(offset)) continue;
    const Pfn frame = page->second;
    system.memory.get(frame);
    bool writable = false;
    for_each_mapping(system, object, offset, offset + 1, [&](const Mapping& mapping) {
      if (!mapping.shared) return;
      make_clean_in(mapping, frame);
      const Pte entry = mapping.mm->peek(mapping.pages.first);
      writable |= entry.maps() && (entry.writable() || entry.dirty());
    });
    // What devices said of their writes while they were told is written back with the page.
    if (!writable) object.take_dirty(offset);
    system.memory.put(frame);
  }
}

// Rule: mmap_lock is held only to find the files.
Errno msync(Mm& mm, PageRange range) {
  return system_call(mm, "msync", range, [&] {
    if (!is_user_range(range)) return Errno::einval;
    MmSystem& system = mm.system;
    lock_for_reading(mm);
    system.arbiter.step(system.costs.vma_work);
    VmaList files;
    std::uint64_t mapped = 0;
    for (const Vma& piece : vmas_in(mm.vmas, range)) {
      mapped += piece.pages.pages();
      if (!is_file(piece.attributes)) continue;
      piece.attributes.object->mapped(1);  // keeps the file
      files.push_back(piece);
    }
    unlock_for_reading(mm);
    for (const Vma& piece : files) {
      const std::uint64_t first = piece.offset_of(piece.pages.first);
      write_back(system, *piece.attributes.object, first, first + piece.pages.pages());
      system.unmap_object(*piece.attributes.object, 1);
    }
    return mapped == range.pages() ? Errno::ok : Errno::enomem;
  });
}

}  // namespace secmmu
