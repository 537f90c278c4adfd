// Huge pages: blocks of 512 pages that one entry maps. Private memory only. Frames of a huge page are one folio
// (models/memory), whose references count each huge entry and each small one that maps a part of it.
#pragma once

#include <optional>
#include <vector>

#include "models/mm/entries.hpp"
#include "models/mm/gather.hpp"

namespace secmmu {

// The block of the page may become huge: so its VMA and the configuration have it. `by_advice`: asked for by
// MADV_COLLAPSE, which does not care for the configuration.
bool may_be_huge(const MmSystem& system, const Vma& vma, Vpn page, bool by_advice = false);
// Nothing maps any page of the block: neither a table is there nor a huge entry.
inline bool no_table_or_huge(Mm& mm, Vpn page) { return !mm.table.has_table(page) && mm.table.read_huge(page).none(); }
// The entry that maps a fresh huge page.
Pte huge_entry_for(Pfn frame, const Rights& rights, bool writable);
// 512 frames for a private block, kNoPfn if there are not so many together. Points.
Pfn allocate_huge_private(Mm& mm, PageRange block);

// A fault where no_table_or_huge(): nothing if small pages must do.
std::optional<FaultResult> huge_fault(Mm& mm, const Vma& vma, Vpn page, bool write, std::string_view& how);
// A write to a huge entry that forbids it: nothing if it was split, and the small page's turn comes.
std::optional<FaultResult> huge_write_fault(Mm& mm, const Vma& vma, Vpn page, std::string_view& how);

// The huge entry of the block, if there is one, gives way to a table; announced in any case. May sleep. `migrating`: of
// entries that map nothing until split_huge_page() is done.
enum class SplitInto { pages, migrating };
// `only`: if it maps this folio, for who comes from the side of the page.
void split_huge_entry(Mm& mm, Vpn page, SplitInto into = SplitInto::pages, Pfn only = kNoPfn);
// What stands for a page while nobody may use it, and what it becomes again.
Pte migration_entry_for(Pte entry);
Pte entry_after_migration(Pte migration, const Rights& rights);
// Every entry that maps a part of the folio, in any address space.
std::uint64_t all_mappings(const PhysicalMemory& memory, Pfn frame);
// The frames of a folio become pages of their own; those that nobody maps are freed. The caller holds a reference on
// this frame, and keeps it. False: somebody else holds the folio, and all is as it was. May sleep.
bool split_huge_page(MmSystem& system, Pfn frame);

// MADV_FREE of a part with a huge entry. False: what is there now is small.
bool free_huge(Gather& gather, PageRange part);
// MADV_COLD and MADV_PAGEOUT: the folio gets a reference if it is to be reclaimed. False: what is there now is small.
bool age_huge(Gather& gather, PageRange part, std::vector<Pfn>* isolated);
// For advice about a small entry that maps a part of a folio: the folio is split if this mapping is the only one.
// page_table_lock is held, and is given back meanwhile. False: it is left alone.
bool split_for_advice(Mm& mm, Pfn frame);

// Takes the huge entry out, if the part is a whole block. False: what is there now is small.
bool zap_huge(Gather& gather, PageRange part, std::string_view why);
// Changes a huge entry as mprotect does. False: what is there now is small.
using ChangeEntry = Pte (*)(const MmBehaviour&, Pte, const VmaAttributes&);
bool protect_huge(Gather& gather, PageRange part, const VmaAttributes& attributes, ChangeEntry change);
enum class Taken { done, small, out_of_memory };  // small: there is a table now
// The child gets the huge entry, too.
Taken share_huge(Mm& parent, Mm& child, Vpn page);
// Takes the huge entry of a part over, if that and its target are whole blocks. `pending`: what is still to be flushed.
Taken move_huge(Mm& mm, PageRange part, Vpn to, PageRange& pending);

}  // namespace secmmu
