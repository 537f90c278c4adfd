// What an unmapping collects until the CPUs' TLBs are flushed (Linux's mmu_gather): the pages that nobody
// may reuse before, and the hull of the page-table entries that changed. One gather serves one call.
#pragma once

#include <boost/container/small_vector.hpp>

#include "models/mm/mm.hpp"

namespace secmmu {

// Flushes the CPUs that may hold translations of the pages, and with them the secondary TLBs that share
// the CPU's page tables. Points.
void flush_tlbs(Mm& mm, PageRange pages);
// The same, and tells subscribers that walk the page tables themselves (v3.19 to v6.5: invalidate_range).
void flush_tlbs_and_tell(Mm& mm, PageRange pages);

class Gather {
 public:
  // `whole_mm`: the address space goes; every flush covers all of it.
  explicit Gather(Mm& mm, bool whole_mm = false);

  Mm& mm;

  // The page's entry changed: the next flush must cover it.
  void changed(Vpn page);
  // A page that is freed after the next flush. False: no other page has room before a flush.
  bool add(Pfn frame);
  void add_table(Pfn frame) { tables_.push_back(frame); }

  // Flushes the CPUs if an entry changed since the last flush. Does not sleep.
  void flush();
  // flush(), then frees what was added. Not under a spinlock that others need: it may take long.
  void flush_and_free();
  // The end of the call: the last flush_and_free().
  void finish();
  // The end of a call that has flushed by itself.
  void dismiss() { --mm.pending_gathers; }

 private:
  PageRange hull_{};
  bool whole_mm_;
  boost::container::small_vector<Pfn, 32> pages_;
  boost::container::small_vector<Pfn, 8> tables_;
};

// Takes every entry in the range out of the page table; those of private pages only if all are meant. The
// pages must be announced; frees pages itself when the gather is full.
enum class Zap { all, of_objects };
void zap(Gather& gather, PageRange pages, std::string_view why, Zap what = Zap::all);

// Could a TLB miss it if this entry changed so?
bool needs_flush(Pte old, Pte fresh);

// Takes tables out that no VMA around the (unmapped) range needs; the gather frees them.
void free_page_tables(Gather& gather, PageRange range);

}  // namespace secmmu
