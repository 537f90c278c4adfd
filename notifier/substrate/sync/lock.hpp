// What all locks share: a name, a class for the lock-order validator, the holder, and a sentence for the
// deadlock report. Guards are not used: a lock is released by an explicit unlock(), so that a task which
// is unwound by a reset touches nothing.
#pragma once

#include <deque>
#include <string>

#include "notifier/substrate/arbiter.hpp"

namespace secmmu {

class Lock : public Waitable {
 public:
  // `lock_class` is what the validator orders ("mmap_lock"); `name` is this one ("mmap_lock(app)").
  Lock(Arbiter& arbiter, std::string kind, std::string lock_class, std::string name);
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

  const std::string& name() const { return name_; }
  const std::string& lock_class() const { return class_; }
  unsigned class_number() const { return class_number_; }  // the validator's
  const std::string& kind() const { return kind_; }
  std::string describe() const override;
  const Task* holder() const override { return owner_; }
  bool held() const { return owner_ != nullptr; }
  bool held_by_current() { return owner_ == &arbiter_.current(); }

 protected:
  ~Lock();
  void note_acquired(Task& task, bool shared);
  void note_released(Task& task);
  Access access() const { return writes(ObjectKind::lock, 0, id_); }

  Arbiter& arbiter_;
  std::string kind_;
  std::string class_;
  std::string name_;
  unsigned class_number_;
  std::uint64_t id_;
  Task* owner_ = nullptr;
  Time owned_since_;
};

}  // namespace secmmu
