// What the substrate must know of a core: which task runs on it, which tasks want it, and which
// interrupts wait. One task runs at a time; another runs when that one sleeps (no time slices). An
// interrupt runs on top of the running task at its next point with interrupts on, in a context of its
// own that may not sleep; a core on which nothing runs serves it from its idle task.
#pragma once

#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "notifier/substrate/task.hpp"

namespace secmmu {

struct Interrupt {
  std::string name;               // "shootdown", "gru0.miss"
  std::function<void()> handler;  // runs in the interrupted task
};

class Processor final : public Waitable {
 public:
  Processor(Arbiter& arbiter, unsigned number);

  unsigned number() const { return number_; }
  const Task* running() const { return running_; }
  bool idle() const { return running_ == nullptr || running_ == idle_; }

  // Raises an interrupt that reaches the core `latency` from now. The same interrupt may be pending
  // several times. `interrupt` must outlive its service.
  void post(const Interrupt& interrupt, Time latency);

  // Called in the task that has just got the core when another task had it before: to load its mm.
  void on_switch(std::function<void(Task&)> hook) { switched_ = std::move(hook); }

  std::string describe() const override;
  const Task* holder() const override { return running_; }

 private:
  friend class Arbiter;
  struct Pending {
    Time due;
    const Interrupt* interrupt;
  };
  Time earliest_due() const;
  void reset();

  Arbiter& arbiter_;
  unsigned number_;
  Task* idle_ = nullptr;
  Task* running_ = nullptr;
  Task* last_ = nullptr;
  std::deque<Task*> wanting_;
  std::vector<Pending> pending_;
  std::function<void(Task&)> switched_;
};

}  // namespace secmmu
