// A core: TLB, walker, memory port, and its place in shootdowns. It executes accesses for the task that
// runs on it; a fault goes to the handler that the kernel has installed.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "models/cpu/page_walker.hpp"
#include "models/cpu/tlb.hpp"
#include "models/memory/memory_port.hpp"
#include "notifier/substrate/arbiter.hpp"

namespace secmmu {

struct CoreCosts {
  Time tlb_hit{1'000};         // a load or store whose translation and line are at hand
  Time fault_entry{500'000};   // exception, save, dispatch, and the way back
  Time tlb_flush_page{50'000}; // one INVLPG
  Time tlb_flush_all{200'000};
  Time load_root{150'000};     // CR3 write
};
const ParameterTable<CoreCosts>& core_cost_table();

// What a core must know of the address space that it executes in.
struct Translation {
  std::uint32_t asid = 0;  // never reused within a run
  Pfn root = kNoPfn;
};

enum class AccessResult { ok, fault };  // fault: the handler could not resolve it (SIGSEGV)

class Core : public sc_core::sc_module {
 public:
  Core(const sc_core::sc_module_name& name, Arbiter& arbiter, Processor& processor, TlbConfig tlb);

  MemoryPort port;
  PageWalker walker;
  CoreCosts costs;

  unsigned number() const { return processor_.number(); }
  Processor& processor() { return processor_; }
  // The kernel's page-fault handler: resolves the fault (true) or cannot (false). Runs in the faulting task.
  using FaultHandler = std::function<bool(Core&, VirtAddr, bool write)>;
  void on_fault(FaultHandler handler) { fault_handler_ = std::move(handler); }

  // The running task's address space; loaded by the kernel at a task switch. A point if it changes.
  void load(Translation translation);
  const Translation& loaded() const { return loaded_; }

  // One access of up to 8 bytes that does not cross a page, by the task that runs here, through TLB, walker
  // and fault handler until it succeeds or the handler gives up.
  AccessResult read(VirtAddr address, unsigned bytes, std::uint64_t& value);
  AccessResult write(VirtAddr address, unsigned bytes, std::uint64_t value);

  // Drops this core's entries of the asid in the range (kernel code on this core). A point.
  void flush(std::uint32_t asid, PageRange pages);

  struct Counters {
    std::uint64_t hits = 0;
    std::uint64_t misses = 0;
    std::uint64_t faults = 0;
    std::uint64_t flushes = 0;
    std::uint64_t shootdowns = 0;  // interrupts received
  };
  Counters counters;
  std::uint64_t valid_entries() const { return tlb_.valid(); }
  void reset();

 private:
  AccessResult access(VirtAddr address, unsigned bytes, bool write, std::uint64_t& value);
  Arbiter& arbiter_;
  Processor& processor_;
  Tlb tlb_;
  Translation loaded_;
  FaultHandler fault_handler_;
};

}  // namespace secmmu
