// One rule of the oracle: a file of its own, with a class that listens and the text that explains it. A new
// rule is that file, its line in the table of rules.cpp, and a scenario that breaks it.
#pragma once

#include <memory>
#include <vector>

#include "sim/oracle/ledger.hpp"
#include "sim/oracle/oracle.hpp"
#include "sim/oracle/reports.hpp"

namespace secmmu {

class Rule {
 public:
  Rule(const RuleInfo& info, Ledger& ledger, Reports& reports) : info_(info), ledger_(ledger), reports_(reports) {}
  Rule(const Rule&) = delete;
  Rule& operator=(const Rule&) = delete;
  virtual ~Rule() = default;

  // The ledger has heard each event before the rules do.
  virtual void listen(Bus&) {}
  virtual void reset() {}
  virtual void finish(const RunEnding&, const Stamp&) {}
  // A translation became illegal, or one that is illegal goes or is still there at the end of the run.
  virtual void broken(const Translation&, const Stamp&) {}
  virtual void gone(const Translation&) {}

 protected:
  const RuleInfo& info_;
  Ledger& ledger_;
  Reports& reports_;
};

struct RuleRow {
  RuleInfo info;
  std::unique_ptr<Rule> (*make)(const RuleInfo& info, Ledger& ledger, Reports& reports);
};
const std::vector<RuleRow>& rule_rows();

template <class R>
std::unique_ptr<Rule> make_rule(const RuleInfo& info, Ledger& ledger, Reports& reports) {
  return std::make_unique<R>(info, ledger, reports);
}

// Each in the file of its name.
RuleRow use_after_free_rule();
RuleRow stale_write_permission_rule();
RuleRow stale_mapping_rule();
RuleRow map_in_open_range_rule();
RuleRow release_leaves_translation_rule();
RuleRow unbalanced_range_rule();
RuleRow callback_after_unregister_rule();
RuleRow callback_after_release_rule();
RuleRow double_unlink_rule();
RuleRow kernel_warning_rule();
RuleRow sleep_in_atomic_rule();
RuleRow lock_order_rule();
RuleRow deadlock_rule();
RuleRow no_progress_rule();
RuleRow reference_count_rule();
RuleRow lost_dirty_rule();
RuleRow lost_young_rule();

}  // namespace secmmu
