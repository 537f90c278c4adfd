// The GRU's hardware: a TLB and nothing else. A miss stops the context and raises an interrupt; software
// reads the fault handle and drops a translation in. There is no table that the hardware could walk.
//
// Modelled: contexts with one control block and one fault handle each, a TLB shared by all contexts and
// tagged by ASID, purge handles. One rule of the hardware carries the driver's protocol: a purge between
// the reading of a fault handle and the drop-in turns the drop-in into a no-op.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "models/cpu/tlb.hpp"
#include "models/memory/memory_port.hpp"
#include "notifier/substrate/arbiter.hpp"

namespace secmmu {

struct GruConfig {
  std::uint64_t contexts = 16;
  std::uint64_t tlb_entries = 4096;
  std::uint64_t tlb_ways = 4;
  std::uint64_t purge_limit = 1024;   // pages; a purge of that many drops everything of the ASID
  std::uint64_t asids = 2097150;      // until they wrap and the whole TLB is flushed
  std::uint64_t interrupt_cpu = 0;    // the core that takes the miss interrupt
  Time hit{2'000};                    // an access whose translation is there, pipelined
  Time miss_detect{100'000};          // from the access to the interrupt's being raised
  Time interrupt_latency{500'000};
  Time fault_handle_read{150'000};    // reading the fault handle over the bus
  Time drop_in{300'000};              // writing the translation and restarting the instruction
  Time purge{2'000'000};              // a purge, however many pages
  Time notice{1'000'000};             // until the user thread sees that its control block wants the OS
};
const ParameterTable<GruConfig>& gru_table();

// Who an ASID stands for; only for traces.
struct GruOwner {
  std::string_view mm;
  std::uint32_t mm_id = 0;
};

class GruHardware : public sc_core::sc_module {
 public:
  // State of a context's fault handle.
  enum class Fault {
    idle,       // no miss
    interrupt,  // a miss; the interrupt has been or will be raised
    user,       // handed to the user thread: the control block asks it to call the OS
    exception,  // no translation can be had: the instruction ends with an error
  };
  struct FaultHandle {
    Fault state = Fault::idle;
    Vpn page;
    std::uint32_t asid = 0;
    bool write = false;
    bool read = false;     // software has read it and may drop in
    bool purged = false;   // since it was read
    std::uint64_t id = 0;  // of the fault, for traces
  };
  struct Context {
    bool loaded = false;
    std::uint32_t asid = 0;
    FaultHandle fault;
    std::string_view state = "idle";
  };

  GruHardware(const sc_core::sc_module_name& name, Arbiter& arbiter, const GruConfig& config);

  MemoryPort port;
  bool purge_defeats_drop_in = true;    // the rule above; false: a broken device
  bool full_purge_at_limit = true;      // false: a purge of purge_limit pages drops just those pages

  Context& context(unsigned number) { return contexts_[number]; }
  unsigned contexts() const { return static_cast<unsigned>(contexts_.size()); }

  // --- engine side ---
  // One access: true if a translation was there and allowed it. A point.
  bool access(Context& context, VirtAddr address, unsigned bytes, bool write, std::uint64_t& value) {
    arbiter_.step(config_.hit, {ObjectKind::device_entry, false, object_, address.page().value});
    TlbEntry* entry = tlb_.find(context.asid, address.page());
    if (entry == nullptr || (write && !entry->writable)) [[unlikely]]
      return false;
    std::uint8_t* at = entry->bytes + address.offset();
    if (entry->ghost.word != 0) [[unlikely]]
      marked(*entry, address, bytes, write, value);
    move(at, bytes, write, value);
    ++hits;
    return true;
  }
  void set_state(unsigned context, std::string_view state);

  // --- driver side; every call is a point ---
  // Drops a translation in for the fault that `fault` describes and restarts the instruction. Does nothing
  // but restart if a purge came since the handle was read.
  void drop_in(Context& context, Pfn frame, bool writable);
  // Synchronous: when it returns, the translations are gone. `id` for traces.
  void purge(std::uint32_t asid, PageRange pages);
  // The pages' translations go later, without anyone waiting: what a driver without the wait would do.
  void purge_at_once(std::uint32_t asid, PageRange pages);
  void purge_everything();
  // An ASID that no context will use again: its entries are out of reach. Costs nothing.
  void retire(std::uint32_t asid);
  void own(std::uint32_t asid, GruOwner owner) { owners_[asid] = owner; }
  GruOwner owner_of(std::uint32_t asid) const;

  std::uint64_t valid_entries() const { return tlb_.valid(); }
  std::uint32_t object() const { return object_; }
  const std::string& label() const { return label_; }
  std::uint64_t hits = 0;
  std::uint64_t drop_ins = 0;
  std::uint64_t drop_ins_defeated = 0;
  std::uint64_t purges = 0;
  void reset();

 private:
  static void move(std::uint8_t* at, unsigned bytes, bool write, std::uint64_t& value) {
    if (bytes == 8) [[likely]] {
      if (write) {
        __builtin_memcpy(at, &value, 8);
      } else {
        __builtin_memcpy(&value, at, 8);
      }
      return;
    }
    if (write) {
      __builtin_memcpy(at, &value, bytes);
    } else {
      value = 0;
      __builtin_memcpy(&value, at, bytes);
    }
  }
  void marked(const TlbEntry& entry, VirtAddr address, unsigned bytes, bool write, std::uint64_t value);
  void drop(TlbEntry& entry, std::string_view why);

  Arbiter& arbiter_;
  const GruConfig& config_;
  std::string label_;
  std::uint32_t object_;
  Tlb tlb_;
  std::vector<Context> contexts_;
  std::map<std::uint32_t, GruOwner> owners_;
};

}  // namespace secmmu
