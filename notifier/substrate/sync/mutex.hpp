// A mutex: the waiter sleeps and gives up its core. First come, first served. Taking it where sleeping is
// forbidden is reported.
#pragma once

#include "notifier/substrate/sync/lock.hpp"

namespace secmmu {

class Mutex final : public Lock {
 public:
  Mutex(Arbiter& arbiter, std::string lock_class, std::string name);

  void lock(unsigned nesting = 0);  // a point; may sleep
  bool try_lock();                  // a point
  void unlock();                    // a point
  void reset();

 private:
  std::deque<Task*> waiters_;
};

}  // namespace secmmu
