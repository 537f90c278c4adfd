// How drivers behave in one kernel, where that differs in more than the callbacks that the kernel has. Values come
// from the table of changes (changes.cpp); a scenario may override any of them. The defaults are v6.10's.
#pragma once

#include <string>
#include <vector>

#include "notifier/kernel.hpp"

namespace secmmu {

struct DriverBehaviour {
  bool kvm_hull = true;                     // a fault waits only for ranges that may concern its page
  bool kvm_skips_others = true;             // an invalidation that meets no memory slot is not counted
  std::string kvm_change_pte = "in-range";  // always | in-range: when change_pte is acted on
  bool kvm_early_look = true;               // a fault looks for open ranges before it asks for the page, too
};
const ParameterTable<DriverBehaviour>& driver_behaviour_table();
const std::vector<Change>& driver_changes();
DriverBehaviour driver_behaviour(KernelVersion version);

}  // namespace secmmu
