#include "notifier/substrate/sync/mutex.hpp"

#include <fmt/format.h>

#include "notifier/substrate/sync/lock_validator.hpp"

namespace secmmu {

Mutex::Mutex(Arbiter& arbiter, std::string lock_class, std::string name)
    : Lock(arbiter, "mutex", std::move(lock_class), std::move(name)) {}

void Mutex::lock(unsigned nesting) {
  arbiter_.might_sleep([this] { return fmt::format("mutex {}", name_); });
  arbiter_.step(arbiter_.costs.lock_acquire, access());
  Task& self = arbiter_.current();
  arbiter_.validator().acquiring(self, *this, nesting);
  if (owner_ != nullptr) {
    waiters_.push_back(&self);
    arbiter_.wait_for(*this, true);  // unlock() has made us the owner
  } else {
    owner_ = &self;
  }
  note_acquired(self, false);
}

bool Mutex::try_lock() {
  arbiter_.step(arbiter_.costs.lock_acquire, access());
  if (owner_ != nullptr) return false;
  note_acquired(arbiter_.current(), false);
  return true;
}

void Mutex::unlock() {
  arbiter_.step(arbiter_.costs.lock_release, access());
  note_released(arbiter_.current());
  if (waiters_.empty()) return;
  Task* next = waiters_.front();
  waiters_.pop_front();
  owner_ = next;
  owned_since_ = arbiter_.now();
  arbiter_.wake(*next, arbiter_.costs.wake);
}

void Mutex::reset() {
  owner_ = nullptr;
  waiters_.clear();
}

}  // namespace secmmu
