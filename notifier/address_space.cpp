#include "notifier/address_space.hpp"

#include "notifier/subscriptions.hpp"

namespace secmmu {

AddressSpace::AddressSpace() = default;
AddressSpace::~AddressSpace() = default;

}  // namespace secmmu
