#include "notifier/substrate/processor.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "notifier/substrate/arbiter.hpp"

namespace secmmu {

Processor::Processor(Arbiter& arbiter, unsigned number) : arbiter_(arbiter), number_(number) {}

Time Processor::earliest_due() const {
  Time earliest = kForever;
  for (const Pending& pending : pending_) earliest = std::min(earliest, pending.due);
  return earliest;
}

void Processor::post(const Interrupt& interrupt, Time latency) {
  const Time due = arbiter_.now() + latency;
  pending_.push_back({due, &interrupt});
  if (running_ == nullptr) {
    // Nobody runs here: the idle task takes the core and serves.
    running_ = idle_;
    idle_->has_core_ = true;
    idle_->waiting_on_ = nullptr;
    arbiter_.queue_push(*idle_, due);
  } else if (running_ == &arbiter_.current()) {
    // An interrupt to oneself is seen at the next point.
  } else if (arbiter_.takes_interrupts(*running_)) {
    const Time ready = running_->heap_index_ == SIZE_MAX ? due : std::min(due, running_->ready_at_);
    arbiter_.queue_push(*running_, ready);
  }
  arbiter_.refresh_horizon();
}

std::string Processor::describe() const {
  if (running_ == nullptr) return fmt::format("core cpu{}", number_);
  return fmt::format("core cpu{} (on which {} runs)", number_, running_->name());
}

void Processor::reset() {
  running_ = nullptr;
  last_ = nullptr;
  wanting_.clear();
  pending_.clear();
}

}  // namespace secmmu
