#include "notifier/subscriptions.hpp"

#include <fmt/format.h>

#include "notifier/address_space.hpp"
#include "notifier/intervals/intervals.hpp"

namespace secmmu {

Subscriptions::Subscriptions(Arbiter& arbiter, const AddressSpace& mm)
    : lock(arbiter, "mmu_notifier_lock", fmt::format("mmu_notifier_lock({})", mm.name())) {}

Subscriptions::~Subscriptions() = default;

void Subscriptions::add_head(ListSubscription& entry) {
  entry.next_ = head_;
  head_ = &entry;
}

void Subscriptions::remove(const ListSubscription& entry) {
  ListSubscription** way = &head_;
  while (*way != &entry) way = &(*way)->next_;
  *way = entry.next_;
}

}  // namespace secmmu
