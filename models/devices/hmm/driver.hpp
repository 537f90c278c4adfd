// The driver of an HMM mirror: kernel code. One interval subscription for each address space, over all of it or some
// pages; one mutex, under which the sequence is stored and asked and the device's page table changes. A fault:
//
//   read_begin      waits while an invalidation of the interval is open
//   range_fault     under mmap_lock for reading; faults what is missing
//   the mutex       read_retry: begin again if an invalidation came since; else write the entries
//
// Rules modelled: those of a driver on hmm_range_fault and mmu_interval_notifier (v5.5 on), each with a name in
// hmm_protocol(). A fault is a user of the address space while it lasts, so none can end under it; whoever finds no
// user any more gets ESRCH. Nothing keeps a reference of a page.
//
// Lifetime. The end of an address space invalidates everything (event release), and no fault can begin after it: from
// there on the device holds nothing. The subscription itself goes when the process's file of the device is closed.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "models/devices/device.hpp"
#include "models/devices/hmm/hardware.hpp"
#include "models/mm/range_fault.hpp"

namespace secmmu {

const std::vector<ProtocolRule>& hmm_protocol();
const std::vector<CounterRow>& hmm_counter_rows();

// True for each rule that is kept. One row per rule in hmm_protocol().
struct HmmProtocol {
  bool read_begin_before_walk = true;
  bool wait_outside_lock = true;
  bool fault_for_write = true;
  bool retry_check = true;
  bool retry_under_lock = true;
  bool fill_under_lock = true;
  bool write_only_if_pte_writable = true;
  bool set_sequence = true;
  bool invalidate_under_lock = true;
  bool refuse_when_not_blockable = true;
  bool drop_whole_range = true;
  bool empty_before_remove = true;
  bool dirty_to_page = true;

  // False if there is no such rule.
  bool switch_off(std::string_view rule);
};

class HmmDevice final : public Device {
  const HmmConfig config_;  // before the hardware, which refers to it

 public:
  HmmDevice(std::string name, Arbiter& arbiter, MmSystem& mms, HmmConfig config);
  ~HmmDevice() override;

  HmmHardware hardware;

  const std::string& name() const override { return name_; }
  unsigned contexts() const override { return hardware.contexts(); }
  // EEXIST: it mirrors this address space already. Throws AbsentInKernel before v5.5.
  Errno attach(Mm& mm) override { return attach_pages(mm, kWholeSpace); }
  Errno attach_pages(Mm& mm, PageRange pages) override;
  void detach(Mm& mm) override;
  // Beside the errors of every device: eperm, a write to a VMA that forbids it; ebusy, the timeout.
  Errno access(unsigned context, Mm& mm, VirtAddr address, unsigned bytes, bool write, std::uint64_t& value) override;
  void set_without(const std::vector<std::string>& rules) override;
  std::vector<CounterRow> counters() const override;
  void reset() override;

 private:
  struct Mirror;  // per address space
  struct Miss {
    Vpn page;
    bool write;
    std::uint64_t id;
  };

  Mirror* mirror_of(const Mm& mm);
  void close(Mirror& mirror);
  void drop(Mirror& mirror, PageRange pages);
  bool invalidate(Mirror& mirror, const InvalidateRange& range, std::uint64_t sequence);
  Errno fault(Mirror& mirror, const Miss& miss);
  Errno fault_as_user(Mirror& mirror, const Miss& miss);
  std::uint64_t begin(Mirror& mirror);
  Errno look(Mirror& mirror, const Miss& miss, RangeFault& range);
  Errno fill(Mirror& mirror, const RangeFault& range);
  PageRange block_around(const Mirror& mirror, Vpn page) const;
  void retried(const Mirror& mirror, const Miss& miss, std::string_view why);

  std::string name_;
  Arbiter& arbiter_;
  MmSystem& mms_;
  HmmProtocol protocol_;
  std::vector<std::unique_ptr<Mirror>> mirrors_;
  std::uint64_t next_fault_ = 1;
  struct Counters {
    std::uint64_t faults = 0;
    std::uint64_t retries = 0;
    std::uint64_t walks_interrupted = 0;
    std::uint64_t errors = 0;
    std::uint64_t timeouts = 0;
    std::uint64_t invalidations = 0;
    std::uint64_t refused = 0;
  } counters_;
};

}  // namespace secmmu
