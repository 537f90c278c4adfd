#include "notifier/substrate/task.hpp"

#include <fmt/format.h>

#include "notifier/substrate/arbiter.hpp"
#include "notifier/substrate/sync/events.hpp"
#include "notifier/substrate/sync/lock.hpp"

namespace secmmu {

Task::Task(Arbiter& arbiter, std::string name, unsigned id, TaskKind kind, Processor* processor)
    : arbiter_(arbiter), name_(std::move(name)), id_(id), kind_(kind), processor_(processor),
      processor_number_(processor == nullptr ? -1 : static_cast<int>(processor->number())) {}

std::string Task::why_not_sleep() const {
  std::string why;
  const auto add = [&why](std::string reason) {
    if (!why.empty()) why += "; ";
    why += reason;
  };
  if (context_.in_interrupt > 0) add("it runs in an interrupt");
  for (const Lock* lock : context_.locks)
    if (lock->kind() == "spinlock") add(fmt::format("it holds spinlock {}", lock->name()));
  if (context_.rcu > 0) add("it is inside an RCU read section");
  if (context_.non_blockable > 0) add("it was told not to block");
  if (why.empty() && context_.preempt_off > 0) add("preemption is off");
  if (why.empty() && context_.interrupts_off > 0) add("interrupts are off");
  return why;
}

// The outer loop never returns: a thread that has returned ignores a reset without a word.
void Task::thread() {
  for (;;) {
    sc_core::wait(resume_);
    arbiter_.acquire_core(*this);
    arbiter_.bus().emit(TaskStarted{name_});
    try {
      body_();
    } catch (const sc_core::sc_unwind_exception&) {
      throw;  // a reset
    } catch (const std::exception&) {
      // An exception may not leave a SystemC thread: it ends the run, and the director gets it. It may be a
      // listener's that could not write: nobody hears of this run any more.
      arbiter_.failure_ = std::current_exception();
      arbiter_.bus().clear_listeners();
      arbiter_.request_stop();
    }
    arbiter_.finished(*this);
  }
}

}  // namespace secmmu
