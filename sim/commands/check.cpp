#include <memory>

#include <fmt/format.h>

#include "sim/commands/command.hpp"
#include "sim/run/worker.hpp"
#include "sim/scenario/parser.hpp"

namespace secmmu {
namespace {

int check(const std::vector<std::string>& files, const std::vector<std::string>& sets) {
  ExitCode code = ExitCode::held;
  std::vector<Scenario> scenarios;
  for (const std::string& file : files) {
    ParseResult parsed = parse_scenario_file(file, sets);
    for (const Diagnostic& error : parsed.errors) fmt::print(stderr, "{}", to_text(error));
    if (parsed.scenario) {
      scenarios.push_back(std::move(*parsed.scenario));
    } else {
      code = ExitCode::input;
    }
  }
  // Some mistakes show only when the machine is built: a cache of 7 entries in 4 ways.
  RunOptions options;
  options.build_only = true;
  options.jobs = 4;
  std::size_t next = 0;
  run_scenarios(scenarios, options, [&](const FileResult& result) {
    const std::string& path = scenarios[next++].path;
    fmt::print(stderr, "{}", result.errors);
    if (result.code == ExitCode::held) fmt::print("{}: ok\n", path);
    code = more_serious(code, result.code);
  });
  return static_cast<int>(code);
}

}  // namespace

void add_check_command(CLI::App& program, Action& chosen) {
  struct Request {
    std::vector<std::string> files;
    std::vector<std::string> sets;
  };
  auto request = std::make_shared<Request>();
  CLI::App* command = program.add_subcommand("check", "Says what is wrong with scenarios, without running them.");
  command->footer("Exit codes: 0 all are sound; 2 one is not.");
  command->add_option("SCENARIO", request->files, "Scenario files.")->type_name("")->required();
  command->add_option("--set", request->sets, "Overrides a value, as in run; may be repeated.")
      ->type_name("PATH=VALUE")
      ->expected(1)
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command->callback([request, &chosen] { chosen = [request] { return check(request->files, request->sets); }; });
}

}  // namespace secmmu
