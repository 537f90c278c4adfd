// The GRU's driver: kernel code. One subscription per address space (its gms), with a count of open
// ranges and a wait queue; contexts that are loaded into the hardware and unloaded; a miss handler for the
// interrupt, which may not sleep, and one for the user thread, which may.
//
// Lifetime. The driver has no release callback (v5.4 on; before, it only noted that it was called). A
// context lives until its mapping is closed, and in an exit that is after the pages of the address space
// were freed (remove_vma follows the unmapping). So this device's promise ends there: a context that is
// still running while its process exits can reach freed frames between the two. docs/gru.md says more.
#pragma once

#include <deque>
#include <memory>
#include <string>

#include "models/devices/device.hpp"
#include "models/devices/gru/hardware.hpp"
#include "notifier/list_subscription.hpp"
#include "notifier/substrate/sync/mutex.hpp"
#include "notifier/substrate/sync/spinlock.hpp"
#include "notifier/substrate/sync/wait_queue.hpp"

namespace secmmu {

const std::vector<ProtocolRule>& gru_protocol();
const std::vector<CounterRow>& gru_counter_rows();

// True for each rule that is kept. One row per rule in gru_protocol().
struct GruProtocol {
  bool range_active_count = true;
  bool range_active_check = true;
  bool wait_for_range_end = true;
  bool wake_at_range_end = true;
  bool purge_at_start = true;
  bool synchronous_purge = true;
  bool purge_defeats_drop_in = true;
  bool full_purge_at_limit = true;
  bool write_check = true;
  bool lazy_asid_flush = true;
  bool interrupt_trylock = true;

  // False if there is no such rule.
  bool switch_off(std::string_view rule);
};

class GruDevice final : public Device {
  const GruConfig config_;  // before the hardware, which refers to it

 public:
  GruDevice(std::string name, Arbiter& arbiter, MmSystem& mms, std::vector<Processor*> processors, GruConfig config);
  ~GruDevice() override;

  GruHardware hardware;

  const std::string& name() const override { return name_; }
  unsigned contexts() const override { return hardware.contexts(); }
  Errno attach(Mm& mm) override;
  void detach(Mm& mm) override;
  Errno access(unsigned context, Mm& mm, VirtAddr address, unsigned bytes, bool write, std::uint64_t& value) override;
  bool has_user_thread() const override { return true; }
  void user_thread(unsigned context, Mm& mm, Task& engine, std::function<void()> program) override;
  void unload(unsigned context, Mm& mm) override;
  void set_without(const std::vector<std::string>& rules) override;
  std::vector<CounterRow> counters() const override;
  void reset() override;

 private:
  struct Gms;      // per address space
  struct Thread;   // per context: the driver's thread state
  friend struct Gms;

  Gms* registered(const Mm& mm);
  bool open(Thread& thread, const Mm& mm);
  void load(Thread& thread);
  void assign_asid(Gms& gms);
  void next_asids();
  void flush_range(Gms& gms, PageRange pages);
  Errno fault(Thread& thread, Vpn page, bool write);  // engine side: waits until the miss is dealt with
  void interrupt();
  enum class DropIn { done, range_active, again, failed };
  DropIn try_drop_in(Thread& thread, bool atomic);
  void user_call(Thread& thread, Mm& mm);
  void hand_to_user(Thread& thread);
  void close_mapping(Gms& gms);
  void purge_later();

  std::string name_;
  Arbiter& arbiter_;
  MmSystem& mms_;
  std::vector<Processor*> processors_;
  GruProtocol protocol_;
  std::vector<std::unique_ptr<Gms>> gms_;
  std::vector<std::unique_ptr<Thread>> threads_;
  Interrupt miss_interrupt_;
  Task& late_purges_;  // carries out purges nobody waited for; used only without synchronous-purge
  std::unique_ptr<WaitQueue> late_queue_;
  std::deque<std::pair<std::uint32_t, PageRange>> late_;
  std::uint32_t next_asid_ = 1;
  std::uint32_t asid_limit_ = static_cast<std::uint32_t>(config_.asids) + 1;  // a flush comes before this one
  std::uint32_t asid_generation_ = 1;
  std::uint64_t next_fault_ = 1;
  struct Counters {
    std::uint64_t faults = 0;
    std::uint64_t interrupts = 0;
    std::uint64_t user_calls = 0;
    std::uint64_t retries = 0;
    std::uint64_t blocked_by_range = 0;
    std::uint64_t trylock_failed = 0;
    std::uint64_t errors = 0;
    std::uint64_t asid_wraps = 0;
    std::uint64_t asids_retired = 0;
  } counters_;
};

}  // namespace secmmu
