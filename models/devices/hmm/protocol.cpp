#include "models/devices/hmm/driver.hpp"

namespace secmmu {
namespace {

struct Row {
  ProtocolRule rule;
  bool HmmProtocol::*member;
};

const std::vector<Row>& rows() {
  static const std::vector<Row> table = {
      {{"read-begin-before-walk", "A fault reads the sequence before it looks at the page table."},
       &HmmProtocol::read_begin_before_walk},
      {{"wait-outside-lock", "A fault waits for the end of an invalidation without the driver's lock."},
       &HmmProtocol::wait_outside_lock},
      {{"fault-for-write", "The fault of a write asks for a page that is writable."}, &HmmProtocol::fault_for_write},
      {{"retry-check", "A fault asks whether the sequence moved before it writes an entry."},
       &HmmProtocol::retry_check},
      {{"retry-under-lock", "A fault asks that under the driver's lock, and not before it."},
       &HmmProtocol::retry_under_lock},
      {{"fill-under-lock", "Entries are written before the lock is given back under which the sequence was asked."},
       &HmmProtocol::fill_under_lock},
      {{"write-only-if-pte-writable", "An entry is writable only if the page table allowed writing."},
       &HmmProtocol::write_only_if_pte_writable},
      {{"set-sequence", "An invalidation stores its sequence, so that faults under way begin again."},
       &HmmProtocol::set_sequence},
      {{"invalidate-under-lock", "An invalidation works under the driver's lock."},
       &HmmProtocol::invalidate_under_lock},
      {{"refuse-when-not-blockable",
        "An invalidation that may not block only tries the lock, and refuses if it is held."},
       &HmmProtocol::refuse_when_not_blockable},
      {{"drop-whole-range", "An invalidation drops every entry of its range."}, &HmmProtocol::drop_whole_range},
      {{"empty-before-remove", "The device's page table is emptied before the subscription is removed."},
       &HmmProtocol::empty_before_remove},
      {{"dirty-to-page", "Whoever drops an entry through which the device may have written marks its page dirty."},
       &HmmProtocol::dirty_to_page},
  };
  return table;
}

}  // namespace

const std::vector<ProtocolRule>& hmm_protocol() {
  static const std::vector<ProtocolRule> rules = [] {
    std::vector<ProtocolRule> list;
    for (const Row& row : rows()) list.push_back(row.rule);
    return list;
  }();
  return rules;
}

bool HmmProtocol::switch_off(std::string_view rule) {
  for (const Row& row : rows()) {
    if (row.rule.name != rule) continue;
    this->*row.member = false;
    return true;
  }
  return false;
}

}  // namespace secmmu
