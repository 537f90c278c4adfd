// Moving pages to other frames while their processes run: for move_pages, and to take a bad frame out of use.
#pragma once

#include <optional>
#include <vector>

#include "models/mm/mm.hpp"
#include "models/mm/reverse_map.hpp"

namespace secmmu {

// Takes the page for reclaim or migration, with a reference; false: somebody else has it. Of a folio, all of it.
bool isolate_page(MmSystem& system, Pfn frame);
// Gives both back.
void put_isolated(MmSystem& system, Pfn frame);

// Moves pages that the caller has isolated to frames of that node, or each to another one of its own node. The answer
// has one code for each: ok: the old frame is nobody's but the caller's, who puts it; EAGAIN: somebody else holds it;
// EBUSY: this kernel does not move such pages; ENOMEM. Who maps the page is told as reclaim tells; a fault waits until
// it is over. Takes the locks of reverse mappings; mmap_lock is not needed. May sleep.
std::vector<Errno> migrate_pages(MmSystem& system, const std::vector<Pfn>& isolated, std::optional<unsigned> node);

// --- entries of a page on its way ---

// All entries in the mapping that map a part of the folio (or the one page) become migration entries, announced if the
// kernel does so. `flush`: at once, before the announcement ends; or the caller does it.
enum class FlushWhen { now, later };
void take_for_migration(const Mapping& mapping, Pfn head, FlushWhen flush);
// Silently: the migration entries of `from` in the mapping map `to`.
void give_back(const Mapping& mapping, Pfn from, Pfn to);
// A fault has met `entry`: sleeps until it is another one.
void wait_for_migration(Mm& mm, Vpn page, Pte entry);
// Wakes those.
void migration_ended(MmSystem& system);

}  // namespace secmmu
