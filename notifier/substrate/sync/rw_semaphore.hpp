// A reader-writer semaphore, fair as Linux's: a waiting writer stops new readers. mmap_lock is one.
#pragma once

#include <vector>

#include "notifier/substrate/sync/lock.hpp"

namespace secmmu {

class RwSemaphore final : public Lock {
 public:
  RwSemaphore(Arbiter& arbiter, std::string lock_class, std::string name);

  void lock_read(unsigned nesting = 0);   // a point; may sleep
  bool try_lock_read();                   // a point
  void unlock_read();                     // a point
  void lock_write(unsigned nesting = 0);  // a point; may sleep
  bool try_lock_write();
  void unlock_write();
  void downgrade();  // write to read, without a gap
  std::string describe() const override;
  const Task* holder() const override;
  bool held_for_write() const { return owner_ != nullptr; }
  bool held_for_read() const { return !readers_.empty(); }
  void reset();

 private:
  struct Waiter {
    Task* task;
    bool writer;
  };
  void grant();
  std::vector<Task*> readers_;
  std::deque<Waiter> waiters_;
};

}  // namespace secmmu
