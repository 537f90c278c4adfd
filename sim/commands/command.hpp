// A subcommand: it declares its options, then runs. One file each; main.cpp only dispatches.
#pragma once

#include <functional>
#include <vector>

#include <CLI/CLI.hpp>

namespace secmmu {

// Adds the subcommand to the program. When it was chosen, `chosen` is set to what to run.
using Action = std::function<int()>;
void add_run_command(CLI::App& program, Action& chosen);
void add_check_command(CLI::App& program, Action& chosen);
void add_conform_command(CLI::App& program, Action& chosen);
void add_list_command(CLI::App& program, Action& chosen);
void add_explain_command(CLI::App& program, Action& chosen);
void add_schema_command(CLI::App& program, Action& chosen);

}  // namespace secmmu
