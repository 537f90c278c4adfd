// A huge page as such is split: its frames become pages of their own, which can be freed, moved and written out one by
// one. Entries, huge or small, are found from the side of the page.
#include <utility>

#include "models/mm/huge.hpp"
#include "models/mm/memory_pressure.hpp"
#include "models/mm/migrate.hpp"

namespace secmmu {

namespace {

constexpr std::uint64_t kKept = Pte::kFrameMask | Pte::kWritable | Pte::kUser | Pte::kAccessed | Pte::kDirty |
                                kSoftDirtyAndProtected | kExclusive | Pte::kNoExecute;

// Rule: two announcements for each VMA that may map it: the huge entry's, and that of its parts, whichever there are.
void take_from(const Mapping& mapping, Pfn head) {
  if (mapping.mm->table.has_table(mapping.pages.first, 1))
    split_huge_entry(*mapping.mm, mapping.pages.first, SplitInto::migrating, head);
  take_for_migration(mapping, head, FlushWhen::now);
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
  const bool was_isolated = std::exchange(memory.frame(head).isolated, true);
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
      give_back(mapping, {head.value + i}, {head.value + i});
      return true;
    });
  memory.frame(head).isolated = was_isolated;
  migration_ended(system);
  for (std::uint64_t i = 0; alone && i < kHugeFrames; ++i)
    if (head.value + i != frame.value) memory.put({head.value + i});
  return alone;
}

}  // namespace secmmu
