// lock-order: locks were taken in an order that can deadlock.
#include <fmt/format.h>

#include "sim/oracle/rule.hpp"

namespace secmmu {
namespace {

class LockOrder final : public Rule {
 public:
  using Rule::Rule;

  void listen(Bus& bus) override {
    bus.listen<LockOrderBroken>([this](const LockOrderBroken& e, const Stamp& stamp) {
      reports_.violation(info_, {0, ledger_.names().id_of(e.cycle), 0}, stamp, [&](Violation& violation, Story& story) {
        violation.summary = fmt::format("locks are taken in a circle: {}", e.cycle);
        story.say(e.story);
        story.tell_locks();
      });
    });
  }
};

}  // namespace

RuleRow lock_order_rule() {
  return {{"lock-order", "Classes of locks were taken in an order that can deadlock.",
           "There is one order in which classes of locks are taken; nobody waits for a lock that stands before one it "
           "holds.",
           R"(Somewhere A was held while B was taken, and elsewhere B is held while A is taken. Two tasks that do
both at the same time wait for each other for ever. It need not have happened in this run: the
order is remembered by classes (all mmap locks are one class), so one run of each path is enough.

Where it comes from. Locks of the kernel have an order: mmap_lock, then the locks of reverse mapping,
then the page-table lock. Callbacks of subscribers run below all of these, so what a driver takes
there stands below them, and everything that is taken below that does too.

Where it is checked. At each lock that is waited for, against the classes that the task holds. A
read section counts where a grace period is waited for.

The typical bug. A driver holds its own mutex, which its callback takes too, while it faults pages in
(get_user_pages takes the mmap lock), or while it registers or unregisters.

How to fix it. Drop the driver's lock before pages are faulted in, take it again, and check whether an
invalidation came in between.

Legal, although it looks wrong: a trylock against the order; two locks of one class in a nesting
order that the code declares.)"},
          &make_rule<LockOrder>};
}

}  // namespace secmmu
