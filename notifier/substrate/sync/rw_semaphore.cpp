#include "notifier/substrate/sync/rw_semaphore.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "notifier/substrate/sync/lock_validator.hpp"

namespace secmmu {

RwSemaphore::RwSemaphore(Arbiter& arbiter, std::string lock_class, std::string name)
    : Lock(arbiter, "rw-semaphore", std::move(lock_class), std::move(name)) {}

void RwSemaphore::lock_read(unsigned nesting) {
  arbiter_.might_sleep([this] { return fmt::format("rw-semaphore {} (read)", name_); });
  arbiter_.step(arbiter_.costs.lock_acquire, access());
  Task& self = arbiter_.current();
  arbiter_.validator().acquiring(self, *this, nesting);
  if (owner_ != nullptr || !waiters_.empty()) {
    waiters_.push_back({&self, false});
    arbiter_.wait_for(*this, true);  // grant() has counted us in
  } else {
    readers_.push_back(&self);
  }
  note_acquired(self, true);
}

bool RwSemaphore::try_lock_read() {
  arbiter_.step(arbiter_.costs.lock_acquire, access());
  if (owner_ != nullptr) return false;  // a try may pass waiting writers, as in Linux
  Task& self = arbiter_.current();
  readers_.push_back(&self);
  note_acquired(self, true);
  return true;
}

void RwSemaphore::unlock_read() {
  arbiter_.step(arbiter_.costs.lock_release, access());
  Task& self = arbiter_.current();
  const auto it = std::find(readers_.begin(), readers_.end(), &self);
  if (it != readers_.end()) readers_.erase(it);
  note_released(self);
  grant();
}

void RwSemaphore::lock_write(unsigned nesting) {
  arbiter_.might_sleep([this] { return fmt::format("rw-semaphore {} (write)", name_); });
  arbiter_.step(arbiter_.costs.lock_acquire, access());
  Task& self = arbiter_.current();
  arbiter_.validator().acquiring(self, *this, nesting);
  if (owner_ != nullptr || !readers_.empty() || !waiters_.empty()) {
    waiters_.push_back({&self, true});
    arbiter_.wait_for(*this, true);
  } else {
    owner_ = &self;
  }
  note_acquired(self, false);
}

bool RwSemaphore::try_lock_write() {
  arbiter_.step(arbiter_.costs.lock_acquire, access());
  if (owner_ != nullptr || !readers_.empty()) return false;
  note_acquired(arbiter_.current(), false);
  return true;
}

void RwSemaphore::unlock_write() {
  arbiter_.step(arbiter_.costs.lock_release, access());
  note_released(arbiter_.current());
  grant();
}

void RwSemaphore::downgrade() {
  arbiter_.step(arbiter_.costs.lock_release, access());
  Task& self = arbiter_.current();
  owner_ = nullptr;
  readers_.push_back(&self);
  grant();
}

// Lets in the first waiter, and with a reader all readers up to the next writer.
void RwSemaphore::grant() {
  while (!waiters_.empty() && owner_ == nullptr) {
    const Waiter first = waiters_.front();
    if (first.writer && !readers_.empty()) return;
    waiters_.pop_front();
    if (first.writer) {
      owner_ = first.task;
      owned_since_ = arbiter_.now();
    } else {
      readers_.push_back(first.task);
    }
    arbiter_.wake(*first.task, arbiter_.costs.wake);
  }
}

std::string RwSemaphore::describe() const {
  if (owner_ != nullptr || readers_.empty()) return Lock::describe();
  std::string names;
  for (const Task* reader : readers_) names += (names.empty() ? "" : ", ") + reader->name();
  return fmt::format("{} {} (held for reading by {})", kind_, name_, names);
}

const Task* RwSemaphore::holder() const {
  if (owner_ != nullptr) return owner_;
  return readers_.empty() ? nullptr : readers_.front();
}

void RwSemaphore::reset() {
  owner_ = nullptr;
  readers_.clear();
  waiters_.clear();
}

}  // namespace secmmu
