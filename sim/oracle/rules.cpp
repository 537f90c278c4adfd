// The table of all rules, in the order in which people should learn them.
#include "sim/oracle/rule.hpp"

namespace secmmu {

const std::vector<RuleRow>& rule_rows() {
  static const std::vector<RuleRow> rows = {
      use_after_free_rule(),
      stale_mapping_rule(),
      stale_write_permission_rule(),
      map_in_open_range_rule(),
      release_leaves_translation_rule(),
      unbalanced_range_rule(),
      callback_after_unregister_rule(),
      callback_after_release_rule(),
      double_unlink_rule(),
      kernel_warning_rule(),
      sleep_in_atomic_rule(),
      lock_order_rule(),
      deadlock_rule(),
      no_progress_rule(),
      reference_count_rule(),
      lost_dirty_rule(),
      lost_young_rule(),
  };
  return rows;
}

const std::vector<RuleInfo>& oracle_rules() {
  static const std::vector<RuleInfo> infos = [] {
    std::vector<RuleInfo> list;
    for (const RuleRow& row : rule_rows()) list.push_back(row.info);
    return list;
  }();
  return infos;
}

const RuleInfo* find_oracle_rule(std::string_view name) {
  for (const RuleInfo& info : oracle_rules())
    if (info.name == name) return &info;
  return nullptr;
}

}  // namespace secmmu
