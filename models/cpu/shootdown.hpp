// TLB shootdown: the core that changed a page table interrupts every other core that may cache the
// address space, flushes itself meanwhile, and waits until each has acknowledged. The waiter spins with
// interrupts on, so two cores that shoot at each other both go on. Rule modelled: x86's
// flush_tlb_mm_range with smp_call_function_many_cond(wait).
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "models/cpu/core.hpp"

namespace secmmu {

struct ShootdownCosts {
  Time ipi_send{200'000};     // per target, at the sender
  Time ipi_latency{500'000};  // from sending to arrival
  Time ipi_ack{100'000};      // from the last acknowledgement to the sender's seeing it
};
const ParameterTable<ShootdownCosts>& shootdown_cost_table();

struct ShootdownConfig {
  std::uint64_t single_page_ceiling = 33;  // above so many pages the whole address space is flushed
};
const ParameterTable<ShootdownConfig>& shootdown_table();

class Shootdown {
 public:
  Shootdown(Arbiter& arbiter, std::vector<Core*> cores);  // cores[n] is core n; at most 64
  ~Shootdown();
  Shootdown(const Shootdown&) = delete;
  Shootdown& operator=(const Shootdown&) = delete;

  ShootdownCosts costs;
  ShootdownConfig config;
  // Called by a task on a core, with interrupts on: a core that waits with interrupts off deadlocks with
  // whoever shoots at it. `mask`: bit n set if core n may hold entries of the asid; the caller's own bit asks
  // for its own flush. The events tell the range that is flushed, which is everything above the ceiling.
  void flush(std::uint32_t asid, PageRange pages, std::uint64_t mask);
  void reset();

 private:
  struct Request;
  struct Inbox;
  Request& new_request();
  void serve(Core& core, Inbox& inbox);

  Arbiter& arbiter_;
  std::vector<Core*> cores_;
  // Requests live here and not on the sender's stack: a reset unwinds the sender at any point.
  std::vector<std::unique_ptr<Request>> requests_;
  std::vector<std::unique_ptr<Inbox>> inboxes_;  // by core
  std::uint64_t next_id_ = 1;
};

}  // namespace secmmu
