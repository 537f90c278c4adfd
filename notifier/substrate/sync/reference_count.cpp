#include "notifier/substrate/sync/reference_count.hpp"

#include "notifier/substrate/sync/events.hpp"

namespace secmmu {

ReferenceCount::ReferenceCount(Arbiter& arbiter, std::string name, std::int64_t initial)
    : arbiter_(arbiter), name_(std::move(name)), id_(arbiter.new_object_id()), value_(initial) {}

void ReferenceCount::announce() {
  if (arbiter_.in_task())  // else the machine is being set up
    arbiter_.step(arbiter_.costs.count_change, writes(ObjectKind::reference_count, 0, id_));
}

void ReferenceCount::get() {
  announce();
  if (value_ <= 0) arbiter_.bus().emit(RefcountRevived{name_});
  ++value_;
}

bool ReferenceCount::get_unless_zero() {
  announce();
  if (value_ <= 0) return false;
  ++value_;
  return true;
}

bool ReferenceCount::join() {
  if (value_ <= 0) return false;
  ++value_;
  return true;
}

bool ReferenceCount::part() {
  if (value_ <= 1) return false;
  --value_;
  return true;
}

bool ReferenceCount::put() {
  announce();
  if (value_ <= 0) {
    arbiter_.bus().emit(RefcountUnderflow{name_});
    return false;
  }
  return --value_ == 0;
}

}  // namespace secmmu
