// How the notifier core behaves in one kernel. Values come from the table of changes (changes.cpp);
// a scenario may override any of them (`behaviour:`).
#pragma once

#include <string>

#include "notifier/kernel.hpp"

namespace secmmu {

struct NotifierBehaviour {
  std::string read_side = "srcu";                   // rcu | srcu
  std::string release_order = "call-then-unlink";   // unlink-then-call | call-then-unlink
  std::string unregister_order = "call-then-unlink";// unlink-then-call | call-then-unlink
  bool change_pte = false;                          // the callback exists
  bool change_pte_fallback = false;                 // without it, invalidate_page is called
  bool invalidate_page = false;
  bool test_young = true;
  bool clear_young = true;
  bool young_by_range = true;                       // clear_flush_young gets a range, else one page
  bool start_may_fail = true;                       // start returns a result; ranges are blockable or not
  bool failed_start_rolls_back = true;              // those that were called get their end
  bool secondary_tlbs = true;                       // arch_invalidate_secondary_tlbs exists
  bool get_put = true;                              // get, put and free_notifier exist
};
const ParameterTable<NotifierBehaviour>& notifier_behaviour_table();
const std::vector<Change>& notifier_changes();
NotifierBehaviour notifier_behaviour(KernelVersion version);

}  // namespace secmmu
