// SystemC hides sc_spawn behind this.
#define SC_INCLUDE_DYNAMIC_PROCESSES
#include "notifier/substrate/arbiter.hpp"

#include <algorithm>
#include <utility>

#include "notifier/substrate/sync/events.hpp"
#include "notifier/substrate/sync/lock_validator.hpp"

namespace secmmu {

const ParameterTable<SubstrateCosts>& substrate_cost_table() {
  static const char* kOrder = "order of magnitude on x86-64 servers";
  static const ParameterTable<SubstrateCosts> table =
      ParameterTable<SubstrateCosts>("cost")
          .duration("lock_acquire", &SubstrateCosts::lock_acquire, "Taking a free lock.", kOrder)
          .duration("lock_contended", &SubstrateCosts::lock_contended,
                    "From the release of a lock to its next spinning owner.", kOrder)
          .duration("lock_release", &SubstrateCosts::lock_release, "Giving a lock back.", kOrder)
          .duration("count_change", &SubstrateCosts::count_change, "An atomic change of a reference count.", kOrder)
          .duration("wake", &SubstrateCosts::wake, "From a wake-up to the sleeper's being ready to run.", kOrder)
          .duration("context_switch", &SubstrateCosts::context_switch, "From one task of a core to another.", kOrder)
          .duration("interrupt_entry", &SubstrateCosts::interrupt_entry, "From arrival at the core to its handler.",
                    kOrder)
          .duration("interrupt_exit", &SubstrateCosts::interrupt_exit, "From the handler back to the task.", kOrder)
          .duration("read_section", &SubstrateCosts::read_section, "Entering or leaving an RCU or SRCU read section.",
                    kOrder)
          .duration("grace_period", &SubstrateCosts::grace_period,
                    "From the last old reader's leaving to the end of the grace period.",
                    "shortened from Linux's milliseconds, so that traces stay readable");
  return table;
}

Arbiter::Arbiter(const sc_core::sc_module_name& name)
    : sc_module(name), validator_(std::make_unique<LockValidator>(*this)) {
  sc_core::sc_spawn_options options;
  options.set_stack_size(1 << 20);  // the director runs whole test suites and writes every output
  sc_core::sc_spawn([this] { run_director(); }, "director", &options);
  bus_.set_clock([this] {
    Stamp stamp;
    stamp.at = in_setup_ ? Time{} : now_;
    if (current_ != nullptr) {
      stamp.task = current_->id();
      stamp.processor = current_->processor_number();
      stamp.in_interrupt = current_->context().in_interrupt > 0;
    }
    return stamp;
  });
}

Arbiter::~Arbiter() = default;

Task& Arbiter::add_task(std::string name, TaskKind kind, Processor* processor) {
  const auto id = static_cast<unsigned>(tasks_.size());
  tasks_.push_back(std::unique_ptr<Task>(new Task(*this, std::move(name), id, kind, processor)));
  Task* task = tasks_.back().get();
  sc_core::sc_spawn_options options;
  options.set_stack_size(256 << 10);
  task->process_ = sc_core::sc_spawn([task] { task->thread(); }, sc_core::sc_gen_unique_name("task"), &options);
  return *task;
}

Processor& Arbiter::add_processor() {
  const auto number = static_cast<unsigned>(processors_.size());
  processors_.push_back(std::make_unique<Processor>(*this, number));
  Processor& processor = *processors_.back();
  processor.idle_ = &add_task("idle/" + std::to_string(number), TaskKind::service, &processor);
  return processor;
}

void Arbiter::run_director() {
  // Let every task reach its first wait before anybody is started.
  sc_core::wait(sc_core::SC_ZERO_TIME);
  try {
    if (director_) director_();
  } catch (const std::exception&) {
    failure_ = std::current_exception();
  }
  sc_core::sc_stop();
  for (;;) sc_core::wait(director_event_);
}

void Arbiter::rethrow() {
  if (failure_) std::rethrow_exception(failure_);
}

void Arbiter::set_strategy(Strategy* strategy) { strategy_ = strategy; }

void Arbiter::set_stretch(unsigned percent, std::uint64_t seed) {
  stretch_percent_ = percent;
  stretch_seed_ = seed;
  stretch_.clear();
  for (const auto& task : tasks_) stretch_.emplace_back(seed, "stretch:" + task->name());
}

RunEnd Arbiter::run(RunLimits limits) {
  time_limit_ = limits.time;
  step_limit_ = limits.steps == UINT64_MAX ? UINT64_MAX : steps_ + limits.steps;
  stop_requested_ = false;
  end_ = RunEnd::quiet;
  Task* first = next_task();
  if (first != nullptr) {
    resume(*first);
    sc_core::wait(director_event_);
  }
  current_ = nullptr;
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
  return end_;
}

void Arbiter::reset() {
  for (const auto& task : tasks_) {
    if (task->state_ != TaskState::dormant && task->state_ != TaskState::finished) task->process_.reset();
    task->state_ = TaskState::dormant;
    task->context_ = {};
    task->announced_ = {};
    task->waiting_on_ = nullptr;
    task->granted_ = false;
    task->has_core_ = false;
    task->heap_index_ = SIZE_MAX;
    task->body_ = nullptr;
    task->user = nullptr;
  }
  queue_.clear();
  for (const auto& processor : processors_) processor->reset();
  validator_->reset();
  bus_.reset();
  // Objects that come and go with runs get the same numbers in every run.
  if (elaborated_objects_ == 0) elaborated_objects_ = last_object_id_;
  last_object_id_ = elaborated_objects_;
  current_ = nullptr;
  in_setup_ = false;
  now_ = {};
  steps_ = 0;
  base_ps_ = sc_core::sc_time_stamp().value();
  set_stretch(stretch_percent_, stretch_seed_);
  // The idle tasks wait for interrupts for ever.
  for (const auto& processor : processors_) {
    Task& idle = *processor->idle_;
    idle.body_ = [this, &idle] {
      for (;;) {
        Processor& mine = *idle.processor_;
        while (!mine.pending_.empty()) pass_until(idle, std::max(now_, mine.earliest_due()));
        release_core(idle);
        idle.state_ = TaskState::waiting;
        switch_away(idle);
      }
    };
  }
}

void Arbiter::end_setup() {
  sc_assert(queue_.empty());
  in_setup_ = false;
  now_ = {};
  steps_ = 0;
  base_ps_ = sc_core::sc_time_stamp().value();
  for (const auto& task : tasks_) task->waiting_since_ = {};
}

void Arbiter::start(Task& task, Task::Body body, Time at) {
  sc_assert(task.state_ == TaskState::dormant || task.state_ == TaskState::finished);
  task.body_ = std::move(body);
  queue_push(task, std::max(at, now_));
  refresh_horizon();
}

// --- the queue of ready tasks -------------------------------------------------------------------

bool Arbiter::earlier(const Task& a, const Task& b) {
  return a.ready_at_ != b.ready_at_ ? a.ready_at_ < b.ready_at_ : a.id_ < b.id_;
}

void Arbiter::queue_place(std::size_t index, Task* task) {
  queue_[index] = task;
  task->heap_index_ = index;
}

void Arbiter::queue_up(std::size_t index) {
  Task* task = queue_[index];
  while (index > 0) {
    const std::size_t parent = (index - 1) / 2;
    if (!earlier(*task, *queue_[parent])) break;
    queue_place(index, queue_[parent]);
    index = parent;
  }
  queue_place(index, task);
}

void Arbiter::queue_down(std::size_t index) {
  Task* task = queue_[index];
  for (;;) {
    std::size_t child = 2 * index + 1;
    if (child >= queue_.size()) break;
    if (child + 1 < queue_.size() && earlier(*queue_[child + 1], *queue_[child])) ++child;
    if (!earlier(*queue_[child], *task)) break;
    queue_place(index, queue_[child]);
    index = child;
  }
  queue_place(index, task);
}

// Also moves a task that is in the queue already.
void Arbiter::queue_push(Task& task, Time ready) {
  task.ready_at_ = ready;
  task.state_ = TaskState::ready;
  if (task.heap_index_ == SIZE_MAX) {
    queue_.push_back(&task);
    queue_up(queue_.size() - 1);
  } else {
    queue_up(task.heap_index_);
    queue_down(task.heap_index_);
  }
}

void Arbiter::queue_remove(Task& task) {
  const std::size_t index = task.heap_index_;
  task.heap_index_ = SIZE_MAX;
  Task* last = queue_.back();
  queue_.pop_back();
  if (last == &task) return;
  queue_place(index, last);
  queue_up(index);
  queue_down(last->heap_index_);
}

// --- hand-over -----------------------------------------------------------------------------------

// Picks who goes next and takes it out of the queue. nullptr: back to the director.
Task* Arbiter::next_task() {
  if (stop_requested_) {
    end_ = RunEnd::stopped;
    return nullptr;
  }
  if (queue_.empty()) return nullptr;
  Task* next = queue_.front();
  if (strategy_ != nullptr) {
    std::vector<Task*> ready = queue_;
    std::sort(ready.begin(), ready.end(), [](const Task* a, const Task* b) { return a->id_ < b->id_; });
    next = strategy_->choose(ready);
  }
  if (next->ready_at_ > time_limit_ || steps_ >= step_limit_) {
    end_ = RunEnd::limit;
    return nullptr;
  }
  queue_remove(*next);
  return next;
}

// How far modelled time is ahead of SystemC's.
static std::uint64_t ahead_of_systemc(std::uint64_t base_ps, Time now) {
  const std::uint64_t there = sc_core::sc_time_stamp().value();
  return base_ps + now.ps > there ? base_ps + now.ps - there : 0;
}

// Makes `task` the running one. Its thread waits for resume_, unless it is the caller itself. SystemC's time
// catches up if anybody else waits for it there, and at the end of a run; where we are alone nobody could tell.
void Arbiter::resume(Task& task) {
  now_ = std::max(now_, task.ready_at_);
  current_ = &task;
  task.state_ = TaskState::running;
  refresh_horizon();
  if (!sc_core::sc_pending_activity()) {
    task.resume_.notify();
    return;
  }
  const std::uint64_t ahead = ahead_of_systemc(base_ps_, now_);
  if (ahead == 0) {
    task.resume_.notify();
  } else {
    task.resume_.notify(sc_core::sc_time::from_value(ahead));
  }
}

void Arbiter::to_director() {
  const std::uint64_t ahead = ahead_of_systemc(base_ps_, now_);
  if (ahead == 0) {
    director_event_.notify();
  } else {
    director_event_.notify(sc_core::sc_time::from_value(ahead));
  }
}

void Arbiter::switch_away(Task& self) {
  Task* next = next_task();
  if (next == &self) {
    now_ = std::max(now_, self.ready_at_);
    self.state_ = TaskState::running;
    refresh_horizon();
    return;
  }
  if (next == nullptr) {
    to_director();
  } else {
    resume(*next);
  }
  sc_core::wait(self.resume_);
}

// queue_push() and switch_away() in one. Without a strategy and a limit in reach the next task is known: it is
// self, and the queue stays as it is, or the first of the queue, whose place self takes.
void Arbiter::let_others_go_first(Task& self, Time ready) {
  const Time first = queue_.empty() ? ready : std::min(ready, queue_.front()->ready_at_);
  if (strategy_ != nullptr || stop_requested_ || first > time_limit_ || steps_ >= step_limit_ ||
      self.heap_index_ != SIZE_MAX) [[unlikely]] {
    queue_push(self, ready);
    switch_away(self);
    return;
  }
  self.ready_at_ = ready;
  if (queue_.empty() || earlier(self, *queue_.front())) {
    now_ = std::max(now_, ready);
    self.state_ = TaskState::running;
    refresh_horizon();
    return;
  }
  self.state_ = TaskState::ready;
  Task& next = *queue_.front();
  next.heap_index_ = SIZE_MAX;
  queue_place(0, &self);
  queue_down(0);
  resume(next);
  sc_core::wait(self.resume_);
}

void Arbiter::finished(Task& self) {
  bus_.emit(TaskFinished{self.name_});
  release_core(self);
  self.state_ = TaskState::finished;
  self.context_ = {};
  Task* next = next_task();
  if (next == nullptr) {
    to_director();
  } else {
    resume(*next);
  }
  // The thread's outer loop waits for the next start.
}

bool Arbiter::takes_interrupts(const Task& task) const {
  return task.has_core_ && task.context_.interrupts_off == 0 && task.context_.in_interrupt == 0;
}

void Arbiter::refresh_horizon() {
  if (current_ == nullptr || strategy_ != nullptr || stretch_percent_ != 0 || stop_requested_) {
    horizon_ = 0;
    return;
  }
  horizon_ = time_limit_.ps;
  if (!queue_.empty()) horizon_ = std::min(horizon_, queue_.front()->ready_at_.ps);
  if (current_->processor_ != nullptr && !current_->processor_->pending_.empty() && takes_interrupts(*current_))
    horizon_ = std::min(horizon_, current_->processor_->earliest_due().ps);
}

void Arbiter::slow_step(Time cost, Access access) {
  Task& self = *current_;
  self.announced_ = access;
  Time target = now_;
  if (stretch_percent_ != 0) {
    const std::uint64_t most = cost.ps * stretch_percent_ / 100;
    if (most != 0) target += Time{stretch_[self.id_].below(most + 1)};
  }
  now_ = target - cost;  // nothing of this step has happened yet
  pass_until(self, target);
}

// Returns when it is `target` and everyone who is earlier, and every interrupt that is due, went first.
// Time that interrupts take on top of this task comes on top of its own.
void Arbiter::pass_until(Task& self, Time target) {
  for (;;) {
    Time ready = target;
    if (self.processor_ != nullptr && takes_interrupts(self))
      ready = std::max(now_, std::min(ready, self.processor_->earliest_due()));
    let_others_go_first(self, ready);
    const Time before = now_;
    if (self.processor_ != nullptr && !self.processor_->pending_.empty() && serve_interrupts(self)) {
      if (before < target) target += now_ - before;
      if (target < now_) target = now_;
      continue;
    }
    if (now_ >= target) break;
  }
}

bool Arbiter::serve_interrupts(Task& self) {
  Processor& core = *self.processor_;
  bool served = false;
  while (takes_interrupts(self)) {
    auto due = core.pending_.end();
    for (auto it = core.pending_.begin(); it != core.pending_.end(); ++it)
      if (it->due <= now_ && (due == core.pending_.end() || it->due < due->due)) due = it;
    if (due == core.pending_.end()) break;
    const Interrupt& interrupt = *due->interrupt;
    core.pending_.erase(due);
    served = true;
    ++self.context_.in_interrupt;
    bus_.emit(InterruptEntered{static_cast<int>(core.number()), interrupt.name});
    step(costs.interrupt_entry, writes(ObjectKind::interrupt, core.number()));
    interrupt.handler();
    step(costs.interrupt_exit);
    bus_.emit(InterruptLeft{static_cast<int>(core.number()), interrupt.name});
    --self.context_.in_interrupt;
  }
  return served;
}

void Arbiter::interrupts_on() {
  Task& self = *current_;
  if (--self.context_.interrupts_off != 0) return;
  if (self.processor_ != nullptr && !self.processor_->pending_.empty()) pass_until(self, now_);
}

// --- waiting -------------------------------------------------------------------------------------

void Arbiter::slept_in_atomic(std::string_view what) {
  bus_.emit(SleptInAtomic{std::string(what), current_->why_not_sleep()});
}

void Arbiter::wait_for(const Waitable& what, bool sleeps) {
  Task& self = *current_;
  // Where sleeping is forbidden the report has been made; the model goes on by spinning.
  const bool give_up_core = sleeps && self.may_sleep() && self.has_core_;
  if (bus_.wanted<TaskWaits>()) bus_.emit(TaskWaits{self.name_, what.describe(), give_up_core});
  // An interrupt on top of a waiting task may wait for something itself.
  const Waitable* outer = self.waiting_on_;
  const Time outer_since = self.waiting_since_;
  const bool outer_granted = self.granted_;
  self.waiting_on_ = &what;
  self.waiting_since_ = now_;
  self.granted_ = false;
  if (give_up_core) release_core(self);
  while (!self.granted_) {
    self.state_ = TaskState::waiting;
    if (self.processor_ != nullptr && takes_interrupts(self) && !self.processor_->pending_.empty())
      queue_push(self, std::max(now_, self.processor_->earliest_due()));
    switch_away(self);
    if (!self.granted_ && self.processor_ != nullptr && !self.processor_->pending_.empty())
      serve_interrupts(self);
  }
  // The wake-up's latency: an interrupt may have brought us here before it was over.
  if (self.ready_at_ > now_) pass_until(self, self.ready_at_);
  self.waiting_on_ = outer;
  self.waiting_since_ = outer_since;
  self.granted_ = outer_granted;
  if (give_up_core) acquire_core(self);
  bus_.emit(TaskGoesOn{self.name_});
  refresh_horizon();
}

void Arbiter::wake(Task& task, Time latency) {
  task.granted_ = true;
  const Time ready = now_ + latency;
  if (&task == current_) {
    task.ready_at_ = ready;
    return;
  }
  queue_push(task, ready);
  refresh_horizon();
}

void Arbiter::sleep_until(Time when) {
  Task& self = *current_;
  might_sleep("sleep");
  struct Timer final : Waitable {
    Time when;
    std::string describe() const override { return "a timer that ends at " + to_text(when); }
  } timer;
  timer.when = when;
  // The task wakes itself: it is in the queue for the time at which its timer ends.
  const bool give_up_core = self.may_sleep() && self.has_core_;
  if (bus_.wanted<TaskWaits>()) bus_.emit(TaskWaits{self.name_, timer.describe(), give_up_core});
  if (give_up_core) release_core(self);
  pass_until(self, std::max(now_, when));
  if (give_up_core) acquire_core(self);
  bus_.emit(TaskGoesOn{self.name_});
  refresh_horizon();
}

// --- cores ---------------------------------------------------------------------------------------

void Arbiter::acquire_core(Task& self) {
  Processor* core = self.processor_;
  if (core == nullptr || self.has_core_) return;
  if (core->running_ != nullptr) {
    core->wanting_.push_back(&self);
    const Waitable* outer = self.waiting_on_;
    self.waiting_on_ = core;
    self.waiting_since_ = now_;
    while (!self.has_core_) {
      self.state_ = TaskState::waiting;
      switch_away(self);
    }
    self.waiting_on_ = outer;
  } else {
    core->running_ = &self;
    self.has_core_ = true;
  }
  if (core->last_ != &self) {
    core->last_ = &self;
    bus_.emit(CoreSwitched{static_cast<int>(core->number()), self.name_});
    if (core->switched_) core->switched_(self);
  }
  refresh_horizon();
}

void Arbiter::release_core(Task& self) {
  Processor* core = self.processor_;
  if (core == nullptr || !self.has_core_) return;
  self.has_core_ = false;
  if (!core->wanting_.empty()) {
    Task* next = core->wanting_.front();
    core->wanting_.pop_front();
    core->running_ = next;
    next->has_core_ = true;
    queue_push(*next, now_ + costs.context_switch);
    return;
  }
  core->running_ = nullptr;
  if (core->last_ != nullptr && core->last_ != core->idle_)
    bus_.emit(CoreSwitched{static_cast<int>(core->number()), std::string_view()});
  core->last_ = nullptr;
  if (!core->pending_.empty() && &self != core->idle_) {
    core->running_ = core->idle_;
    core->idle_->has_core_ = true;
    queue_push(*core->idle_, std::max(now_, core->earliest_due()));
  }
}

// --- the end -------------------------------------------------------------------------------------

void Arbiter::request_stop() {
  stop_requested_ = true;
  horizon_ = 0;
}

std::vector<const Task*> Arbiter::unfinished() const {
  std::vector<const Task*> result;
  for (const auto& task : tasks_)
    if (task->kind() == TaskKind::actor && task->state() != TaskState::dormant && task->state() != TaskState::finished)
      result.push_back(task.get());
  return result;
}

std::string Arbiter::explain_waiting() const {
  std::string story;
  for (const Task* task : unfinished()) {
    if (task->waiting_on() == nullptr) continue;
    story += task->name() + " waits for " + task->waiting_on()->describe() + ", since " +
             to_text(task->waiting_since()) + ".\n";
  }
  // Follow the holders from each waiter: a task met twice closes a cycle.
  for (const Task* first : unfinished()) {
    std::vector<const Task*> chain{first};
    for (;;) {
      const Task* last = chain.back();
      const Task* next = last->waiting_on() == nullptr ? nullptr : last->waiting_on()->holder();
      if (next == nullptr) break;
      if (next == first) {
        story += "Cycle: ";
        for (const Task* task : chain) story += task->name() + " -> ";
        return story + first->name() + ".\n";
      }
      if (std::find(chain.begin(), chain.end(), next) != chain.end()) break;
      chain.push_back(next);
    }
  }
  return story;
}

}  // namespace secmmu
