#include "models/devices/kvm/protocol.hpp"

namespace secmmu {
namespace {

struct Row {
  ProtocolRule rule;
  bool KvmProtocol::*member;
};

const std::vector<Row>& rows() {
  static const std::vector<Row> table = {
      {{"active-count-check", "A fault maps nothing while a range that may concern its page is open."},
       &KvmProtocol::active_count_check},
      {{"hull-covers-all-open-ranges", "A range that opens beside an open one widens the hull of both."},
       &KvmProtocol::hull_covers_all_open_ranges},
      {{"sequence-check", "A fault maps nothing if the sequence has moved since it looked."},
       &KvmProtocol::sequence_check},
      {{"sequence-before-gup", "A fault looks at the sequence before it asks for the page, not after."},
       &KvmProtocol::sequence_before_gup},
      {{"bump-sequence-at-end", "The end of a range moves the sequence."}, &KvmProtocol::bump_sequence_at_end},
      {{"retry-under-mmu-lock", "A fault asks whether it is stale under the lock under which it maps."},
       &KvmProtocol::retry_under_mmu_lock},
      {{"zap-in-start", "A start takes the range out of the table before it returns."}, &KvmProtocol::zap_in_start},
      {{"zap-every-slot", "An invalidation takes a page out wherever a slot shows it."}, &KvmProtocol::zap_every_slot},
      {{"flush-remote-tlbs", "Whoever took entries out of the table has the virtual CPUs flush their TLBs."},
       &KvmProtocol::flush_remote_tlbs},
      {{"flush-before-unlock", "That flush is over before mmu_lock is given back."}, &KvmProtocol::flush_before_unlock},
      {{"release-drops-all", "Release takes everything out of the table, and nothing comes back."},
       &KvmProtocol::release_drops_all},
      {{"host-writable-check", "An entry is writable only if the process may write the page now."},
       &KvmProtocol::host_writable_check},
      {{"host-level-check", "An entry is as large as the process's own, which is looked at under mmu_lock."},
       &KvmProtocol::host_level_check},
      {{"dirty-to-page", "Whoever takes an entry out marks its page dirty if the guest wrote through it."},
       &KvmProtocol::dirty_to_page},
      {{"young-from-entry", "Questions after a page's age are answered by the entries' Accessed."},
       &KvmProtocol::young_from_entry},
  };
  return table;
}

}  // namespace

const std::vector<ProtocolRule>& kvm_protocol() {
  static const std::vector<ProtocolRule> rules = [] {
    std::vector<ProtocolRule> list;
    for (const Row& row : rows()) list.push_back(row.rule);
    return list;
  }();
  return rules;
}

bool KvmProtocol::switch_off(std::string_view rule) {
  for (const Row& row : rows()) {
    if (row.rule.name != rule) continue;
    this->*row.member = false;
    return true;
  }
  return false;
}

}  // namespace secmmu
