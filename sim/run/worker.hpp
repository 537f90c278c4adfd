// One scenario file is one process: SystemC can be elaborated once, and a crash must stay with its file.
// The parent forks workers, hears of every run over their pipes, and tells results in order of the command line.
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
  std::string directory;              // --out; empty: none
  std::vector<std::string> kernels;   // --kernel; empty: those of the scenario
  std::optional<std::uint64_t> seed;  // --seed: just this one
  unsigned jobs = 1;
  bool build_only = false;  // build the machine, play nothing
  bool brief = false;       // a line for a run that did as expected
  bool verbose = false;     // every run in full, also the many seeds of one kernel
  bool colour = false;
  bool progress = false;
  SinkOptions sinks;
};

struct FileResult {
  ExitCode code = ExitCode::held;
  std::string report;  // for standard output
  std::string errors;  // for standard error
  std::uint64_t runs = 0;
  std::uint64_t passed = 0;
  std::uint64_t never = 0;  // how many `sometimes` held in no run of their kernel
  std::vector<SummaryEntry> summary;
  std::vector<JunitResult> junit;
};

// Runs every scenario, `jobs` at a time; `hear` is called in the order of `scenarios`, as soon as a result and those
// before it are complete. A signal that ends the program (SIGINT, SIGTERM, SIGHUP, SIGPIPE) ends the workers first and
// takes away what they had half written.
void run_scenarios(const std::vector<Scenario>& scenarios, const RunOptions& options,
                   const std::function<void(const FileResult&)>& hear);

}  // namespace secmmu
