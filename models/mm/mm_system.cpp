#include <algorithm>
#include <utility>

#include "models/mm/events.hpp"
#include "models/mm/memory_pressure.hpp"
#include "models/mm/mm.hpp"

namespace secmmu {

const ParameterTable<MmCosts>& mm_cost_table() {
  static const char* kOrder = "order of magnitude on x86-64 servers";
  static const ParameterTable<MmCosts> table =
      ParameterTable<MmCosts>("cost")
          .duration("syscall", &MmCosts::syscall, "Entering the kernel by a system call, and leaving it.", kOrder)
          .duration("vma_work", &MmCosts::vma_work, "Finding, splitting and merging VMAs in one system call.", kOrder)
          .duration("pte_read", &MmCosts::pte_read, "The kernel's look at a page-table entry.",
                    "about a hit in the second-level cache")
          .duration("pte_write", &MmCosts::pte_write, "The kernel's change of a page-table entry.",
                    "an atomic exchange on a line in the first-level cache")
          .duration("swap_write", &MmCosts::swap_write, "Writing a page to the swap area.",
                    "compressing 4 KiB at 2 to 4 GB/s")
          .duration("swap_read", &MmCosts::swap_read, "Reading a page of the swap area.", "decompressing 4 KiB")
          .duration("scan_page", &MmCosts::scan_page, "Reclaim's taking a page off its list to look at it.", kOrder)
          .duration("gather_page", &MmCosts::gather_page,
                    "Putting a page on the list of those that are freed after the flush.", kOrder);
  return table;
}

const ParameterTable<MmConfig>& mm_table() {
  static const ParameterTable<MmConfig> table =
      ParameterTable<MmConfig>("mm")
          .integer("gather_pages", &MmConfig::gather_pages, 1, 1ULL << 20,
                   "Pages that an unmapping collects before it must flush the TLBs and free them.",
                   "Linux with 4 KiB pages: 8 entries in the gather and 19 batches of 510 behind it")
          .integer("swap_slots", &MmConfig::swap_slots, 0, 1ULL << 24, "Pages that the swap area holds.",
                   "256 MiB, as small machines have it")
          .choice("huge_pages", &MmConfig::huge_pages, {"never", "madvise", "always"},
                  "Which private memory gets huge pages (2 MiB) when it is first touched, and from khugepaged: none; "
                  "that for which `hugepage` asked; all but that which `nohugepage` excluded.")
          .choice("reclaim", &MmConfig::reclaim, {"off", "direct", "kswapd"},
                  "What happens when frames run short. off: nothing, and an allocation fails when none is left. direct: "
                  "whoever allocates a page for a user takes others away first. kswapd: a thread does so before, as "
                  "soon as fewer are free than five fourths of lowest_free, until three halves of it are.")
          .integer("lowest_free", &MmConfig::lowest_free, 0, 1ULL << 24,
                   "Frames that are kept for the kernel's own tables: a user's page is never put there. 0: a 64th of "
                   "all, and not less than 4. Only with reclaim.");
  return table;
}

MmSystem::MmSystem(Arbiter& the_arbiter, PhysicalMemory& the_memory, MemoryPort& the_port, std::vector<Core*> the_cores,
                   Shootdown& the_shootdown, NotifierCore& the_notifier)
    : arbiter(the_arbiter),
      memory(the_memory),
      port(the_port),
      cores(std::move(the_cores)),
      shootdown(the_shootdown),
      notifier(the_notifier),
      pressure(std::make_unique<MemoryPressure>(*this)),
      page_locks(the_arbiter, "page_locks"),
      all_locks_mutex(the_arbiter, "mm_all_locks_mutex", "mm_all_locks_mutex"),
      ksm_mutex(the_arbiter, "ksm_thread_mutex", "ksm_thread_mutex"),
      migrations(the_arbiter, "migrations") {
  for (Core* core : cores)
    core->on_fault([this](Core& faulting, VirtAddr address, bool write) {
      Mm* mm = by_asid(faulting.loaded().asid);
      if (mm == nullptr || mm->torn_down) return false;
      if (handle_fault(*mm, address.page(), write) != FaultResult::resolved) return false;
      faulting.load(mm->translation());  // the first table of an address space brings its root
      return true;
    });
}

MmSystem::~MmSystem() { memory.when_freed = nullptr; }

// Numbers start at 1: address space 0 is nobody's.
Mm& MmSystem::create(std::string name) {
  const auto id = static_cast<std::uint32_t>(spaces_.size() + 1);
  spaces_.push_back(std::make_unique<Mm>(*this, std::move(name), id));
  Mm& mm = *spaces_.back();
  arbiter.bus().emit(MmCreated{mm.name(), mm.id()});
  return mm;
}

Mm* MmSystem::find(std::string_view name) {
  for (const auto& mm : spaces_)
    if (mm->name() == name) return mm.get();
  return nullptr;
}

Mm* MmSystem::by_asid(std::uint32_t asid) {
  return asid == 0 || asid > spaces_.size() ? nullptr : spaces_[asid - 1].get();
}

Pfn MmSystem::zero_page() {
  if (zero_page_ != kNoPfn) return zero_page_;
  const Pfn fresh = memory.allocate(FrameUse::zero, "the zero page");
  if (fresh == kNoPfn) return kNoPfn;
  memory.clear(fresh);
  if (zero_page_ != kNoPfn)
    memory.put(fresh);  // another fault was faster
  else
    zero_page_ = fresh;
  return zero_page_;
}

SharedObject& MmSystem::create_object(std::uint64_t pages, bool file) {
  objects_.push_back(std::make_unique<SharedObject>(*this, ++created_objects_, pages, file));
  return *objects_.back();
}

SharedObject* MmSystem::object(std::uint64_t id) {
  const auto found = std::ranges::lower_bound(objects_, id, {}, [](const auto& object) { return object->id(); });
  return found != objects_.end() && (*found)->id() == id ? found->get() : nullptr;
}

void MmSystem::unmap_object(SharedObject& object, std::uint64_t pages) {
  object.unmapped(pages);
  if (object.mapped_pages() != 0) return;
  const auto mine = [&object](const auto& entry) { return entry.get() == &object; };
  const auto found = std::find_if(objects_.begin(), objects_.end(), mine);
  const std::unique_ptr<SharedObject> last = std::move(*found);
  objects_.erase(found);
  last->free_pages();
}

Pfn MmSystem::huge_zero_page() {
  if (huge_zero_page_ != kNoPfn) return huge_zero_page_;
  if (zero_page() == kNoPfn) return kNoPfn;
  const Pfn fresh = memory.allocate_huge(FrameUse::zero, "the huge zero page");
  if (fresh == kNoPfn) return kNoPfn;
  memory.clear(fresh, kHugeFrames);
  if (huge_zero_page_ != kNoPfn)
    memory.put(fresh);  // another fault was faster
  else
    huge_zero_page_ = fresh;
  return huge_zero_page_;
}

void MmSystem::reset() {
  spaces_.clear();
  objects_.clear();
  zero_page_ = kNoPfn;
  huge_zero_page_ = kNoPfn;
  anon_vmas_ = 0;
  created_objects_ = 0;
  swap.reset();
  pressure->reset();
  page_locks.reset();
  all_locks_mutex.reset();
  ksm.reset();
  ksm_mutex.reset();
  migrations.reset();
}

}  // namespace secmmu
