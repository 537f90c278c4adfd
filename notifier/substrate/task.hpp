// A task is whoever executes: a CPU thread, a device engine, a kernel thread, the idle loop of a core. A
// callback runs in its caller's task, as in Linux. The task knows what forbids it to sleep: held
// spinlocks, RCU sections, interrupts, non-blockable sections.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <systemc>

#include "notifier/substrate/access.hpp"
#include "notifier/substrate/time.hpp"

namespace secmmu {

class Arbiter;
class Lock;
class Processor;
class SrcuDomain;
class Task;

// Something that a task can wait for. It can say in words what it is and who stands in the way.
class Waitable {
 public:
  virtual std::string describe() const = 0;             // "mutex gru0.gms (held by unmapper since 1.2us)"
  virtual const Task* holder() const { return nullptr; }  // whom the waiter waits for, if it is one task

 protected:
  ~Waitable() = default;
};

enum class TaskKind {
  actor,    // must finish: a run in which it cannot is a deadlock
  service,  // waits for work for ever: idle loops, workers, engines
};

enum class TaskState { dormant, ready, running, waiting, finished };

class Task {
 public:
  using Body = std::function<void()>;

  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;

  const std::string& name() const { return name_; }
  unsigned id() const { return id_; }  // ties of time are broken by the lower id
  TaskKind kind() const { return kind_; }
  TaskState state() const { return state_; }
  Processor* processor() const { return processor_; }
  int processor_number() const { return processor_number_; }  // -1: runs on no core

  const Waitable* waiting_on() const { return waiting_on_; }
  Time waiting_since() const { return waiting_since_; }

  // --- what forbids to sleep; changed by the primitives in sync/ ---
  struct Context {
    unsigned preempt_off = 0;     // spinlocks and explicit sections
    unsigned interrupts_off = 0;  // an interrupt stays pending while > 0
    unsigned in_interrupt = 0;
    unsigned non_blockable = 0;   // non_block_start/end: a callback told that it may not block
    unsigned rcu = 0;             // RCU read sections (SRCU ones may sleep)
    std::vector<Lock*> locks;     // in order of acquisition
    std::vector<SrcuDomain*> srcu;
  };
  Context& context() { return context_; }
  const Context& context() const { return context_; }
  bool may_sleep() const {
    return context_.preempt_off == 0 && context_.interrupts_off == 0 && context_.in_interrupt == 0 &&
           context_.non_blockable == 0 && context_.rcu == 0;
  }
  std::string why_not_sleep() const;  // "holds spinlock x; inside an RCU read section"

  // The access that the task announced at its current scheduling point.
  const Access& announced() const { return announced_; }
  Time ready_at() const { return ready_at_; }

  // Whatever the layer above wants to find again from the task that runs (the address space whose user
  // code it executes, for example). Reset to nullptr with the task.
  void* user = nullptr;

 private:
  friend class Arbiter;
  friend class Processor;
  Task(Arbiter& arbiter, std::string name, unsigned id, TaskKind kind, Processor* processor);
  void thread();

  Arbiter& arbiter_;
  std::string name_;
  unsigned id_;
  TaskKind kind_;
  Processor* processor_;
  int processor_number_;
  TaskState state_ = TaskState::dormant;
  Body body_;
  Context context_;
  Access announced_;
  const Waitable* waiting_on_ = nullptr;
  Time waiting_since_;
  bool granted_ = false;    // what it waits for is here
  bool has_core_ = false;
  Time ready_at_;
  std::size_t heap_index_ = SIZE_MAX;  // SIZE_MAX: not in the queue of ready tasks
  sc_core::sc_event resume_;
  sc_core::sc_process_handle process_;
};

}  // namespace secmmu
