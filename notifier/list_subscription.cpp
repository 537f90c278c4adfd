#include "notifier/list_subscription.hpp"

#include <stdexcept>
#include <string>

#include "notifier/behaviour.hpp"

namespace secmmu {

Callback callback_named(std::string_view name) {
  for (const Callback callback :
       {Callback::release, Callback::clear_flush_young, Callback::clear_young, Callback::test_young,
        Callback::change_pte, Callback::invalidate_page, Callback::start, Callback::end, Callback::invalidate_range,
        Callback::secondary_tlbs, Callback::interval_invalidate, Callback::free_notifier})
    if (callback_name(callback) == name) return callback;
  throw std::logic_error("no callback " + std::string(name));
}

bool calls(const NotifierBehaviour& kernel, Callback callback) {
  switch (callback) {
    case Callback::clear_young:
      return kernel.clear_young;
    case Callback::test_young:
      return kernel.test_young;
    case Callback::change_pte:
      return kernel.change_pte;
    case Callback::invalidate_page:
      return kernel.invalidate_page;
    case Callback::invalidate_range:
      return kernel.invalidate_range;
    case Callback::secondary_tlbs:
      return kernel.secondary_tlbs;
    case Callback::interval_invalidate:
      return kernel.intervals;
    case Callback::free_notifier:
      return kernel.get_put;
    default:
      return true;
  }
}

std::string_view callback_name(Callback callback) {
  switch (callback) {
    case Callback::release:
      return "release";
    case Callback::clear_flush_young:
      return "clear_flush_young";
    case Callback::clear_young:
      return "clear_young";
    case Callback::test_young:
      return "test_young";
    case Callback::change_pte:
      return "change_pte";
    case Callback::invalidate_page:
      return "invalidate_page";
    case Callback::start:
      return "invalidate_range_start";
    case Callback::end:
      return "invalidate_range_end";
    case Callback::invalidate_range:
      return "invalidate_range";
    case Callback::secondary_tlbs:
      return "arch_invalidate_secondary_tlbs";
    case Callback::interval_invalidate:
      return "invalidate";
    case Callback::free_notifier:
      return "free_notifier";
  }
  return "?";
}

void ListSubscription::forget_registration() {
  mm_ = nullptr;
  mm_name_.clear();
  mm_id_ = 0;
  link_ = Link::unlinked;
  next_ = nullptr;
  key_ = nullptr;
  users_ = 0;
  serial_ = 0;
}

}  // namespace secmmu
