// The Linux-like memory manager. `MmSystem` is what all address spaces of the machine share; `Mm` is one
// address space (mm_struct). Operations are functions, one file each; they run in the calling task, on
// its core, and take the locks that Linux takes. Page ranges are half open.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "models/cpu/core.hpp"
#include "models/cpu/shootdown.hpp"
#include "models/memory/page_table.hpp"
#include "models/memory/physical_memory.hpp"
#include "models/mm/vma.hpp"
#include "notifier/address_space.hpp"
#include "notifier/kernel.hpp"
#include "notifier/notifier_core.hpp"
#include "notifier/substrate/sync/spinlock.hpp"

namespace secmmu {

struct MmCosts {
  Time syscall{300'000};         // entry and exit
  Time vma_work{400'000};        // find, split, merge
  Time pte_read{4'000};
  Time pte_write{10'000};
  Time gather_page{15'000};      // a page put on the list of pages to free after the flush
};
const ParameterTable<MmCosts>& mm_cost_table();

// How mm/ behaves in one kernel; values from the table of changes (changes.cpp).
struct MmBehaviour {
  std::string mprotect_range = "populated";   // whole-span | populated: what a start of mprotect covers (v3.15)
  std::string cow_notify = "start-end";       // change-pte | start-end: how copy-on-write tells (v3.7 on: start-end)
  std::string fork_notifies = "anon-vma";     // cow-vma | anon-vma: which VMAs of the parent are announced
  std::string pte_lock = "per-table";
};
const ParameterTable<MmBehaviour>& mm_behaviour_table();
const std::vector<Change>& mm_changes();
MmBehaviour mm_behaviour(KernelVersion version);

class Mm;

// What the memory manager needs of the machine, and the state that all address spaces share.
class MmSystem {
 public:
  MmSystem(Arbiter& arbiter, PhysicalMemory& memory, MemoryPort& port, std::vector<Core*> cores, Shootdown& shootdown,
           NotifierCore& notifier);

  Arbiter& arbiter;
  PhysicalMemory& memory;
  MemoryPort& port;  // of kernel code
  std::vector<Core*> cores;
  Shootdown& shootdown;
  NotifierCore& notifier;
  MmCosts costs;
  MmBehaviour behaviour;

  // A new, empty address space with one user.
  Mm& create(std::string name);
  // All address spaces of this run, in order of creation, dead ones too.
  const std::vector<std::unique_ptr<Mm>>& spaces() const { return spaces_; }
  Mm* find(std::string_view name);
  Mm* by_asid(std::uint32_t asid);
  Pfn zero_page();      // allocated at the first use
  std::uint64_t next_anon_vma() { return ++anon_vmas_; }
  void reset();

 private:
  std::vector<std::unique_ptr<Mm>> spaces_;
  Pfn zero_page_ = kNoPfn;
  std::uint64_t anon_vmas_ = 0;
};

class Mm final : public AddressSpace {
 public:
  Mm(MmSystem& system, std::string name, std::uint32_t id);
  ~Mm() override;

  MmSystem& system;
  VmaMap vmas;
  PageTable table;
  SpinLock page_table_lock;   // one per address space here; Linux splits it per table
  std::uint64_t cpu_mask = 0; // cores that may cache its translations
  VirtAddr brk_start{0};      // 0: no heap yet
  VirtAddr brk_end{0};
  bool torn_down = false;     // exit_mmap has run
  bool freed = false;         // mm_count fell to 0
  bool signal_pending = false;      // makes take_all_locks answer EINTR
  bool fail_next_allocation = false;  // makes a registration answer ENOMEM
  struct Counters {
    std::uint64_t faults = 0;
    std::uint64_t zero_pages = 0;    // faults answered with the zero page
    std::uint64_t cow_copies = 0;
    std::uint64_t cow_reuses = 0;
    std::uint64_t pages_unmapped = 0;
    std::uint64_t pages_freed = 0;
    std::int64_t resident = 0;       // PTEs that map a frame
  } counters;

  const std::string& name() const override { return name_; }
  std::uint32_t id() const override { return id_; }
  RwSemaphore& mmap_lock() override { return mmap_lock_; }
  ReferenceCount& users() override { return users_; }
  ReferenceCount& count() override { return count_; }
  Errno take_all_locks() override;
  void drop_all_locks() override;
  void last_count_dropped() override;

  Translation translation() const { return {id_, table.root()}; }
  // The VMA that holds `page`, widened to its borders; pages.empty() if none.
  Vma vma_at(Vpn page) const;
  // The pieces of VMAs in the range, ascending.
  std::vector<Vma> vmas_in(PageRange range) const;
  // The lowest free gap of `pages`, at or above the mmap base, aligned to `align` pages.
  VirtAddr find_gap(std::uint64_t pages, std::uint64_t align) const;
  // What hardware would find there now: without side effects or points, for expectations and reports.
  Pte peek(Vpn page);

 private:
  std::string name_;
  std::uint32_t id_;
  RwSemaphore mmap_lock_;
  ReferenceCount users_;
  ReferenceCount count_;
  SpinLock all_locks_;  // stands for the rmap locks that mm_take_all_locks collects
};

// --- operations: system calls. Each takes mmap_lock itself and may sleep. ------------------------------

struct MmapRequest {
  VirtAddr at{0};          // 0: anywhere
  bool fixed = false;      // unmaps what is there (MAP_FIXED)
  std::uint64_t pages = 0;
  Rights rights;
  bool shared = false;
};
Errno mmap(Mm& mm, const MmapRequest& request, VirtAddr& result);          // EINVAL, ENOMEM, EEXIST
Errno munmap(Mm& mm, PageRange range);                                    // EINVAL
Errno mprotect(Mm& mm, PageRange range, Rights rights);                   // ENOMEM at the first hole
Errno madvise_dontneed(Mm& mm, PageRange range);                          // ENOMEM if a part is not mapped
// Moves [from, from + old pages) to `to` (fixed) or a fresh place, or grows or shrinks in place if it can.
struct MremapRequest {
  PageRange from;
  std::uint64_t new_pages = 0;
  bool may_move = true;
  bool fixed = false;
  VirtAddr to{0};
};
Errno mremap(Mm& mm, const MremapRequest& request, VirtAddr& result);      // EFAULT, EINVAL, ENOMEM
Errno brk(Mm& mm, VirtAddr end, VirtAddr& result);
// The child is a new address space that shares private pages copy-on-write.
Errno fork(Mm& parent, Mm& child);                                        // ENOMEM
// A user of the address space goes; the last one runs exit_mmap (release, unmap all, free tables).
void mmput(Mm& mm);

// --- faults ------------------------------------------------------------------------------------------

enum class FaultResult { resolved, segv, out_of_memory };
// Takes mmap_lock for reading. Also for remote callers (a driver's get_user_pages): nothing here asks who
// runs on the core.
FaultResult handle_fault(Mm& mm, Vpn page, bool write);
// Linux's get_user_pages for one page: faults as needed, takes a reference on the frame. EFAULT.
Errno get_user_page(Mm& mm, Vpn page, bool write, Pfn& frame, Pte& entry);
// Lockless look at the PTE, as a driver in atomic context does it. A point.
Pte lookup_pte(Mm& mm, Vpn page);

}  // namespace secmmu
