// The one arbiter of modelled time. It decides which task takes the next step, and it is the only code
// that calls SystemC's wait and notify. The order of a run rests on (ready time, task id) alone, or on
// the strategy of a search; never on what SystemC leaves open.
//
// A task announces every step that another task could observe (a scheduling point) before it happens.
// Between two points a task is alone. A task runs on without a switch up to the ready time of the next
// task, so a task that is alone never switches, and nothing is approximated. SystemC's own clock follows
// where somebody else waits for something there, and at the end of a run: nobody else can see it.
//
// The machine is elaborated once; then a director (one SystemC thread) plays runs: start tasks, run,
// look, reset, again. reset() unwinds every task where it stands.
#pragma once

#include <concepts>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <systemc>

#include "notifier/substrate/parameter.hpp"
#include "notifier/substrate/processor.hpp"
#include "notifier/substrate/random.hpp"
#include "notifier/substrate/task.hpp"
#include "notifier/substrate/trace/bus.hpp"

namespace secmmu {

class LockValidator;

// Modelled costs of what every kernel does. Sources in the table (arbiter.cpp).
struct SubstrateCosts {
  Time lock_acquire{20'000};
  Time lock_contended{80'000};   // hand-over of a lock's cache line to the next waiter
  Time lock_release{5'000};
  Time count_change{5'000};      // an atomic change of a reference count
  Time wake{1'500'000};          // from wake-up to running again
  Time context_switch{1'200'000};
  Time interrupt_entry{400'000};
  Time interrupt_exit{200'000};
  Time read_section{8'000};      // entering or leaving an RCU or SRCU section
  Time grace_period{20'000'000}; // from the last reader's leaving to its being noticed
};
const ParameterTable<SubstrateCosts>& substrate_cost_table();

// Which task goes next. The default (no strategy) is the earliest, then the lowest id. Under a strategy
// time may only stretch: a task that is chosen late runs late, so every explored run is a legal timed one.
class Strategy {
 public:
  virtual ~Strategy() = default;
  // `ready` is not empty and is ordered by task id. Returns one of them.
  virtual Task* choose(const std::vector<Task*>& ready) = 0;
};

struct RunLimits {
  Time time = kForever;            // modelled
  std::uint64_t steps = UINT64_MAX;
};

enum class RunEnd {
  quiet,    // nobody is ready: everyone has finished, or those who have not wait for each other
  stopped,  // somebody called request_stop()
  limit,    // a limit was reached first
};

class Arbiter : public sc_core::sc_module {
 public:
  explicit Arbiter(const sc_core::sc_module_name& name);
  ~Arbiter() override;

  // --- elaboration ---
  Task& add_task(std::string name, TaskKind kind, Processor* processor = nullptr);
  Processor& add_processor();
  // The director's body; when it returns the simulation stops. Exceptions reach the caller of rethrow().
  void direct(std::function<void()> body) { director_ = std::move(body); }
  void rethrow();

  // --- the director's side ---
  SubstrateCosts costs;
  void set_strategy(Strategy* strategy);                 // nullptr: earliest, then lowest id
  // Every step takes up to this much longer, drawn from a stream of its task. 0: exactly its cost.
  void set_stretch(unsigned percent, std::uint64_t seed);
  RunEnd run(RunLimits limits);
  void reset();  // unwinds every task; time 0, empty queues. Locks and models reset themselves.
  // What a run() between these two does happens before time 0: events carry time 0, and time 0 is when
  // end_setup() is called. Nobody may be ready then.
  void begin_setup() { in_setup_ = true; }
  void end_setup();

  // --- anybody's side ---
  void start(Task& task, Task::Body body, Time at = {});  // a dormant or finished task; `at` is absolute
  Bus& bus() { return bus_; }
  LockValidator& validator() { return *validator_; }
  const std::vector<std::unique_ptr<Task>>& tasks() const { return tasks_; }
  const std::vector<std::unique_ptr<Processor>>& processors() const { return processors_; }
  Time now() const { return now_; }
  std::uint64_t steps() const { return steps_; }

  // --- a task's side ---
  Task& current() { return *current_; }
  bool in_task() const { return current_ != nullptr; }

  // A scheduling point: announces `access`, takes `cost`, lets earlier tasks and interrupts go first,
  // then returns; what the caller does until its next point happens at that instant.
  void step(Time cost, Access access = {}) {
    now_ += cost;
    ++steps_;
    if (now_.ps < horizon_ && steps_ < step_limit_) [[likely]]
      return;
    slow_step(cost, access);
  }

  // Reports if the current task may not sleep. Every primitive that may block calls it first.
  void might_sleep(std::string_view what) {
    if (!current_->may_sleep()) [[unlikely]]
      slept_in_atomic(what);
  }
  // The same with words that are put together only for the report: `words` returns a string.
  template <std::invocable Words>
  void might_sleep(Words words) {
    if (!current_->may_sleep()) [[unlikely]]
      slept_in_atomic(words());
  }

  // The current task waits until wake(). It gives up its core meanwhile if `sleeps`, else it spins
  // there and serves interrupts. `what` must live as long as the wait.
  void wait_for(const Waitable& what, bool sleeps);
  void wake(Task& task, Time latency = {});
  // Gives up the core for a time.
  void sleep_until(Time when);

  // Spinlocks with interrupts off, and the like. Pending interrupts are served when the depth is 0 again.
  void interrupts_off() { ++current_->context_.interrupts_off; }
  void interrupts_on();

  // Numbers for what scheduling points touch: locks, queues, counts. In order of creation.
  std::uint64_t new_object_id() { return ++last_object_id_; }

  // Ends the run after the current point: for a sink that has seen enough.
  void request_stop();
  // Unfinished actors, with what each waits for: empty if there are none.
  std::vector<const Task*> unfinished() const;
  // Sentences on who waits for whom, since when, and the cycle if there is one.
  std::string explain_waiting() const;

 private:
  friend class Processor;
  friend class Task;

  void slept_in_atomic(std::string_view what);
  void slow_step(Time cost, Access access);
  void pass_until(Task& self, Time target);
  void switch_away(Task& self);             // self is in the queue or waits; returns when resumed
  void let_others_go_first(Task& self, Time ready);  // puts self into the queue; returns when resumed
  void finished(Task& self);
  bool serve_interrupts(Task& self);
  void acquire_core(Task& self);
  void release_core(Task& self);
  Task* next_task();
  void resume(Task& task);
  void to_director();
  void refresh_horizon();
  void run_director();
  bool takes_interrupts(const Task& task) const;

  void queue_push(Task& task, Time ready);
  void queue_remove(Task& task);
  void queue_up(std::size_t index);
  void queue_down(std::size_t index);
  static bool earlier(const Task& a, const Task& b);
  void queue_place(std::size_t index, Task* task);

  Bus bus_;
  std::unique_ptr<LockValidator> validator_;
  std::vector<std::unique_ptr<Task>> tasks_;
  std::vector<std::unique_ptr<Processor>> processors_;
  std::vector<Task*> queue_;  // binary heap by (ready time, id)
  Task* current_ = nullptr;
  Time now_;
  std::uint64_t horizon_ = 0;  // ps; the running task may go on without a look at the queue while below
  std::uint64_t steps_ = 0;
  std::uint64_t step_limit_ = UINT64_MAX;
  Time time_limit_ = kForever;
  bool stop_requested_ = false;
  bool in_setup_ = false;
  RunEnd end_ = RunEnd::quiet;
  Strategy* strategy_ = nullptr;
  unsigned stretch_percent_ = 0;
  std::uint64_t stretch_seed_ = 0;
  std::vector<RandomStream> stretch_;
  std::uint64_t last_object_id_ = 0;
  std::uint64_t elaborated_objects_ = 0;  // objects numbered before the first run
  std::uint64_t base_ps_ = 0;  // SystemC's time at which the run began
  std::function<void()> director_;
  std::exception_ptr failure_;
  sc_core::sc_event director_event_;
};

}  // namespace secmmu
