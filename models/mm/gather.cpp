#include "models/mm/gather.hpp"

#include <algorithm>

#include "models/mm/entries.hpp"
#include "models/mm/huge.hpp"
#include "models/mm/swap.hpp"

namespace secmmu {

void flush_tlbs(Mm& mm, PageRange pages) {
  MmSystem& system = mm.system;
  if (mm.cpu_mask != 0) system.shootdown.flush(mm.id(), pages, mm.cpu_mask);
  if (system.notifier.behaviour().secondary_tlbs) system.notifier.arch_invalidate_secondary_tlbs(mm, pages);
}

// Rule (v3.19 to v6.5): a device that walks the CPUs' tables may have refilled its TLB since start. It is told
// after the CPUs were flushed and before the pages go. From v6.6 on the flush itself tells it.
void flush_tlbs_and_tell(Mm& mm, PageRange pages) {
  flush_tlbs(mm, pages);
  NotifierCore& notifier = mm.system.notifier;
  if (notifier.behaviour().invalidate_range) notifier.invalidate_range(mm, pages);
}

Gather::Gather(Mm& space, bool whole_mm) : mm(space), whole_mm_(whole_mm) { ++mm.pending_gathers; }

void Gather::changed(Vpn page) {
  if (hull_.empty()) {
    hull_ = one_page(page);
    return;
  }
  hull_.first = std::min(hull_.first, page);
  hull_.end = std::max(hull_.end, page + 1);
}

bool Gather::add(Pfn frame) {
  pages_.push_back(frame);
  return pages_.size() < mm.system.config.gather_pages;
}

void Gather::flush() {
  if (hull_.empty()) return;
  const bool everything = whole_mm_ || mm.system.behaviour.gather_flush == "whole-mm";
  const PageRange pages = everything ? kWholeSpace : hull_;
  hull_ = {};
  flush_tlbs_and_tell(mm, pages);
}

void Gather::flush_and_free() {
  flush();
  PhysicalMemory& memory = mm.system.memory;
  for (const Pfn frame : pages_) {
    forget_in_swap_cache(mm.system, frame);
    if (memory.put(frame)) ++mm.counters.pages_freed;
  }
  pages_.clear();
  for (const Pfn table : tables_) memory.put(table);
  tables_.clear();
}

// Rule: who finds an entry gone that another gather has taken out, but not yet flushed, may not return
// before the CPUs are flushed; and it cannot know what the other one has to flush.
void Gather::finish() {
  if (mm.pending_gathers > 1 && mm.system.behaviour.gather_collision) {
    whole_mm_ = true;
    changed({0});
  }
  flush_and_free();
  --mm.pending_gathers;
}

namespace {

enum class ZapEnd { done, full };

// It is that of a private page, wherever that is.
bool is_private(const PhysicalMemory& memory, Pte entry) {
  if (entry.swap()) return true;
  return (entry.maps() || entry.migration()) && memory.frame(entry.frame()).use == FrameUse::anonymous;
}

// Entries of one table, under the lock. `next`: the first page that is not done.
ZapEnd zap_table(Gather& gather, PageRange pages, std::string_view why, Zap what, Vpn& next) {
  Mm& mm = gather.mm;
  MmSystem& system = mm.system;
  const bool flush_under_lock = system.behaviour.zap_flushes_under_lock;
  bool dirty_shared = false;
  ZapEnd end = ZapEnd::done;
  next = pages.end;

  mm.page_table_lock.lock();
  for (const Vpn page : populated_pages(mm, pages)) {
    announce_write(mm, page);
    const Pte entry = mm.table.read(page);
    if (what == Zap::of_objects && is_private(system.memory, entry)) continue;
    store(mm, page, entry, Pte{}, why);
    if (entry.migration()) continue;  // who moves the page will find nothing to give back
    if (!entry.maps()) {              // no TLB knows of it
      --mm.counters.swapped;
      free_swap_entry(system, entry.slot());
      continue;
    }
    gather.changed(page);
    --mm.counters.resident;
    ++mm.counters.pages_unmapped;
    const Pfn frame = entry.frame();
    --system.memory.frame(frame).mappings;
    if (frame == system.zero_page_if_any()) {
      system.memory.put(frame);  // never the last reference
      continue;
    }
    const bool of_object = system.memory.frame(frame).use == FrameUse::shared;
    if (of_object && entry.dirty()) {
      dirty_shared = true;
      note_dirty(system, frame);
    }
    if (of_object && entry.accessed()) system.memory.frame(frame).idle = false;
    system.arbiter.step(system.costs.gather_page);
    if (!gather.add(frame)) {
      end = ZapEnd::full;
      next = page + 1;
      break;
    }
  }
  // Rule (v3.15 on): a CPU could still write through its TLB to a page whose dirty bit was just read; so the
  // flush comes before anybody who waits for the lock can take the page for clean.
  if (flush_under_lock && (dirty_shared || end == ZapEnd::full)) gather.flush();
  mm.page_table_lock.unlock();
  if (end == ZapEnd::full || (flush_under_lock && dirty_shared)) gather.flush_and_free();
  return end;
}

}  // namespace

void zap(Gather& gather, PageRange pages, std::string_view why, Zap what) {
  for (const auto& [part, huge] : populated_parts(gather.mm, pages)) {
    if (huge && zap_huge(gather, part, why)) continue;
    Vpn next = part.first;
    while (next < part.end && zap_table(gather, {next, part.end}, why, what, next) == ZapEnd::full) {
    }
  }
}

void free_page_tables(Gather& gather, PageRange range) {
  Mm& mm = gather.mm;
  const PageRange hole = hole_around(mm.vmas, range);
  announce_write(mm, range.first);
  bool any = false;
  mm.table.free_tables(range, hole.first, hole.end, [&](Pfn table) {
    gather.add_table(table);
    any = true;
  });
  if (!any) return;
  // Each table that goes widens the hull by the first page that the range has in it.
  gather.changed(range.first);
  const Vpn last_table{(range.end.value - 1) & ~(kTableEntries - 1)};
  if (last_table > range.first) gather.changed(last_table);
}

}  // namespace secmmu
