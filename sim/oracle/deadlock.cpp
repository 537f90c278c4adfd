// deadlock: nobody can go on.
#include <fmt/format.h>

#include "sim/oracle/rule.hpp"

namespace secmmu {
namespace {

class DeadlockRule final : public Rule {
 public:
  using Rule::Rule;

  void listen(Bus& bus) override {
    bus.listen<Deadlock>([this](const Deadlock& e, const Stamp& stamp) {
      reports_.violation(info_, {}, stamp, [&](Violation& violation, Story& story) {
        violation.summary = "nobody can go on although somebody has not finished";
        violation.task.clear();  // nobody does it
        story.say(e.story);
        story.tell_locks();
      });
    });
  }
};

}  // namespace

RuleRow deadlock_rule() {
  return {{"deadlock", "Nobody can go on although somebody has not finished.",
           "Whoever waits is woken by somebody who can still run.",
           R"(Every task that has not finished waits, and nobody who could wake one of them can run. The story
says who waits for what, who has it, and since when.

Where it comes from. Locks taken in a circle; a grace period waited for inside the read section that
it waits for (unregister called from a callback); a wait for the end of a range that will never be
announced; a wake-up that came before the wait.

Where it is checked. When no task is ready and an actor has not finished. A run that was stopped by a
limit says nothing.

The typical bug. unregister called from release: it waits for the section that release runs in. A
driver that waits until no range is active, after it was unregistered between a start and its end.
A driver that takes its mutex in a callback and faults pages in under the same mutex.

How to fix it. Read the circle in the story and cut it where the protocol says: free from a callback
by call_srcu or put, not by unregister; forget the count of ranges when unregistered.

Legal, although it looks wrong: services (kernel workers, idle loops) that wait for work at the end of
a run; an actor that sleeps until a time.)"},
          &make_rule<DeadlockRule>};
}

}  // namespace secmmu
