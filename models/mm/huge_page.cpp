// A huge page as such is split: its frames become pages of their own, which can be freed, moved and written out one by
// one. Entries, huge or small, are found from the side of the page.
#include "models/mm/huge.hpp"
#include "models/mm/memory_pressure.hpp"
#include "models/mm/reverse_map.hpp"

namespace secmmu {

namespace {

constexpr std::uint64_t kKept = Pte::kFrameMask | Pte::kWritable | Pte::kUser | Pte::kAccessed | Pte::kDirty |
                                kSoftDirtyAndProtected | kExclusive | Pte::kNoExecute;

bool of_folio(const PhysicalMemory& memory, Pfn frame, Pfn head) {
  return memory.contains(frame) && frame.value - head.value < kHugeFrames;
}

// Every small entry of the folio becomes a migration entry.
void make_migrating(Mm& mm, PageRange pages, Pfn head) {
  PhysicalMemory& memory = mm.system.memory;
  for (const PageRange table : populated_tables(mm, pages)) {
    PageRange changed;
    mm.page_table_lock.lock();
    for (const Vpn page : populated_pages(mm, table)) {
      const Pte entry = mm.table.read(page);
      if (!entry.maps() || !of_folio(memory, entry.frame(), head)) continue;
      announce_write(mm, page);
      store(mm, page, entry, migration_entry_for(entry), "migrate");
      changed = changed.empty() ? one_page(page) : PageRange{changed.first, page + 1};
      --mm.counters.resident;
      --memory.frame(entry.frame()).mappings;
      memory.put(entry.frame());  // who splits the folio holds another one
    }
    if (!changed.empty()) flush_tlbs(mm, changed);
    mm.page_table_lock.unlock();
  }
}

// Rule: two announcements for each VMA that may map it: the huge entry's, and that of its parts, whichever there are.
void take_from(const Mapping& mapping, Pfn head) {
  NotifierCore& notifier = mapping.mm->system.notifier;
  if (mapping.mm->table.has_table(mapping.pages.first, 1))
    split_huge_entry(*mapping.mm, mapping.pages.first, SplitInto::migrating, head);
  InvalidateRange announced{mapping.mm, mapping.pages, InvalidateEvent::clear};
  notifier.invalidate_range_start(announced);
  make_migrating(*mapping.mm, mapping.pages, head);
  notifier.invalidate_range_end(announced);
}

// Silently: nobody has anything of these pages.
void give_back(const Mapping& mapping, Pfn head) {
  Mm& mm = *mapping.mm;
  PhysicalMemory& memory = mm.system.memory;
  for (const PageRange table : populated_tables(mm, mapping.pages)) {
    mm.page_table_lock.lock();
    for (const Vpn page : populated_pages(mm, table)) {
      const Pte entry = mm.table.read(page);
      if (!entry.migration() || !of_folio(memory, entry.frame(), head)) continue;
      announce_write(mm, page);
      memory.get(entry.frame());
      ++memory.frame(entry.frame()).mappings;
      ++mm.counters.resident;
      store(mm, page, entry, entry_after_migration(entry, mm.vma_at(page).attributes.rights), "migrate");
    }
    mm.page_table_lock.unlock();
  }
}

}  // namespace

Pte migration_entry_for(Pte entry) { return {(entry.bits & kKept) | Pte::kMigration}; }

Pte entry_after_migration(Pte migration, const Rights& rights) {
  Pte entry{migration.bits & kKept};
  if (!rights.write) entry = without(entry, Pte::kWritable);
  return with(entry, rights.none() ? Pte::kProtNone : Pte::kPresent);
}

std::uint64_t all_mappings(const PhysicalMemory& memory, Pfn frame) {
  const Pfn head = memory.head(frame);
  std::uint64_t mappings = memory.frame(head).whole_mappings;
  for (std::uint64_t i = 0; i < memory.folio_frames(head); ++i) mappings += memory.frame({head.value + i}).mappings;
  return mappings;
}

// Rule: only if all references are known. One that comes while the entries are gone makes it fail, too.
bool split_huge_page(MmSystem& system, Pfn frame) {
  PhysicalMemory& memory = system.memory;
  const Pfn head = memory.head(frame);
  if (!memory.frame(head).folio) return true;
  if (memory.references(head) != all_mappings(memory, head) + 1) return false;
  for_each_mapping(system, head, [&](const Mapping& mapping) {
    if (all_mappings(memory, head) == 0) return false;
    take_from(mapping, head);
    return true;
  });
  const bool alone = memory.references(head) == 1 && all_mappings(memory, head) == 0;
  if (alone) {
    const Frame whole = memory.frame(head);
    memory.split_folio(head);
    system.pressure->split(head);
    for (std::uint64_t i = 0; i < kHugeFrames; ++i) {
      Frame& page = memory.frame({head.value + i});
      page.lazy_free = whole.lazy_free;
      page.dirty |= whole.dirty;
      page.young = whole.young;
      page.idle = whole.idle;
    }
  }
  for (std::uint64_t i = 0; i < (alone ? kHugeFrames : 1); ++i)
    for_each_mapping(system, {head.value + i}, [&](const Mapping& mapping) {
      give_back(mapping, head);
      return true;
    });
  for (std::uint64_t i = 0; alone && i < kHugeFrames; ++i)
    if (head.value + i != frame.value) memory.put({head.value + i});
  return alone;
}

}  // namespace secmmu
