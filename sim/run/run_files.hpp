// The files of one run: every sink, its output file, and the documents that are written at the end. Without
// a directory it does nothing.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "notifier/substrate/trace/bus.hpp"
#include "sim/output/run_description.hpp"
#include "sim/output/sink.hpp"
#include "sim/output/statistics.hpp"
#include "sim/output/verdict.hpp"

namespace secmmu {

class RunFiles {
 public:
  RunFiles(const std::string& directory, const RunDescription& run, const SinkOptions& options);
  ~RunFiles();
  RunFiles(const RunFiles&) = delete;
  RunFiles& operator=(const RunFiles&) = delete;

  void attach(Bus& bus);
  void violation(const Violation& violation);
  // Completes every file. `verdict` learns where they are.
  void finish(RunVerdict& verdict, const std::vector<StatisticRow>& counters, const std::string& resolved);

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;  // nullptr: no directory
};

}  // namespace secmmu
