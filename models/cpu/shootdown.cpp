#include "models/cpu/shootdown.hpp"

#include <algorithm>
#include <bit>
#include <cassert>
#include <deque>

#include <fmt/format.h>

namespace secmmu {

const ParameterTable<ShootdownCosts>& shootdown_cost_table() {
  static const char* kOrder = "order of magnitude on x86-64 servers";
  static const ParameterTable<ShootdownCosts> table =
      ParameterTable<ShootdownCosts>("cost")
          .duration("ipi_send", &ShootdownCosts::ipi_send, "Sending an interrupt to one other core.", kOrder)
          .duration("ipi_latency", &ShootdownCosts::ipi_latency, "From the sending of an interrupt to its arrival.",
                    kOrder)
          .duration("ipi_ack", &ShootdownCosts::ipi_ack, "From the last acknowledgement to the sender's seeing it.",
                    kOrder);
  return table;
}

const ParameterTable<ShootdownConfig>& shootdown_table() {
  static const ParameterTable<ShootdownConfig> table =
      ParameterTable<ShootdownConfig>("shootdown")
          .integer("single_page_ceiling", &ShootdownConfig::single_page_ceiling, 0, 1ULL << 36,
                   "Pages up to which a shootdown flushes page by page; above, it flushes the whole address space.",
                   "Linux, arch/x86/mm/tlb.c: tlb_single_page_flush_ceiling");
  return table;
}

struct Shootdown::Request final : Waitable {
  explicit Request(const std::vector<Core*>& all_cores, std::uint64_t object) : cores(all_cores), object_id(object) {}

  const std::vector<Core*>& cores;
  const std::uint64_t object_id;
  bool in_use = false;
  std::uint64_t id = 0;
  std::uint32_t asid = 0;
  PageRange pages;
  Task* sender = nullptr;
  bool waiting = false;       // the sender is in wait_for
  std::uint64_t pending = 0;  // bit mask of those who have not acknowledged
  Time seen_at;               // when the sender notices the last acknowledgement

  std::string describe() const override {
    std::string names;
    for (std::uint64_t left = pending; left != 0; left &= left - 1)
      names += fmt::format("{}cpu{}", names.empty() ? "" : ", ", std::countr_zero(left));
    return fmt::format("the acknowledgement of TLB shootdown {} by {}", id, names);
  }
  const Task* holder() const override {
    return pending == 0 ? nullptr : cores[static_cast<unsigned>(std::countr_zero(pending))]->processor().running();
  }
};

// What a core has been asked to flush: one request for each of its pending interrupts, in the same order.
struct Shootdown::Inbox {
  Interrupt interrupt;
  std::deque<Request*> requests;
};

Shootdown::Shootdown(Arbiter& arbiter, std::vector<Core*> cores) : arbiter_(arbiter), cores_(std::move(cores)) {
  assert(cores_.size() <= 64);
  for (Core* core : cores_) {
    assert(core->number() == inboxes_.size());
    inboxes_.push_back(std::make_unique<Inbox>());
    Inbox& inbox = *inboxes_.back();
    inbox.interrupt = {"shootdown", [this, core, &inbox] { serve(*core, inbox); }};
  }
}

Shootdown::~Shootdown() = default;

Shootdown::Request& Shootdown::new_request() {
  auto idle = std::find_if(requests_.begin(), requests_.end(), [](const auto& request) { return !request->in_use; });
  if (idle == requests_.end())
    idle = requests_.insert(idle, std::make_unique<Request>(cores_, arbiter_.new_object_id()));
  (*idle)->in_use = true;
  return **idle;
}

void Shootdown::flush(std::uint32_t asid, PageRange pages, std::uint64_t mask) {
  if (pages.empty()) return;
  if (pages.pages() > config.single_page_ceiling) pages = kWholeSpace;
  Task& self = arbiter_.current();
  const int here = self.processor_number();
  const std::uint64_t own = here < 0 ? 0 : 1ULL << here;
  const std::uint64_t everyone = cores_.size() == 64 ? UINT64_MAX : (1ULL << cores_.size()) - 1;
  const std::uint64_t targets = mask & everyone & ~own;

  ++self.context().preempt_off;
  Request* request = nullptr;
  if (targets != 0) {
    request = &new_request();
    request->id = next_id_++;
    request->asid = asid;
    request->pages = pages;
    request->sender = &self;
    request->waiting = false;
    request->pending = targets;
    arbiter_.bus().emit(ShootdownSent{request->id, here, asid, pages, targets});
    for (std::uint64_t left = targets; left != 0; left &= left - 1) {
      const auto target = static_cast<unsigned>(std::countr_zero(left));
      arbiter_.step(costs.ipi_send, writes(ObjectKind::interrupt, target));
      inboxes_[target]->requests.push_back(request);
      cores_[target]->processor().post(inboxes_[target]->interrupt, costs.ipi_latency);
    }
  }
  if ((mask & own) != 0) cores_[static_cast<unsigned>(here)]->flush(asid, pages);
  if (request != nullptr) {
    arbiter_.step({}, reads(ObjectKind::wait_queue, 0, request->object_id));
    while (request->pending != 0) {
      request->waiting = true;
      arbiter_.wait_for(*request, false);
    }
    // The others were faster than this core's own flush.
    if (arbiter_.now() < request->seen_at) arbiter_.step(request->seen_at - arbiter_.now());
    arbiter_.bus().emit(ShootdownDone{request->id, here});
    request->in_use = false;
  }
  --self.context().preempt_off;
}

// In the interrupt, on the target.
void Shootdown::serve(Core& core, Inbox& inbox) {
  ++core.counters.shootdowns;
  Request& request = *inbox.requests.front();
  inbox.requests.pop_front();
  core.flush(request.asid, request.pages);
  arbiter_.step({}, writes(ObjectKind::wait_queue, 0, request.object_id));
  arbiter_.bus().emit(ShootdownAcked{request.id, static_cast<int>(core.number())});
  request.pending &= ~(1ULL << core.number());
  if (request.pending != 0) return;
  request.seen_at = arbiter_.now() + costs.ipi_ack;
  if (request.waiting) arbiter_.wake(*request.sender, costs.ipi_ack);
}

void Shootdown::reset() {
  for (const auto& request : requests_) request->in_use = false;
  for (const auto& inbox : inboxes_) inbox->requests.clear();
  next_id_ = 1;
}

}  // namespace secmmu
