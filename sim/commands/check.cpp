#include <memory>

#include <fmt/format.h>

#include "sim/commands/command.hpp"
#include "sim/run/worker.hpp"
#include "sim/scenario/parser.hpp"

namespace secmmu {

void add_check_command(CLI::App& program, Action& chosen) {
  struct Request {
    std::vector<std::string> files;
    std::vector<std::string> sets;
  };
  auto request = std::make_shared<Request>();
  CLI::App* command = program.add_subcommand("check", "Parses and validates scenarios without running them.");
  command->add_option("SCENARIO", request->files, "Scenario files.")->required();
  command->add_option("--set", request->sets, "Overrides a value, as in run.")
      ->type_name("PATH=VALUE")
      ->expected(1)
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command->callback([request, &chosen] {
    chosen = [request] {
      bool sound = true;
      for (const std::string& file : request->files) {
        const ParseResult parsed = parse_scenario_file(file, request->sets);
        for (const Diagnostic& error : parsed.errors) fmt::print(stderr, "{}", to_text(error));
        sound = sound && parsed.errors.empty();
        if (parsed.errors.empty()) fmt::print("{}: ok\n", file);
      }
      return static_cast<int>(sound ? ExitCode::held : ExitCode::input);
    };
  });
}

}  // namespace secmmu
