#include "models/mm/mm.hpp"

namespace secmmu {

const ParameterTable<MmBehaviour>& mm_behaviour_table() {
  using B = MmBehaviour;
  static const ParameterTable<B> table =
      ParameterTable<B>("mm")
          .choice("mprotect_range", &B::mprotect_range, {"whole-span", "populated"},
                  "What a start of mprotect covers: the whole piece of a VMA, or from the first page table that exists "
                  "on, once for each GiB; then nothing is announced where no page table is.")
          .choice("cow_notify", &B::cow_notify, {"invalidate-page", "change-pte", "start-end"},
                  "How copy-on-write tells subscribers. invalidate-page: after the old entry is gone. change-pte: the "
                  "new entry, once. start-end: a range of one page around both.")
          .flag("change_pte_first", &B::change_pte_first,
                "change_pte is called before the new entry is written; otherwise after, when CPUs already use it.")
          .choice("clean_notify", &B::clean_notify,
                  {"page-under-lock", "page", "range", "start-range-end", "start-end"},
                  "How write-back tells subscribers of an entry that it makes clean and read-only, and reclaim of one "
                  "that it takes. page-under-lock: "
                  "invalidate_page, with the lock of the page table held; page: without; range: invalidate_range "
                  "alone; start-range-end, start-end: a range of one page, with and without an invalidate_range under "
                  "the lock.")
          .flag("fault_around", &B::fault_around,
                "A read fault of shared memory or of a file maps the pages around it, too, that are in memory: 64 KiB.")
          .flag("fault_again", &B::fault_again,
                "A fault that had to read a page of a file begins anew, and so maps what was read with it.")
          .flag("punch_hole", &B::punch_hole,
                "fallocate punches holes into files, and madvise(MADV_REMOVE) does it by the same way: pages are "
                "unmapped "
                "once, and private copies stay. Otherwise MADV_REMOVE, of memory only, unmaps twice and takes copies "
                "too.")
          .flag("remove_readonly", &B::remove_readonly,
                "MADV_REMOVE works through a shared mapping that is read-only at the time.")
          .choice("huge_cut", &B::huge_cut, {"if-huge", "always"},
                  "Where a VMA is cut inside a block of 2 MiB that it covers, a huge page is split first. Subscribers "
                  "are told of the block if a huge page is there, or always.")
          .flag("huge_pages", &B::huge_pages, "Private memory may be mapped by huge pages of 2 MiB.")
          .flag("huge_zero_page", &B::huge_zero_page,
                "A read of a block that nobody wrote maps a huge page of zeroes; otherwise a huge page of its own.")
          .choice("huge_cow", &B::huge_cow, {"copy", "split"},
                  "A shared huge page that is written: all of it is copied, if there is room; or its entry is split, "
                  "and the one small page is copied.")
          .flag("huge_upgrade", &B::huge_upgrade,
                "mprotect makes huge entries of pages that were never shared writable again, as it does small ones.")
          .flag("collapse_advice", &B::collapse_advice, "madvise can ask for huge pages at once (MADV_COLLAPSE).")
          .choice("gather_flush", &B::gather_flush, {"whole-mm", "hull"},
                  "What an unmapping flushes: the address space, or from the lowest to the highest changed page.")
          .flag(
              "zap_flushes_under_lock", &B::zap_flushes_under_lock,
              "An unmapping that must flush early (a full batch of pages, a dirty shared page) flushes while it holds "
              "the lock of the page table. Otherwise it flushes after, and for a full batch only.")
          .choice("reclaim_flush", &B::reclaim_flush, {"at-once", "deferred"},
                  "When reclaim flushes the CPUs: with each entry that it takes, or once before the page is written or "
                  "freed.")
          .flag("gather_collision", &B::gather_collision,
                "An unmapping that ends while another one of the same mm is open flushes everything, for it may have "
                "found entries gone that the other has not flushed yet.")
          .choice("mprotect_flush", &B::mprotect_flush, {"always", "if-changed", "gather"},
                  "When mprotect flushes TLBs: after each piece; after each piece in which an entry was there; or once "
                  "at the end, over the entries whose change a TLB could miss.")
          .choice("mremap_flush", &B::mremap_flush,
                  {"each-page", "after-move", "dirty-under-lock", "under-lock", "whole-tables"},
                  "When mremap flushes the old place of moved pages: after each; once after all, when others can have "
                  "found them at the new place; the same, but a table with a dirty page before its lock is dropped; "
                  "each table before its lock is dropped; the same, and a block of 2 MiB that moves whole to where "
                  "another one begins takes its table along, which is flushed at once and not read entry by entry.")
          .choice("cow_reuse", &B::cow_reuse, {"one-mapping", "one-reference", "exclusive"},
                  "When a write fault keeps the page instead of copying it: nobody else maps it; nobody else holds it "
                  "in any way; or it is marked as never shared, else as one-reference.")
          .choice("mprotect_upgrade", &B::mprotect_upgrade, {"never", "dirty", "exclusive"},
                  "Which private pages mprotect itself makes writable again: none, so that each takes a fault; those "
                  "never shared and dirty; those never shared.")
          .choice("reaper", &B::reaper, {"absent", "unannounced", "skips-subscribed", "skips-blockable", "asks"},
                  "How the out-of-memory reaper takes pages: there is none; without a word to subscribers; only from "
                  "processes without subscribers; only if none of them may block; or VMA by VMA, with a start that may "
                  "not block and may be refused.")
          .flag("move_pages_locks", &B::move_pages_locks,
                "move_pages holds mmap_lock for reading from its first page to its last; otherwise only to find each.")
          .flag("migrate_batch", &B::migrate_batch,
                "Pages that move are all taken out of their page tables first, with one flush, and then copied; "
                "otherwise one after the other.")
          .flag("huge_migration", &B::huge_migration, "Huge pages move whole; otherwise they are split first.")
          .flag("ksm_migration", &B::ksm_migration, "Pages that KSM has merged can be moved.")
          .flag("ksm_reuse", &B::ksm_reuse, "Who alone still maps a merged page writes it in place, without a copy.")
          .flag("unprotect_upgrade", &B::unprotect_upgrade,
                "Who takes userfaultfd's protection away gives private pages their write bit back, as mprotect does.")
          .flag("unprotect_any_vmas", &B::unprotect_any_vmas,
                "One call to userfaultfd may change the protection of several VMAs.")
          .flag("ksm", &B::ksm, "madvise knows MADV_MERGEABLE, and ksmd merges equal pages.")
          .flag("soft_offline", &B::soft_offline, "madvise knows MADV_SOFT_OFFLINE.")
          .flag("wipe_on_fork", &B::wipe_on_fork, "madvise knows MADV_WIPEONFORK and MADV_KEEPONFORK.")
          .flag("write_protection", &B::write_protection,
                "A userfaultfd can protect private pages and is told of writes to them.")
          .flag("soft_dirty", &B::soft_dirty, "Soft-dirty bits tell which pages were written since they were cleared.")
          .flag("idle_tracking", &B::idle_tracking, "Pages can be marked idle, to see later which were used.")
          .flag("lazy_free", &B::lazy_free, "madvise knows MADV_FREE.")
          .flag("pageout", &B::pageout, "madvise knows MADV_COLD and MADV_PAGEOUT.")
          .flag("populate", &B::populate, "madvise knows MADV_POPULATE_READ and MADV_POPULATE_WRITE.")
          .choice("fresh_pages", &B::fresh_pages, {"inactive", "active"},
                  "Whether reclaim takes a fresh private page for one that must first be used again, or for one in use.")
          .choice("fault_lock", &B::fault_lock, {"mmap-lock", "anonymous-vma-lock", "vma-lock"},
                  "What the fault of a CPU holds: mmap_lock for reading; or, if that is enough, the lock of its VMA "
                  "alone, first for private memory that has had a page, then for all but a first private page.")
          .flag("all_locks_cover_vmas", &B::all_locks_cover_vmas,
                "Who takes all locks of an mm, as a registration does, waits for faults under the locks of single VMAs "
                "too.")
          .flag("fork_locks_vmas", &B::fork_locks_vmas,
                "fork keeps faults under the locks of single VMAs out of the parent.")
          .flag("munmap_downgrades", &B::munmap_downgrades,
                "munmap takes the pages out with mmap_lock held for reading only, so that faults elsewhere go on.")
          .choice(
              "exit_lock", &B::exit_lock, {"none", "read-then-write"},
              "How the end of an mm holds mmap_lock: not at all, or for reading while it takes the pages out and for "
              "writing while it frees the page tables.");
  return table;
}

MmBehaviour mm_behaviour(KernelVersion version) {
  MmBehaviour behaviour;
  apply_changes(mm_changes(), mm_behaviour_table(), version, &behaviour);
  return behaviour;
}

}  // namespace secmmu
