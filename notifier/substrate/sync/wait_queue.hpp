// A wait queue: wait_until(condition) sleeps until somebody calls wake_all() and the condition holds.
// The condition is looked at in the waiting task, at a scheduling point.
#pragma once

#include <deque>
#include <functional>
#include <string>

#include "notifier/substrate/arbiter.hpp"

namespace secmmu {

class WaitQueue final : public Waitable {
 public:
  WaitQueue(Arbiter& arbiter, std::string name);

  // May sleep; `what` says in words what the caller waits for ("range_active to become 0").
  void wait_until(const std::function<bool()>& condition, std::string what);
  void wake_all();  // a point
  bool has_waiters() const { return !waiters_.empty(); }
  std::string describe() const override;
  void reset();

 private:
  Arbiter& arbiter_;
  std::string name_;
  std::string what_;
  std::uint64_t id_;
  std::deque<Task*> waiters_;
};

}  // namespace secmmu
