// RCU and sleepable RCU in their observable part: read sections, grace periods, callbacks that run after
// one. An RCU reader may not sleep; an SRCU reader may. A grace period begins at synchronize() or call()
// and ends when every section that was open then is closed. synchronize() inside a section of the same
// domain waits for itself: the deadlock report says so.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "notifier/substrate/arbiter.hpp"

namespace secmmu {

class ReadSections : public Waitable {
 public:
  // `worker` runs the callbacks; it is a service task that this domain starts at reset().
  ReadSections(Arbiter& arbiter, std::string name, Task& worker);

  void synchronize();                        // may sleep
  void call(std::function<void()> callback);  // returns at once
  void barrier();                            // may sleep: until every callback queued so far has run
  bool reading() const { return !open_.empty(); }
  std::size_t callbacks_pending() const { return queue_.size() + running_; }
  void reset();  // no section, no callback; starts the worker again
  std::string describe() const override;

 protected:
  ~ReadSections() = default;
  std::uint64_t enter(Task& task);
  void leave(std::uint64_t section);

  struct Callback {
    std::uint64_t after;  // sections up to this number must be closed
    std::function<void()> run;
  };
  struct Waiter {
    std::uint64_t after;
    Task* task;
  };
  bool passed(std::uint64_t section) const { return open_.empty() || open_.front().first > section; }
  void work();
  void notice();

  Arbiter& arbiter_;
  std::string name_;
  Task& worker_;
  std::uint64_t next_section_ = 1;
  std::vector<std::pair<std::uint64_t, Task*>> open_;  // numbers grow, so the oldest is first
  std::deque<Callback> queue_;
  std::size_t running_ = 0;
  std::uint64_t called_ = 0;
  std::uint64_t done_ = 0;
  std::deque<Waiter> waiters_;
  std::deque<Waiter> barriers_;
  bool worker_waits_ = false;
};

class Rcu final : public ReadSections {
 public:
  using ReadSections::ReadSections;
  std::uint64_t read_lock();  // a point; the task may not sleep until read_unlock
  void read_unlock(std::uint64_t section);
};

class SrcuDomain final : public ReadSections {
 public:
  using ReadSections::ReadSections;
  std::uint64_t read_lock();  // a point
  void read_unlock(std::uint64_t section);
};

}  // namespace secmmu
