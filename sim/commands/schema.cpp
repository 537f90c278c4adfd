#include <fmt/format.h>

#include "sim/commands/command.hpp"
#include "sim/scenario/schema.hpp"

namespace secmmu {

void add_schema_command(CLI::App& program, Action& chosen) {
  CLI::App* command = program.add_subcommand("schema", "Prints the JSON Schema of scenario files, for editors.");
  command->footer("");
  command->callback([&chosen] {
    chosen = [] {
      fmt::print("{}", json_schema());
      return 0;
    };
  });
}

}  // namespace secmmu
