// The Linux-like memory manager. `MmSystem` is what all address spaces of the machine share; `Mm` is one
// address space (mm_struct). Operations are functions, one file each; they run in the calling task, on
// its core, and take the locks that Linux takes. Page ranges are half open.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "models/cpu/core.hpp"
#include "models/cpu/shootdown.hpp"
#include "models/memory/page_table.hpp"
#include "models/memory/physical_memory.hpp"
#include "models/memory/swap_area.hpp"
#include "models/mm/ksm.hpp"
#include "models/mm/shared_object.hpp"
#include "models/mm/vma.hpp"
#include "models/mm/vma_locks.hpp"
#include "notifier/address_space.hpp"
#include "notifier/kernel.hpp"
#include "notifier/notifier_core.hpp"
#include "notifier/substrate/sync/mutex.hpp"
#include "notifier/substrate/sync/spinlock.hpp"
#include "notifier/substrate/sync/wait_queue.hpp"

namespace secmmu {

struct MmCosts {
  Time syscall{300'000};   // entry and exit
  Time vma_work{400'000};  // find, split, merge
  Time pte_read{4'000};
  Time pte_write{10'000};
  Time swap_write{1'500'000};  // a page to the swap area, and back
  Time swap_read{1'000'000};
  Time scan_page{50'000};  // reclaim takes a page off its list
  Time gather_page{15'000};  // a page put on the list of pages to free after the flush
};
const ParameterTable<MmCosts>& mm_cost_table();

struct MmConfig {
  // Linux's limit with 4 KiB pages: 8 in the gather itself, 19 further batches of 510.
  std::uint64_t gather_pages = 8 + 19 * 510;
  std::uint64_t swap_slots = 65536;  // pages that the swap area holds
  // never | madvise | always: which private memory gets huge pages when it is touched, and from khugepaged.
  std::string huge_pages = "madvise";
  // off | direct | kswapd: what happens when frames run short. off: an allocation fails when none is left; direct: who
  // allocates reclaims; kswapd: a thread begins before that.
  std::string reclaim = "off";
  std::uint64_t lowest_free = 0;  // frames that only the kernel itself may use; 0: a 64th of all, and not less than 4
};
const ParameterTable<MmConfig>& mm_table();

// How mm/ behaves in one kernel; values from the table of changes (changes.cpp). The defaults are v6.10's.
// What is said to subscribers also depends on the callbacks that the notifier core of that kernel has.
struct MmBehaviour {
  // --- what subscribers are told ---
  std::string mprotect_range = "populated";  // whole-span | populated: what a start of mprotect covers
  std::string cow_notify = "start-end";      // invalidate-page | change-pte | start-end: how copy-on-write tells
  bool change_pte_first = true;              // change_pte comes before the new PTE is written (where it exists)
  // page-under-lock | page | range | start-range-end | start-end: how write-back tells of a PTE that it makes
  // read-only, and reclaim of one that it takes
  std::string clean_notify = "start-end";

  // --- files ---
  bool fault_around = true;     // a read fault of a file maps the cached pages around it, too
  bool fault_again = true;      // a fault that had to read a file begins anew, and so maps what was read with it
  bool punch_hole = true;       // holes can be punched into files; and a hole leaves private copies where they are
  bool remove_readonly = true;  // MADV_REMOVE works through a mapping that could be made writable, too

  // --- huge pages ---
  std::string huge_cut = "always";  // if-huge | always: whether the cut of a VMA announces a block without huge page
  bool huge_pages = true;           // there are any
  bool huge_zero_page = true;       // a read fault of a block that was never written maps a huge page of zeroes
  std::string huge_cow = "split";   // copy | split: what becomes of a shared huge page that is written
  bool huge_upgrade = true;         // mprotect gives the write bit back to huge entries, too
  bool collapse_advice = true;      // MADV_COLLAPSE

  // --- when CPUs are flushed, and when pages are freed ---
  std::string gather_flush = "hull";        // whole-mm | hull: what the flush of a gather covers
  bool zap_flushes_under_lock = true;       // a zap that must flush early does so before it drops the PTE lock
  std::string reclaim_flush = "deferred";   // at-once | deferred: reclaim flushes CPUs after a page's last mapping
  bool gather_collision = true;             // a gather that ends while another is open flushes everything
  std::string mprotect_flush = "gather";    // always | if-changed | gather
  std::string mremap_flush = "under-lock";  // each-page | after-move | dirty-under-lock | under-lock

  // --- when a write fault copies, when mprotect gives the write bit back ---
  std::string cow_reuse = "exclusive";         // one-mapping | one-reference | exclusive
  std::string mprotect_upgrade = "exclusive";  // never | dirty | exclusive

  // --- the out-of-memory reaper ---
  // absent | unannounced | skips-subscribed | skips-blockable | asks: how it takes pages from a dying process
  std::string reaper = "asks";

  // --- pages that move ---
  bool move_pages_locks = false;  // move_pages holds mmap_lock for reading from its first page to its last
  bool migrate_batch = true;      // migration takes all pages out of their tables before it copies the first
  bool huge_migration = true;     // huge pages move whole; otherwise they are split first

  // --- pages that KSM merges ---
  bool ksm_migration = true;  // they can be moved
  bool ksm_reuse = false;     // who is the only one left to map one writes it in place

  // --- userfaultfd ---
  bool unprotect_upgrade = true;   // taking a protection away gives the write bit back
  bool unprotect_any_vmas = true;  // one call may cover several VMAs

  // --- calls that came later ---
  bool ksm = true;               // MADV_MERGEABLE
  bool soft_offline = true;      // MADV_SOFT_OFFLINE
  bool wipe_on_fork = true;      // MADV_WIPEONFORK
  bool write_protection = true;  // userfaultfd tells of writes to protected pages
  bool soft_dirty = true;     // which pages were written can be asked
  bool idle_tracking = true;  // which pages were used, too
  bool lazy_free = true;      // MADV_FREE
  bool pageout = true;        // MADV_COLD and MADV_PAGEOUT
  bool populate = true;       // MADV_POPULATE_READ and MADV_POPULATE_WRITE

  // --- reclaim ---
  std::string fresh_pages = "inactive";  // inactive | active: the list on which reclaim finds a fresh private page

  // --- locks ---
  // mmap-lock | anonymous-vma-lock | vma-lock: what a page fault holds
  std::string fault_lock = "vma-lock";
  bool all_locks_cover_vmas = true;           // a registration waits for faults under the locks of single VMAs
  bool fork_locks_vmas = true;                // and so does fork, which copies their entries
  bool munmap_downgrades = true;              // munmap unmaps with mmap_lock held for reading only
  std::string exit_lock = "read-then-write";  // none | read-then-write: how exit_mmap holds mmap_lock
};
const ParameterTable<MmBehaviour>& mm_behaviour_table();
const std::vector<Change>& mm_changes();
MmBehaviour mm_behaviour(KernelVersion version);

class Mm;
class MemoryPressure;

// What the memory manager needs of the machine, and the state that all address spaces share.
class MmSystem {
 public:
  MmSystem(Arbiter& arbiter, PhysicalMemory& memory, MemoryPort& port, std::vector<Core*> cores, Shootdown& shootdown,
           NotifierCore& notifier);
  ~MmSystem();

  Arbiter& arbiter;
  PhysicalMemory& memory;
  MemoryPort& port;  // of kernel code
  std::vector<Core*> cores;
  Shootdown& shootdown;
  NotifierCore& notifier;
  MmCosts costs;
  MmConfig config;
  MmBehaviour behaviour;
  SwapArea swap;
  std::unique_ptr<MemoryPressure> pressure;  // memory_pressure.hpp
  std::function<bool()> interrupted;  // asked when all locks of an mm are taken: is a signal pending? Empty: no
  WaitQueue page_locks;               // who waits for the lock of a page
  Mutex all_locks_mutex;              // one taker of all locks at a time, whatever its mm
  Ksm ksm;                            // what ksmd remembers
  Mutex ksm_mutex;                    // one ksmd at a time
  WaitQueue migrations;               // faults that have met a page on its way to another frame

  // A new, empty address space with one user.
  Mm& create(std::string name);
  // All address spaces of this run, in order of creation, dead ones too.
  const std::vector<std::unique_ptr<Mm>>& spaces() const { return spaces_; }
  Mm* find(std::string_view name);
  Mm* by_asid(std::uint32_t asid);
  // Allocated and cleared at the first use, kept for ever; kNoPfn: no frame is free. Points.
  Pfn zero_page();
  Pfn zero_page_if_any() const { return zero_page_; }
  // The same of a huge one; zero_page() exists when it does, for it may be split.
  Pfn huge_zero_page();
  Pfn huge_zero_page_if_any() const { return huge_zero_page_; }
  SharedObject& create_object(std::uint64_t pages, bool file);
  SharedObject* object(std::uint64_t id);  // nullptr: it is gone
  // VMAs that mapped so many of its pages are gone; with the last of them it goes itself. Points.
  void unmap_object(SharedObject& object, std::uint64_t pages);
  const std::vector<std::unique_ptr<SharedObject>>& objects() const { return objects_; }
  std::uint64_t next_anon_vma() { return ++anon_vmas_; }
  void reset();  // drops all address spaces, without points; PhysicalMemory::reset() takes the frames back

 private:
  std::vector<std::unique_ptr<Mm>> spaces_;
  std::vector<std::unique_ptr<SharedObject>> objects_;
  Pfn zero_page_ = kNoPfn;
  Pfn huge_zero_page_ = kNoPfn;
  std::uint64_t anon_vmas_ = 0;
  std::uint64_t created_objects_ = 0;
};

class Mm final : public AddressSpace {
 public:
  Mm(MmSystem& system, std::string name, std::uint32_t id);
  ~Mm() override;

  MmSystem& system;
  VmaMap vmas;
  VmaList leaving;  // VMAs whose pages are being unmapped: in the reverse map still, but no fault brings a page back
  PageTable table;
  VmaLocks vma_locks;          // unused before v6.4
  SpinLock page_table_lock;    // one per address space here; Linux splits it per table
  std::uint64_t cpu_mask = 0;  // cores that may cache its translations
  VirtAddr brk_start{0};       // 0: no heap yet
  VirtAddr brk_end{0};
  bool torn_down = false;  // exit_mmap has run
  bool freed = false;      // mm_count fell to 0
  // What the drivers' mappings do when they are closed. exit runs them in order after the pages were freed,
  // where Linux calls remove_vma and with it vm_ops->close.
  std::vector<std::function<void()>> at_close;
  unsigned pending_gathers = 0;  // unmappings whose flush is still to come
  struct Counters {
    std::uint64_t faults = 0;
    std::uint64_t zero_pages = 0;  // faults answered with the zero page
    std::uint64_t cow_copies = 0;
    std::uint64_t cow_reuses = 0;
    std::uint64_t pages_unmapped = 0;
    std::uint64_t pages_freed = 0;
    std::int64_t swapped = 0;   // PTEs that name a slot of the swap area
    std::int64_t resident = 0;  // PTEs that map a frame; a huge entry counts for all its pages
    std::uint64_t huge_faults = 0;
    std::uint64_t huge_splits = 0;     // of entries
    std::uint64_t huge_collapses = 0;  // tables that became one
    std::uint64_t around = 0;          // pages of files that the fault of a neighbour mapped
    std::uint64_t migrated = 0;        // pages of entries that came back with another frame
    std::uint64_t merged = 0;          // entries that KSM gave a merged page
    std::uint64_t protected_writes = 0;  // faults that waited for a userfaultfd's handler
  } counters;
  // Writes that wait for userfaultfd's handler: told to it in order, woken by it.
  struct UserFaults {
    WaitQueue queue;
    std::deque<Vpn> untold;
    bool killed = false;  // the process ends: nobody waits any more
  } user_faults;

  const std::string& name() const override { return name_; }
  std::uint32_t id() const override { return id_; }
  RwSemaphore& mmap_lock() override { return mmap_lock_; }
  ReferenceCount& users() override { return users_; }
  ReferenceCount& count() override { return count_; }
  Errno take_all_locks() override;
  void drop_all_locks() override;
  void last_count_dropped() override;

  // The locks of reverse mappings, under which its pages are reached from the side of the frames: by write-back,
  // truncation, reclaim. Taken below mmap_lock and above page_table_lock, one mm's at a time; may sleep. While they are
  // held nobody registers, and the end of the mm does not take its VMAs out of the reverse map.
  void lock_rmap() { rmap_lock_.lock(); }
  void unlock_rmap() { rmap_lock_.unlock(); }

  Translation translation() const { return {id_, table.root()}; }
  // The VMA that holds `page`, widened to its borders; pages.empty() if none.
  Vma vma_at(Vpn page) const { return find_vma(vmas, page); }
  // The pieces of VMAs in the range, ascending, clipped to it.
  VmaList vmas_in(PageRange range) const { return secmmu::vmas_in(vmas, range); }
  // The lowest free gap of `pages`, at or above the mmap base, aligned to `align` pages. 0: there is none.
  VirtAddr find_gap(std::uint64_t pages, std::uint64_t align) const;
  // What hardware would find there now: without side effects or points, for expectations and reports.
  Pte peek(Vpn page);

 private:
  std::string name_;
  std::uint32_t id_;
  RwSemaphore mmap_lock_;
  ReferenceCount users_;
  ReferenceCount count_;
  VmaLocks::Written written_before_;  // when all locks were taken
  Mutex rmap_lock_;                   // stands for all the locks of reverse mappings that mm_take_all_locks collects
};

// --- operations: system calls. Each takes mmap_lock itself and may sleep. ------------------------------

struct MmapRequest {
  VirtAddr at{0};      // 0: anywhere
  bool fixed = false;  // unmaps what is there (MAP_FIXED)
  std::uint64_t pages = 0;
  Rights rights;
  bool shared = false;
  bool file = false;    // over a file whose pages are written back, not just memory
  bool copies = false;  // private, over an object: what is written is copied (MAP_PRIVATE of a file)
  // The number of an object that exists, mapped from this page of it on; 0: over a fresh one, of this size.
  std::uint64_t object = 0;
  std::uint64_t offset = 0;
};
// EINVAL, ENOMEM; EBADF: the object is gone, with the last that mapped it.
Errno mmap(Mm& mm, const MmapRequest& request, VirtAddr& result);
Errno munmap(Mm& mm, PageRange range);                             // EINVAL
Errno mprotect(Mm& mm, PageRange range, Rights rights);            // ENOMEM at the first hole
Errno madvise_dontneed(Mm& mm, PageRange range);                   // ENOMEM if a part is not mapped
// What a driver does to the pages of its own mapping (zap_page_range): no system call, and no lock of the mm's; as the
// last user of the memory it needs none. Never sleeps, if no subscriber does.
void zap_pages(Mm& mm, PageRange range);
// The pages need not be kept: as long as nobody writes them again, reclaim may throw them away (MADV_FREE).
Errno madvise_free(Mm& mm, PageRange range);  // EINVAL for memory that is not private, or locked; ENOMEM
// The pages were not used of late, whatever the entries say; MADV_PAGEOUT has reclaim look at them at once.
Errno madvise_cold(Mm& mm, PageRange range);     // EINVAL for locked memory; ENOMEM
Errno madvise_pageout(Mm& mm, PageRange range);  // the same
// Faults in turn, as if each page were read or written. EINVAL where that is not allowed; EFAULT behind the end of a
// file; ENOMEM
Errno madvise_populate(Mm& mm, PageRange range, bool write);
Errno clear_referenced(Mm& mm);  // /proc/PID/clear_refs, 1: no page was used
Errno clear_soft_dirty(Mm& mm);  // 4: no page was written; the next write of each takes a fault
// Idle-page tracking (/sys/kernel/mm/page_idle/bitmap), by where pages are mapped.
void mark_idle(Mm& mm, PageRange range);
enum class Idleness { idle, used, absent };  // absent: no page is there
Idleness idleness(Mm& mm, Vpn page);
// Which VMAs may have huge pages. ENOMEM if a part is not mapped.
Errno madvise_huge(Mm& mm, PageRange range, HugeAdvice advice);
// MADV_COLLAPSE: the whole blocks in the range become huge pages, now. EINVAL, EAGAIN or ENOMEM if one of them could
// not.
Errno madvise_collapse(Mm& mm, PageRange range);
// One round of khugepaged through an address space: collapses the blocks whose pages are in use. How many.
std::uint64_t khugepaged_scan(Mm& mm);
// Punches a hole into the object that is mapped there: out of every address space, then freed. EINVAL: no object, or
// locked memory; EACCES: private, or not writable; ENOMEM: a part is not mapped; ENOSYS: a file, before v3.5.
Errno madvise_remove(Mm& mm, PageRange range);
// What a program does with a file by its descriptor, here by the number of the object (0: EBADF). They hold the file's
// lock, and no mmap_lock. A file that nobody maps any more is gone; all is well then, for nobody could tell.
//
// ftruncate: so many pages. What lies behind is unmapped, private copies as well, freed, and unmapped once more.
Errno truncate_file(Mm& caller, std::uint64_t object, std::uint64_t pages);
// fallocate(PUNCH_HOLE): unmaps and frees pages; private copies stay. EINVAL: no pages.
Errno punch_hole(Mm& caller, std::uint64_t object, std::uint64_t first, std::uint64_t pages);
// pwrite, of eight bytes that lie in one page: into the page cache, so whoever maps the page sees them. The file grows
// for it. ENOMEM
Errno write_file(Mm& caller, std::uint64_t object, std::uint64_t offset, std::uint64_t value);
// Writes back what was written to the files that are mapped there; afterwards a write faults again, which is how
// the next one is noticed. Memory that is no file has nowhere to be written.
Errno msync(Mm& mm, PageRange range);  // ENOMEM if a part is not mapped
// Moves [from, from + old pages) to `to` (fixed) or a fresh place, or grows or shrinks in place if it can.
struct MremapRequest {
  PageRange from;
  std::uint64_t new_pages = 0;
  bool may_move = true;
  bool fixed = false;
  VirtAddr to{0};
};
Errno mremap(Mm& mm, const MremapRequest& request, VirtAddr& result);  // EFAULT, EINVAL, ENOMEM
// `result` is the break after the call, also when it refused (ENOMEM). An end of 0 only asks.
Errno brk(Mm& mm, VirtAddr end, VirtAddr& result);
// `child` is a new, empty address space: it gets the parent's VMAs and shares private pages copy-on-write.
// After ENOMEM it holds a part of them; mmput takes that back.
Errno fork(Mm& parent, Mm& child);
// The out-of-memory reaper, or process_mrelease: takes the private pages of a process that is about to die. It
// must not wait for a device: EAGAIN if some VMAs had to be left. ESRCH: the address space has ended.
Errno oom_reap(Mm& victim);
// Moves the pages to that memory node (move_pages(2)). The call itself fails with ENODEV only; `status` gets a code for
// each page: ok, it is there now (or was before); EFAULT, ENOENT: no page is there; EACCES: others map it, too, and
// `shared_too` (MPOL_MF_MOVE_ALL) was not given; EBUSY, EAGAIN, ENOMEM: it could not be moved.
Errno move_pages(Mm& mm, PageRange range, unsigned node, bool shared_too = false,
                 std::vector<Errno>* status = nullptr);
// Takes the frames out of use before they fail (MADV_SOFT_OFFLINE): their pages move to others. Faults as if each page
// were read; the first that fails ends it. EFAULT, ENOMEM; EIO: the zero page; EBUSY: somebody holds the page.
Errno madvise_soft_offline(Mm& mm, PageRange range);
// The pages stay in memory until they are unlocked: reclaim passes them over, and what would discard them is refused.
// mlock brings them in first, those of writable private memory as if they were written. ENOMEM if a part is not mapped,
// or not accessible; EAGAIN: no frame is free.
Errno mlock(Mm& mm, PageRange range);
Errno munlock(Mm& mm, PageRange range);  // ENOMEM
// What a child gets: not the mapping at all (MADV_DONTFORK), or fresh memory in its place (MADV_WIPEONFORK, for private
// memory; EINVAL); and back again. ENOMEM if a part is not mapped.
enum class ForkAdvice { dont_fork, do_fork, wipe, keep };
Errno madvise_fork(Mm& mm, PageRange range, ForkAdvice advice);
// A user of the address space goes; the last one runs exit_mmap (release, unmap all, free tables).
void mmput(Mm& mm);
// A thread of the process enters the kernel, and leaves it: for that time its own user, which it has had since it
// began, is counted. False: the address space has no users left. The last one to leave runs exit_mmap; may sleep.
bool enter_kernel(Mm& mm);
void leave_kernel(Mm& mm);

// --- faults ------------------------------------------------------------------------------------------

// wait_for_handler: the page is write-protected for a userfaultfd; whoever may wait gives its locks up and does so.
enum class FaultResult { resolved, segv, out_of_memory, wait_for_handler };
// Of a CPU. Takes mmap_lock for reading or, from v6.4 on, the lock of the VMA where that is enough.
FaultResult handle_fault(Mm& mm, Vpn page, bool write);
// mmap_lock is held. `patient`: the caller can begin anew when something had to be read.
FaultResult handle_fault_locked(Mm& mm, Vpn page, bool write, bool patient = true);
// Linux's get_user_pages for one page: faults as needed, takes a reference on the frame, which the caller
// puts. EFAULT: no VMA or no such right; ENOMEM.
Errno get_user_page(Mm& mm, Vpn page, bool write, Pfn& frame, Pte& entry);
// The same without a lock, at one instant, and without a fault: false if the entry does not allow it now. Does not
// look at VMAs: an entry says enough. A point.
bool get_user_page_fast(Mm& mm, Vpn page, bool write, Pfn& frame, Pte& entry);
Errno get_user_page_locked(Mm& mm, Vpn page, bool write, Pfn& frame, Pte& entry);  // mmap_lock is held
// The page was written, says an unmapping, or a driver of its device.
void note_dirty(MmSystem& system, Pfn frame);
// Lockless look at the PTE, as a driver in atomic context does it. A point.
Pte lookup_pte(Mm& mm, Vpn page);

// --- the machine's side ---------------------------------------------------------------------------------

// The core executes in this address space from now on: joins its mask, then loads the root. Points.
void load_on(Mm& mm, Core& core);

// --- debugging -------------------------------------------------------------------------------------------

// Compares page tables, frames, VMAs and counters of the whole system; empty if they agree, else one
// sentence per contradiction. Only when no operation is under way. No points.
std::string audit(MmSystem& system);

}  // namespace secmmu
