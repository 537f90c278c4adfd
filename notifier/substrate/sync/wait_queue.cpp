#include "notifier/substrate/sync/wait_queue.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace secmmu {

WaitQueue::WaitQueue(Arbiter& arbiter, std::string name)
    : arbiter_(arbiter), name_(std::move(name)), id_(arbiter.new_object_id()) {}

void WaitQueue::wait_until(const std::function<bool()>& condition, std::string what) {
  arbiter_.might_sleep([this] { return fmt::format("wait queue {}", name_); });
  for (;;) {
    arbiter_.step(arbiter_.costs.lock_acquire, writes(ObjectKind::wait_queue, 0, id_));
    if (condition()) return;
    what_ = what;
    waiters_.push_back(&arbiter_.current());
    arbiter_.wait_for(*this, true);
  }
}

void WaitQueue::wake_all() {
  arbiter_.step(arbiter_.costs.lock_release, writes(ObjectKind::wait_queue, 0, id_));
  if (waiters_.empty()) return;
  std::deque<Task*> woken;
  woken.swap(waiters_);
  for (Task* task : woken) arbiter_.wake(*task, arbiter_.costs.wake);
}

std::string WaitQueue::describe() const { return fmt::format("{} (wait queue {})", what_, name_); }

void WaitQueue::reset() { waiters_.clear(); }

}  // namespace secmmu
