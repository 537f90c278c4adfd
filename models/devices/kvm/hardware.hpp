// What the processor has for virtual machines: virtual CPUs, each with a TLB of its own and a walker that refills it
// from the table of the guest that it runs. It knows no notifier and no process: whoever changes a table sees to it
// that the TLBs are flushed.
//
// A virtual CPU stands for a core that does nothing else: its accesses, and the driver's code that resolves what they
// miss, run in the engine's task. The guest's own page tables are not modelled: a guest uses physical addresses.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "models/cpu/page_walker.hpp"
#include "models/cpu/tlb.hpp"
#include "models/devices/kvm/hardware_table.hpp"
#include "models/memory/memory_port.hpp"
#include "notifier/substrate/arbiter.hpp"

namespace secmmu {

struct KvmConfig {
  std::uint64_t contexts = 4;
  std::uint64_t tlb_entries = 64;  // of each virtual CPU; 0: it has none, and every access walks
  std::uint64_t tlb_ways = 4;
  std::string largest_entry = "4K";
  bool map_writable_on_read = true;
  std::string change_pte = "kvm";  // kvm | always
  std::uint64_t slot_at = 0;       // bytes
  std::uint64_t slot_pages = 0;    // 0: the whole address space
  std::uint64_t guest_views = 1;
  Time hit{2'000};           // an access whose translation is there
  Time walk_level{20'000};   // one level of the table
  Time walk_update{20'000};  // the locked update of Accessed and Dirty
  Time exit{1'000'000};      // from the guest into the driver's fault handler
  Time enter{500'000};       // and back
  Time slot_lookup{50'000};
  Time prepare{200'000};  // from the process's page to mmu_lock
  Time map{150'000};      // writing an entry
  Time zap_page{40'000};  // taking one out
  Time kick{1'500'000};   // interrupting virtual CPUs until each has left the guest and flushed its TLB
};
const ParameterTable<KvmConfig>& kvm_table();

class KvmHardware : public sc_core::sc_module {
 public:
  KvmHardware(const sc_core::sc_module_name& name, Arbiter& arbiter, const KvmConfig& config);

  MemoryPort port;

  unsigned contexts() const { return static_cast<unsigned>(cpus_.size()); }

  // --- guest side ---
  // One access by this virtual CPU, at an address of the guest: true if TLB or table had a translation that allows
  // it. A point, and those of a walk.
  bool access(unsigned cpu, ShadowTable& table, VirtAddr guest, unsigned bytes, bool write, std::uint64_t& value);
  void set_state(unsigned cpu, std::string_view state);

  // --- driver side; points ---
  // Interrupts every virtual CPU: when it returns, none of them has a translation of that table.
  void flush(const ShadowTable& table);
  // Returns when no virtual CPU is inside a walk of that table.
  void wait_for_walks(const ShadowTable& table);

  std::uint64_t valid_entries() const;  // of all TLBs
  std::uint32_t object() const { return object_; }
  const std::string& label() const { return label_; }
  std::uint64_t hits = 0;     // accesses done
  std::uint64_t refills = 0;  // TLB entries made by walkers
  std::uint64_t flushes = 0;
  std::uint64_t walks() const { return walker_.walks(); }
  void reset();

 private:
  struct VirtualCpu {
    std::unique_ptr<Tlb> tlb;
    std::vector<const ShadowTable*> tables;  // of each of its entries
    std::vector<Vpn> hosts;                  // the page of the process, for what is told
    const ShadowTable* walking = nullptr;
    std::string_view state = "idle";
  };
  bool walk(VirtualCpu& cpu, ShadowTable& table, VirtAddr guest, unsigned bytes, bool write, std::uint64_t& value);
  void refill(VirtualCpu& cpu, const ShadowTable& table, Vpn guest, const WalkResult& walk, std::uint8_t* bytes);
  void drop(VirtualCpu& cpu, TlbEntry& entry, std::string_view why);
  // What an access goes through: an entry of a TLB, or of the table itself.
  struct Used {
    Pfn frame;
    Vpn host;
    const Ghost* ghost;
    std::uint8_t* bytes;  // of the frame
  };
  void use(const ShadowTable& table, const Used& used, VirtAddr guest, unsigned bytes, bool write,
           std::uint64_t& value);

  Arbiter& arbiter_;
  const KvmConfig& config_;
  std::string label_;
  std::uint32_t object_;
  PageWalker walker_;
  std::vector<VirtualCpu> cpus_;
};

}  // namespace secmmu
