// sleep-in-atomic: something that may sleep was called where nobody may.
#include <fmt/format.h>

#include "sim/oracle/rule.hpp"

namespace secmmu {
namespace {

class SleepInAtomic final : public Rule {
 public:
  using Rule::Rule;

  void listen(Bus& bus) override {
    // What a task is inside of, so that the story tells how it came there.
    bus.listen<CallbackBegin>([this](const CallbackBegin& e, const Stamp& stamp) {
      inside(stamp.task).push_back({stamp, e.subscriber, callback_name(e.callback), e.mm});
    });
    bus.listen<CallbackEnd>([this](const CallbackEnd&, const Stamp& stamp) { leave(stamp.task); });
    bus.listen<InterruptEntered>([this](const InterruptEntered& e, const Stamp& stamp) {
      inside(stamp.task).push_back({stamp, e.interrupt, "interrupt", {}});
    });
    bus.listen<InterruptLeft>([this](const InterruptLeft&, const Stamp& stamp) { leave(stamp.task); });
    bus.listen<SleptInAtomic>([this](const SleptInAtomic& e, const Stamp& stamp) {
      const Names::Id what = ledger_.names().id_of(e.what);
      reports_.violation(info_, {stamp.task, what, 0}, stamp, [&](Violation& violation, Story& story) {
        violation.summary = fmt::format("{} may sleep, and was called where {}", e.what, e.why);
        for (const Entered& entered : inside(stamp.task))
          story.tell(moment_of(entered.stamp),
                     entered.mm.empty() ? fmt::format("entered the interrupt {}", entered.name)
                                        : fmt::format("entered {}'s {} for {}", entered.name, entered.kind, entered.mm));
        story.tell(moment_of(stamp), violation.summary);
        story.tell_locks();
      });
    });
  }

  void reset() override { tasks_.clear(); }

 private:
  struct Entered {
    Stamp stamp;
    std::string_view name;
    std::string_view kind;
    std::string_view mm;  // empty: an interrupt
  };
  std::vector<Entered>& inside(unsigned task) {
    if (tasks_.size() <= task) tasks_.resize(task + 1);
    return tasks_[task];
  }
  void leave(unsigned task) {
    if (!inside(task).empty()) inside(task).pop_back();
  }
  std::vector<std::vector<Entered>> tasks_;  // by task
};

}  // namespace

RuleRow sleep_in_atomic_rule() {
  return {
      {"sleep-in-atomic", "Something that may sleep was called in a context that may not.",
       "Nobody sleeps while holding a spinlock, inside an RCU read section, in an interrupt, or in a callback of an "
       "invalidation that may not block.",
       R"(A mutex, a semaphore, a wait, an allocation or a grace period was asked for where the task may not
give up its core. In a kernel: "BUG: sleeping function called from invalid context", a deadlock
when the next task on that core wants the spinlock, or an RCU grace period that ends too early.

Where it comes from. The context forbids it. Which callbacks may sleep depends on the kernel: none
before v3.7 (they ran inside rcu_read_lock and often under the page-table lock); from then on
release, start and end may, unless the range is not blockable (the OOM reaper); clear_young,
test_young, change_pte and the TLB callback never may.

Where it is checked. Where the primitive is called, whether or not it would have slept this time:
might_sleep() of the kernel. Nobody has to lose the race for the bug to be seen.

The typical bug. A driver takes its mutex in invalidate_range_start without asking whether the
range may block; a driver that is correct on v3.7 runs on v3.2.

How to fix it. Try the lock and answer EAGAIN in a range that may not block; use a spinlock for what
callbacks touch; move the slow part out of the callback.

Legal, although it looks wrong: sleeping in an SRCU read section; a mutex_trylock anywhere.)"},
      &make_rule<SleepInAtomic>};
}

}  // namespace secmmu
