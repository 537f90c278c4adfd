#include "notifier/substrate/sync/lock.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "notifier/substrate/sync/events.hpp"
#include "notifier/substrate/sync/lock_validator.hpp"

namespace secmmu {

Lock::Lock(Arbiter& arbiter, std::string kind, std::string lock_class, std::string name)
    : arbiter_(arbiter),
      kind_(std::move(kind)),
      class_(std::move(lock_class)),
      name_(std::move(name)),
      class_number_(arbiter.validator().number_of(class_)),
      id_(arbiter.new_object_id()) {}

Lock::~Lock() = default;

std::string Lock::describe() const {
  if (owner_ == nullptr) return fmt::format("{} {}", kind_, name_);
  return fmt::format("{} {} (held by {} since {})", kind_, name_, owner_->name(), to_text(owned_since_));
}

void Lock::note_acquired(Task& task, bool shared) {
  if (!shared) {
    owner_ = &task;
    owned_since_ = arbiter_.now();
  }
  task.context().locks.push_back(this);
  arbiter_.bus().emit(LockAcquired{name_, kind_, shared});
}

void Lock::note_released(Task& task) {
  if (owner_ == &task) owner_ = nullptr;
  auto& locks = task.context().locks;
  const auto it = std::find(locks.rbegin(), locks.rend(), this);
  if (it != locks.rend()) locks.erase(std::next(it).base());
  arbiter_.bus().emit(LockReleased{name_});
}

}  // namespace secmmu
