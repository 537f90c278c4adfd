#include <memory>

#include <fmt/format.h>

#include "sim/commands/command.hpp"
#include "sim/oracle/oracle.hpp"
#include "sim/run/worker.hpp"
#include "sim/scenario/diagnostic.hpp"

namespace secmmu {

void add_explain_command(CLI::App& program, Action& chosen) {
  auto rule = std::make_shared<std::string>();
  CLI::App* command = program.add_subcommand("explain", "Explains a rule of the oracle.");
  command->add_option("RULE", *rule, "Its name, as in `secmmu list rules`.")->required();
  command->callback([rule, &chosen] {
    chosen = [rule] {
      if (const RuleInfo* info = find_oracle_rule(*rule)) {
        fmt::print("{}: {}\n\n{}\n", info->name, info->sentence, info->explain);
        return static_cast<int>(ExitCode::held);
      }
      std::vector<std::string> names;
      for (const RuleInfo& info : oracle_rules()) names.emplace_back(info.name);
      const std::string close = nearest(*rule, names);
      fmt::print(stderr, "secmmu explain: error: no rule '{}', expected one of: {}{}\n", *rule,
                 fmt::join(names, ", "), close.empty() ? "" : fmt::format("; did you mean '{}'?", close));
      return static_cast<int>(ExitCode::input);
    };
  });
}

}  // namespace secmmu
