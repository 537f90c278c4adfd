// One scenario file is one process: SystemC can be elaborated once, and a crash must stay with its file.
// The parent forks a worker, hears of every run over a pipe, and prints in order of the command line.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "sim/output/junit.hpp"
#include "sim/output/sink.hpp"
#include "sim/output/verdict.hpp"
#include "sim/scenario/scenario.hpp"

namespace secmmu {

// Exit codes of the program; of several files the most serious counts (3, then 2, 1, 4, 0).
enum class ExitCode { held = 0, failed = 1, input = 2, fault = 3, inconclusive = 4 };
ExitCode more_serious(ExitCode a, ExitCode b);

struct RunOptions {
  std::string directory;             // --out; empty: none
  std::vector<std::string> kernels;  // --kernel; empty: those of the scenario
  std::optional<std::uint64_t> seed; // --seed: just this one
  unsigned jobs = 1;
  bool colour = false;
  bool progress = false;
  SinkOptions sinks;
};

struct FileResult {
  ExitCode code = ExitCode::held;
  std::string report;  // for standard output
  std::string errors;  // for standard error
  std::vector<SummaryEntry> summary;
  std::vector<JunitResult> junit;
};

// Runs every scenario; the results come in the order of `scenarios`, and `hear` is called in that order as
// soon as a result is complete.
std::vector<FileResult> run_scenarios(const std::vector<Scenario>& scenarios, const RunOptions& options,
                                      const std::function<void(const FileResult&)>& hear);

// What sc_main does in a worker; see main.cpp.
int run_elaboration();

}  // namespace secmmu
