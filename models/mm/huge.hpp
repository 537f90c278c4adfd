// Huge pages: blocks of 512 pages that one entry maps. Private memory only. Frames of a huge page are one folio
// (models/memory), whose references count each huge entry and each small one that maps a part of it.
#pragma once

#include <optional>

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

// The huge entry of the block, if there is one, gives way to a table; announced in any case. May sleep.
void split_huge_entry(Mm& mm, Vpn page);

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
