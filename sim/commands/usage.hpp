// What a wrong command line is told: one line, with the nearest name that would be right.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <CLI/CLI.hpp>

namespace secmmu {

struct WrongUsage : std::runtime_error {
  using std::runtime_error::runtime_error;
};
// The number that an option was given, else WrongUsage.
std::uint64_t number_option(std::string_view option, const std::string& text, std::uint64_t least, std::uint64_t most);

// The kernels of --kernel, as a scenario names them: one, a range, all; several apart by commas, or the option again.
std::vector<std::string> kernels_option(const std::vector<std::string>& words);

// Prints "secmmu <command>: error: <text>" and a line that points at --help; the exit code for wrong usage.
int usage_error(std::string_view command, std::string_view text);

// "no rule 'x', expected a, b or c; did you mean 'b'?"
std::string unknown_name(std::string_view kind, std::string_view word, const std::vector<std::string>& known);
// The same for a kernel; of versions that are not there the one before is nearest.
std::string unknown_kernel(std::string_view word);

// What is wrong with the first word, before anything is parsed; empty: nothing.
std::string wrong_subcommand(const CLI::App& program, int argc, char** argv);
// What CLI11 found wrong, in our words.
std::string wrong_usage(const CLI::App& command, const CLI::ParseError& error);

}  // namespace secmmu
