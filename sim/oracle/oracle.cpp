#include "sim/oracle/oracle.hpp"

#include "sim/oracle/ledger.hpp"
#include "sim/oracle/reports.hpp"
#include "sim/oracle/rule.hpp"

namespace secmmu {

struct Oracle::Parts {
  Parts() : reports(ledger) {
    for (const RuleRow& row : rule_rows()) rules.push_back(row.make(row.info, ledger, reports));
    ledger.on_broken = [this](const Translation& translation, const Stamp& stamp) {
      for (const auto& rule : rules) rule->broken(translation, stamp);
    };
    ledger.on_gone = [this](const Translation& translation) {
      for (const auto& rule : rules) rule->gone(translation);
    };
  }

  Ledger ledger;
  Reports reports;
  std::vector<std::unique_ptr<Rule>> rules;
  RunDescription run;
  OracleOptions options;
};

Oracle::Oracle() : parts_(std::make_unique<Parts>()) {}
Oracle::~Oracle() = default;

void Oracle::attach(Bus& bus, const RunDescription& run, OracleOptions options) {
  parts_->ledger.listen(bus);
  for (const auto& rule : parts_->rules) rule->listen(bus);
  reset(run, options);
}

void Oracle::reset() {
  parts_->ledger.reset();
  parts_->reports.begin(parts_->run, parts_->options);
  for (const auto& rule : parts_->rules) rule->reset();
}

void Oracle::reset(const RunDescription& run, OracleOptions options) {
  parts_->run = run;
  parts_->options = options;
  reset();
}

void Oracle::on_violation(std::function<void(const Violation&)> hear) { parts_->reports.hear = std::move(hear); }

void Oracle::finish(const RunEnding& ending) {
  Stamp stamp;
  stamp.at = ending.at;
  stamp.number = UINT64_MAX - 1;  // after everything
  stamp.task = UINT32_MAX;
  for (const auto& rule : parts_->rules) rule->finish(ending, stamp);
  for (const Translation& translation : parts_->ledger.translations())
    if (translation.ghost != nullptr && translation.breach != Breach::none)
      for (const auto& rule : parts_->rules) rule->gone(translation);
}

const std::vector<Violation>& Oracle::violations() const { return parts_->reports.violations(); }
const std::vector<Finding>& Oracle::findings() const { return parts_->reports.findings(); }
std::uint64_t Oracle::count(std::string_view rule) const { return parts_->reports.count(rule); }
bool Oracle::clean() const { return parts_->reports.violations().empty(); }
std::vector<std::string> Oracle::audit() const { return parts_->ledger.audit(); }
std::vector<std::string> Oracle::snapshot() const { return parts_->ledger.snapshot(); }

}  // namespace secmmu
