// How the notifier core behaves in one kernel. Values come from the table of changes (changes.cpp); a
// scenario may override any of them (`behaviour:`). The defaults are v6.10's.
#pragma once

#include <string>
#include <vector>

#include "notifier/kernel.hpp"

namespace secmmu {

struct NotifierBehaviour {
  // --- lifetime ---
  std::string read_side = "srcu";                     // rcu | srcu: the section around every callback
  std::string release_order = "call-then-unlink";     // unlink-then-call | call-then-unlink
  std::string release_section = "until-unlinked";     // each-call | all-calls | until-unlinked
  std::string unregister_order = "call-then-unlink";  // unlink-then-call | call-then-unlink
  bool unregister_copes_with_unlinked = true;         // unlinks by a deletion that may come second
  std::string allocation = "under-mmap-lock";         // before-mmap-lock | under-all-locks | under-mmap-lock
  bool skips_empty_list = true;                       // start, end and release look before they enter a section
  bool get_put = true;                                // get, put and free_notifier exist
  std::string synchronize = "sections";               // absent | callbacks | sections
  bool unregister_no_release = false;                 // exists
  bool call_after_grace = false;                      // drivers may queue work of their own (mmu_notifier_call_srcu)

  // --- callbacks ---
  bool change_pte = false;              // exists
  bool change_pte_fallback = false;     // without it, invalidate_page is called
  bool invalidate_page = false;         // exists
  bool test_young = true;               // exists
  bool clear_young = true;              // exists
  bool young_by_range = true;           // clear_flush_young gets a range, else the first page only
  bool start_may_fail = true;           // start has an answer; ranges are blockable or not
  bool failed_start_rolls_back = true;  // those who were told of a start that failed get its end
  bool blocking_checks = true;          // who announces must be able to sleep; non-blockable callbacks must not
  bool blockable_flag = false;          // a subscriber says once for all whether it may block
  bool invalidate_range = false;        // exists; end calls it too
  bool only_end = false;                // an end that does not call invalidate_range exists
  bool secondary_tlbs = true;           // arch_invalidate_secondary_tlbs exists

  // --- interval subscriptions ---
  bool intervals = true;                        // exist
  std::string interval_insert_asks = "users";   // count | users: what must not be 0
  std::string interval_remove_looks = "locked";  // unlocked | locked: how it sees that its range is over
};
const ParameterTable<NotifierBehaviour>& notifier_behaviour_table();
const std::vector<Change>& notifier_changes();
// Throws std::invalid_argument for a version before v2.6.27, which has no notifiers.
NotifierBehaviour notifier_behaviour(KernelVersion version);

}  // namespace secmmu
