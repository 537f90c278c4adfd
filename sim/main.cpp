#include <cstdlib>

#include <fmt/format.h>
#include <systemc>

#include "sim/commands/command.hpp"
#include "sim/run/worker.hpp"

int main(int argc, char** argv) {
  setenv("SYSTEMC_DISABLE_COPYRIGHT_MESSAGE", "1", 1);
  CLI::App program{"secmmu simulates machines with secondary MMUs: it plays scenarios, says when a translation is no\n"
                   "longer legal, who used it and why, and writes waveforms and traces.",
                   "secmmu"};
  program.require_subcommand(1);
  program.footer("Exit codes: 0 every expectation held; 1 an expectation or a rule failed; 2 wrong usage or input;\n"
                 "3 internal fault; 4 inconclusive (a limit was reached first).\n"
                 "First steps: secmmu run scenarios/tour/*.yaml");
  secmmu::Action action;
  secmmu::add_run_command(program, action);
  secmmu::add_check_command(program, action);
  secmmu::add_list_command(program, action);
  secmmu::add_explain_command(program, action);
  secmmu::add_schema_command(program, action);
  try {
    program.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    // For the subcommand it was asked of.
    const auto chosen = program.get_subcommands();
    fmt::print("{}", chosen.empty() ? program.help() : chosen.front()->help());
    return 0;
  } catch (const CLI::ParseError& error) {
    fmt::print(stderr, "secmmu: error: {}\nTry 'secmmu --help'.\n", error.what());
    return static_cast<int>(secmmu::ExitCode::input);
  }
  try {
    return action();
  } catch (const std::exception& error) {
    fmt::print(stderr, "secmmu: internal fault: {}\n", error.what());
    return static_cast<int>(secmmu::ExitCode::fault);
  }
}

// SystemC's way into the program; a worker comes by here.
int sc_main(int, char**) {
  sc_core::sc_report_handler::set_actions(sc_core::SC_WARNING, sc_core::SC_THROW);
  sc_core::sc_report_handler::set_actions(sc_core::SC_INFO, sc_core::SC_DO_NOTHING);
  return secmmu::run_elaboration();
}
