#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <fmt/format.h>
#include <systemc>

#include "sim/commands/command.hpp"
#include "sim/commands/usage.hpp"
#include "models/elaboration.hpp"
#include "sim/run/worker.hpp"

namespace {

int perform(int argc, char** argv) {
  CLI::App program{
      "secmmu simulates machines with secondary MMUs: it plays scenarios, says when a translation is no\n"
      "longer legal, who used it and why, and writes waveforms and traces.",
      "secmmu"};
  program.require_subcommand(1);
  program.get_formatter()->column_width(25);
  program.footer(
      "Exit codes: 0 every expectation held; 1 an expectation or a rule failed; 2 wrong usage or input;\n"
      "3 internal fault; 4 inconclusive (a limit was reached first).\n"
      "First steps: secmmu run scenarios/tour/*.yaml");
  secmmu::Action action;
  secmmu::add_run_command(program, action);
  secmmu::add_check_command(program, action);
  secmmu::add_conform_command(program, action);
  secmmu::add_list_command(program, action);
  secmmu::add_explain_command(program, action);
  secmmu::add_schema_command(program, action);
  if (const std::string wrong = secmmu::wrong_subcommand(program, argc, argv); !wrong.empty())
    return secmmu::usage_error("", wrong);
  try {
    program.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    fmt::print("{}", program.help());  // of the subcommand, if one was named
    return 0;
  } catch (const CLI::ParseError& error) {
    const auto chosen = program.get_subcommands();
    return secmmu::usage_error(chosen.empty() ? "" : chosen.front()->get_name(),
                               secmmu::wrong_usage(chosen.empty() ? program : *chosen.front(), error));
  }
  return action();
}

}  // namespace

int main(int argc, char** argv) {
  setenv("SYSTEMC_DISABLE_COPYRIGHT_MESSAGE", "1", 1);
  int code = 0;
  try {
    code = perform(argc, argv);
  } catch (const std::exception& error) {
    // fmt refuses to lose what it prints: that is a full disk, not a fault of ours.
    if (std::ferror(stdout) == 0) {
      fmt::print(stderr, "secmmu: internal fault: {}\n", error.what());
      return static_cast<int>(secmmu::ExitCode::fault);
    }
  }
  const bool was_broken = std::ferror(stdout) != 0;
  if (std::fflush(stdout) == 0 && !was_broken) return code;
  fmt::print(stderr, "secmmu: error: cannot write to standard output{}{}\n", errno == 0 ? "" : ": ",
             errno == 0 ? "" : std::strerror(errno));
  return static_cast<int>(secmmu::ExitCode::input);
}

// SystemC's way into the program; a worker comes by here.
int sc_main(int, char**) { return secmmu::run_elaboration(); }
