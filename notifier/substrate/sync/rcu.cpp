#include "notifier/substrate/sync/rcu.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "notifier/substrate/sync/events.hpp"

namespace secmmu {
namespace {

// What a caller of synchronize() waits for, in words that name the readers.
struct Grace final : Waitable {
  const ReadSections* domain = nullptr;
  std::string text;
  const Task* reader = nullptr;
  std::string describe() const override { return text; }
  const Task* holder() const override { return reader; }
};

}  // namespace

ReadSections::ReadSections(Arbiter& arbiter, std::string name, Task& worker)
    : arbiter_(arbiter), name_(std::move(name)), worker_(worker) {}

std::uint64_t ReadSections::enter(Task& task) {
  arbiter_.step(arbiter_.costs.read_section, writes(ObjectKind::read_section));
  const std::uint64_t section = next_section_++;
  open_.emplace_back(section, &task);
  arbiter_.bus().emit(ReadSectionEntered{name_, section});
  return section;
}

void ReadSections::leave(std::uint64_t section) {
  arbiter_.step(arbiter_.costs.read_section, writes(ObjectKind::read_section));
  std::erase_if(open_, [section](const auto& entry) { return entry.first == section; });
  arbiter_.bus().emit(ReadSectionLeft{name_, section});
  notice();
}

// Somebody left: who waited for that section goes on after the time that it takes to be noticed.
void ReadSections::notice() {
  for (auto it = waiters_.begin(); it != waiters_.end();) {
    if (passed(it->after)) {
      arbiter_.wake(*it->task, arbiter_.costs.grace_period);
      it = waiters_.erase(it);
    } else {
      ++it;
    }
  }
  if (worker_waits_ && !queue_.empty() && passed(queue_.front().after)) {
    worker_waits_ = false;
    arbiter_.wake(worker_, arbiter_.costs.grace_period);
  }
}

void ReadSections::synchronize() {
  arbiter_.might_sleep([this] { return fmt::format("synchronize {}", name_); });
  arbiter_.step(arbiter_.costs.read_section, writes(ObjectKind::read_section));
  const Time began = arbiter_.now();
  const std::uint64_t after = next_section_ - 1;
  Task& self = arbiter_.current();
  if (passed(after)) {
    arbiter_.sleep_until(arbiter_.now() + arbiter_.costs.grace_period);
  } else {
    Grace grace;
    grace.domain = this;
    std::string readers;
    for (const auto& [section, task] : open_) {
      if (section > after) break;
      if (grace.reader == nullptr || task == &self) grace.reader = task;
      readers += (readers.empty() ? "" : ", ") + task->name();
    }
    grace.text = fmt::format("the end of a grace period of {}, in whose read section {} {}", name_, readers,
                             grace.reader == &self ? "still is: it waits for itself" : "still is");
    waiters_.push_back({after, &self});
    arbiter_.wait_for(grace, true);
  }
  arbiter_.bus().emit(GracePeriodEnded{name_, arbiter_.now() - began});
}

void ReadSections::call(std::function<void()> callback) {
  arbiter_.step(arbiter_.costs.read_section, writes(ObjectKind::read_section));
  queue_.push_back({next_section_ - 1, std::move(callback)});
  ++called_;
  if (passed(queue_.front().after)) notice();
}

void ReadSections::barrier() {
  arbiter_.might_sleep([this] { return fmt::format("barrier of {}", name_); });
  arbiter_.step(arbiter_.costs.read_section, writes(ObjectKind::read_section));
  if (done_ == called_) return;
  barriers_.push_back({called_, &arbiter_.current()});
  arbiter_.wait_for(*this, true);
}

void ReadSections::work() {
  for (;;) {
    while (!queue_.empty() && passed(queue_.front().after)) {
      Callback callback = std::move(queue_.front());
      queue_.pop_front();
      ++running_;
      callback.run();
      --running_;
      ++done_;
      for (auto it = barriers_.begin(); it != barriers_.end();) {
        if (it->after <= done_) {
          arbiter_.wake(*it->task, arbiter_.costs.wake);
          it = barriers_.erase(it);
        } else {
          ++it;
        }
      }
    }
    worker_waits_ = true;
    arbiter_.wait_for(*this, true);
  }
}

std::string ReadSections::describe() const {
  return fmt::format("callbacks of {} ({} queued)", name_, callbacks_pending());
}

void ReadSections::reset() {
  next_section_ = 1;
  open_.clear();
  queue_.clear();
  running_ = 0;
  called_ = 0;
  done_ = 0;
  waiters_.clear();
  barriers_.clear();
  worker_waits_ = false;
  arbiter_.start(worker_, [this] { work(); });
}

std::uint64_t Rcu::read_lock() {
  Task& self = arbiter_.current();
  const std::uint64_t section = enter(self);
  ++self.context().rcu;
  return section;
}

void Rcu::read_unlock(std::uint64_t section) {
  --arbiter_.current().context().rcu;
  leave(section);
}

std::uint64_t SrcuDomain::read_lock() {
  Task& self = arbiter_.current();
  const std::uint64_t section = enter(self);
  self.context().srcu.push_back(this);
  return section;
}

void SrcuDomain::read_unlock(std::uint64_t section) {
  auto& held = arbiter_.current().context().srcu;
  const auto it = std::find(held.rbegin(), held.rend(), this);
  if (it != held.rend()) held.erase(std::next(it).base());
  leave(section);
}

}  // namespace secmmu
