#include <memory>

#include <fmt/format.h>

#include "sim/commands/command.hpp"
#include "sim/commands/text.hpp"
#include "sim/commands/usage.hpp"
#include "sim/oracle/oracle.hpp"
#include "sim/run/worker.hpp"
#include "sim/scenario/diagnostic.hpp"

namespace secmmu {
namespace {

int explain(const std::string& rule) {
  if (const RuleInfo* info = find_oracle_rule(rule)) {
    fmt::print("{}: {}\n\n{}\n", info->name, info->sentence, info->explain);
    return static_cast<int>(ExitCode::held);
  }
  // A report names these too: `without:` in a scenario switches them off.
  bool found = false;
  for (const DeviceKind& device : catalogue().devices)
    for (const NamedSentence& row : device.protocol) {
      if (row.name != rule) continue;
      found = true;
      fmt::print("{}: {}\n\n{}", row.name, row.sentence,
                 paragraph(fmt::format("A rule that the driver of the device kind {0} keeps. A scenario shows what it "
                                       "is for by switching it off: `without: [{1}]` beside `kind: {0}`.",
                                       device.name, row.name),
                           0));
    }
  if (found) return static_cast<int>(ExitCode::held);
  std::vector<std::string> names;
  for (const RuleInfo& info : oracle_rules()) names.emplace_back(info.name);
  const std::vector<std::string> oracle = names;
  for (const DeviceKind& device : catalogue().devices)
    for (const NamedSentence& row : device.protocol) names.push_back(row.name);
  const std::string close = nearest(rule, names);
  return usage_error("explain", fmt::format("no rule '{}', expected {}{}", rule, language::one_of(oracle),
                                            close.empty() ? "" : fmt::format("; did you mean '{}'?", close)));
}

}  // namespace

void add_explain_command(CLI::App& program, Action& chosen) {
  auto rule = std::make_shared<std::string>();
  CLI::App* command = program.add_subcommand("explain", "Explains a rule: what is forbidden, why, and how to fix it.");
  command->footer("");
  command->add_option("RULE", *rule, "A name from `secmmu list rules`, or from a device's protocol.")
      ->type_name("")
      ->required();
  command->callback([rule, &chosen] { chosen = [rule] { return explain(*rule); }; });
}

}  // namespace secmmu
