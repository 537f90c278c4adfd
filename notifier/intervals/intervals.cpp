#include "notifier/intervals/intervals.hpp"

#include <fmt/format.h>

#include "notifier/address_space.hpp"

namespace secmmu {

Intervals::Intervals(Arbiter& arbiter, const AddressSpace& mm)
    : sequence_changed(arbiter, fmt::format("interval_sequence({})", mm.name())) {}

void Intervals::insert(IntervalSubscription& subscription) {
  subscription.node_ = tree.insert(subscription.first_.value, subscription.last_.value, &subscription);
  subscription.place_ = IntervalSubscription::Place::inside;
}

void Intervals::erase(IntervalSubscription& subscription) {
  tree.erase(subscription.node_);
  subscription.node_ = {};
  subscription.place_ = IntervalSubscription::Place::outside;
}

void IntervalSubscription::forget_registration() {
  mm_ = nullptr;
  first_ = last_ = {};
  sequence_ = serial_ = 0;
  node_ = {};
  place_ = Place::outside;
}

}  // namespace secmmu
