// A core: TLB, walker, memory port, and its place in shootdowns. It executes accesses for the task that
// runs on it; a fault goes to the handler that the kernel has installed.
#pragma once

#include <cassert>
#include <cstdint>
#include <cstring>
#include <functional>

#include "models/cpu/events.hpp"
#include "models/cpu/page_walker.hpp"
#include "models/cpu/tlb.hpp"
#include "models/memory/memory_port.hpp"
#include "notifier/substrate/arbiter.hpp"

namespace secmmu {

struct CoreCosts {
  Time tlb_hit{1'000};          // a load or store whose translation and line are at hand
  Time fault_entry{500'000};    // exception, save, dispatch, and the way back
  Time tlb_flush_page{50'000};  // one INVLPG
  Time tlb_flush_all{200'000};
  Time load_root{150'000};  // CR3 write
};
const ParameterTable<CoreCosts>& core_cost_table();

// What a core must know of the address space that it executes in.
struct Translation {
  std::uint32_t asid = 0;  // never reused within a run
  Pfn root = kNoPfn;
  bool operator==(const Translation&) const = default;
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
  AccessResult read(VirtAddr address, unsigned bytes, std::uint64_t& value) {
    return access<false>(address, bytes, value);
  }
  AccessResult write(VirtAddr address, unsigned bytes, std::uint64_t value) {
    return access<true>(address, bytes, value);
  }

  // Drops this core's entries of the asid in the range (kernel code on this core, also in an interrupt). A
  // point. Costs tlb_flush_page for each page, or tlb_flush_all for kWholeSpace.
  void flush(std::uint32_t asid, PageRange pages);

  struct Counters {
    std::uint64_t hits = 0;    // accesses done; one that missed first counts here too
    std::uint64_t misses = 0;  // walks begun
    std::uint64_t faults = 0;  // walks that found no usable entry
    std::uint64_t flushes = 0;
    std::uint64_t shootdowns = 0;  // interrupts received
  };
  Counters counters;
  std::uint64_t valid_entries() const { return tlb_.valid(); }
  void reset();

 private:
  template <bool kWrite>
  AccessResult access(VirtAddr address, unsigned bytes, std::uint64_t& value);
  template <bool kWrite>
  static void transfer(std::uint8_t* memory, unsigned bytes, std::uint64_t& value);
  bool resolve(VirtAddr address, bool write);
  bool fill(Vpn page, const WalkResult& walk);
  void drop(TlbEntry& entry);
  void access_undirected(VirtAddr address, Pfn frame, unsigned bytes, bool write, std::uint64_t& value);
  void emit_marked(const TlbEntry& entry, VirtAddr address, bool write, std::uint64_t value);

  Arbiter& arbiter_;
  Processor& processor_;
  Tlb tlb_;
  Translation loaded_;
  FaultHandler fault_handler_;
};

// --- the hot path ---

template <bool kWrite>
void Core::transfer(std::uint8_t* memory, unsigned bytes, std::uint64_t& value) {
  const auto move = [&](std::size_t size) {
    if constexpr (kWrite)
      std::memcpy(memory, &value, size);
    else
      std::memcpy(&value, memory, size);
  };
  if constexpr (!kWrite) value = 0;
  switch (bytes) {  // constant sizes compile to one move
    case 8:
      return move(8);
    case 4:
      return move(4);
    case 2:
      return move(2);
    case 1:
      return move(1);
    default:
      return move(bytes);
  }
}

template <bool kWrite>
AccessResult Core::access(VirtAddr address, unsigned bytes, std::uint64_t& value) {
  assert(bytes >= 1 && bytes <= 8 && address.offset() + bytes <= kPageSize);
  for (;;) {
    TlbEntry* entry = tlb_.find(loaded_.asid, address.page());
    // A store through an entry whose page is not known to be dirty walks: the walk sets Dirty.
    if (entry == nullptr || (kWrite && !(entry->writable && entry->dirty))) [[unlikely]] {
      if (!resolve(address, kWrite)) return AccessResult::fault;
      continue;
    }
    const std::uint64_t tag = entry->tag;
    arbiter_.step(costs.tlb_hit, Access{ObjectKind::frame_bytes, kWrite, 0, entry->frame.value});
    if (entry->tag != tag) [[unlikely]]
      continue;  // an interrupt at this point flushed the entry: the instruction starts again
    ++counters.hits;
    if (entry->bytes != nullptr) [[likely]]
      transfer<kWrite>(entry->bytes + address.offset(), bytes, value);
    else
      access_undirected(address, entry->frame, bytes, kWrite, value);
    if (entry->ghost.word != 0) [[unlikely]]
      emit_marked(*entry, address, kWrite, value);
    return AccessResult::ok;
  }
}

}  // namespace secmmu
