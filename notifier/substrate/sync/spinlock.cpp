#include "notifier/substrate/sync/spinlock.hpp"

#include "notifier/substrate/sync/lock_validator.hpp"

namespace secmmu {

SpinLock::SpinLock(Arbiter& arbiter, std::string lock_class, std::string name)
    : Lock(arbiter, "spinlock", std::move(lock_class), std::move(name)) {}

void SpinLock::lock(unsigned nesting) {
  arbiter_.step(arbiter_.costs.lock_acquire, access());
  Task& self = arbiter_.current();
  arbiter_.validator().acquiring(self, *this, nesting);
  ++self.context().preempt_off;
  if (owner_ != nullptr) {
    waiters_.push_back(&self);
    arbiter_.wait_for(*this, false);  // unlock() has made us the owner
  } else {
    owner_ = &self;
  }
  note_acquired(self, false);
}

bool SpinLock::try_lock() {
  arbiter_.step(arbiter_.costs.lock_acquire, access());
  if (owner_ != nullptr) return false;
  Task& self = arbiter_.current();
  ++self.context().preempt_off;
  note_acquired(self, false);
  return true;
}

void SpinLock::unlock() {
  arbiter_.step(arbiter_.costs.lock_release, access());
  Task& self = arbiter_.current();
  note_released(self);
  --self.context().preempt_off;
  if (waiters_.empty()) return;
  Task* next = waiters_.front();
  waiters_.pop_front();
  owner_ = next;
  owned_since_ = arbiter_.now();
  arbiter_.wake(*next, arbiter_.costs.lock_contended);
}

void SpinLock::reset() {
  owner_ = nullptr;
  waiters_.clear();
}

}  // namespace secmmu
