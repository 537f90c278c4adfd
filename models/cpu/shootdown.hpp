// TLB shootdown: the core that changed a page table flushes itself and interrupts every other core that
// may cache the address space, and waits until each has acknowledged. The waiter spins with interrupts
// on, so two cores that shoot at each other both go on. Rule modelled: x86's flush_tlb_mm_range with
// smp_call_function_many_cond(wait).
#pragma once

#include <cstdint>
#include <vector>

#include "models/cpu/core.hpp"

namespace secmmu {

struct ShootdownCosts {
  Time ipi_send{200'000};     // per target, at the sender
  Time ipi_latency{500'000};  // from sending to arrival
  Time ipi_ack{100'000};      // from the last acknowledgement to the sender's seeing it
};
const ParameterTable<ShootdownCosts>& shootdown_cost_table();

class Shootdown {
 public:
  Shootdown(Arbiter& arbiter, std::vector<Core*> cores);
  ShootdownCosts costs;
  // Called by a task on a core. `mask`: bit n set if core n may hold entries of the asid.
  void flush(std::uint32_t asid, PageRange pages, std::uint64_t mask);
  void reset();

 private:
  struct Request;
  Arbiter& arbiter_;
  std::vector<Core*> cores_;
  std::uint64_t next_id_ = 1;
};

}  // namespace secmmu
