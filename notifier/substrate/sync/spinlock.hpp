// A spinlock: the waiter keeps its core and serves interrupts while it spins, the holder may not sleep.
// First come, first served (Linux's queued spinlocks).
#pragma once

#include "notifier/substrate/sync/lock.hpp"

namespace secmmu {

class SpinLock final : public Lock {
 public:
  SpinLock(Arbiter& arbiter, std::string lock_class, std::string name);

  void lock(unsigned nesting = 0);  // a point
  bool try_lock();                  // a point
  void unlock();                    // a point, before the release
  // The same with interrupts off, for what an interrupt handler takes too.
  void lock_irq() {
    arbiter_.interrupts_off();
    lock();
  }
  void unlock_irq() {
    unlock();
    arbiter_.interrupts_on();
  }
  void reset();

 private:
  std::deque<Task*> waiters_;
};

}  // namespace secmmu
