#include "notifier/substrate/trace/bus.hpp"

#include <algorithm>

namespace secmmu {
namespace detail {
namespace {
std::vector<const EventType*>& registry() {
  static std::vector<const EventType*> types;
  return types;
}
}  // namespace

unsigned register_event_type(EventType* type) {
  registry().push_back(type);
  return static_cast<unsigned>(registry().size() - 1);
}
}  // namespace detail

std::vector<const EventType*> all_event_types() {
  std::vector<const EventType*> types = detail::registry();
  std::sort(types.begin(), types.end(), [](const EventType* a, const EventType* b) { return a->name < b->name; });
  return types;
}

void Bus::deliver(const EventType& type, const void* event) {
  AnyEvent any{type, event, {}};
  if (clock_) clock_(any.stamp);
  any.stamp.number = number_++;
  if (type.index < typed_.size())
    for (const Listener& listener : typed_[type.index]) listener(any);
  for (const Listener& listener : all_) listener(any);
}

void Bus::deliver_typed(const EventType& type, const void* event) {
  AnyEvent any{type, event, {}};
  if (clock_) clock_(any.stamp);
  any.stamp.number = number_;
  for (const Listener& listener : typed_[type.index]) listener(any);
}

}  // namespace secmmu
