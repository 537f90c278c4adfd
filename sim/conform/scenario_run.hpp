// A run of any scenario, told in the form of a recording: of the buffer that the scenario watches.
#pragma once

#include <string>
#include <vector>

#include "sim/conform/recording.hpp"
#include "sim/scenario/scenario.hpp"

namespace secmmu::conform {

struct RecordedScenario {
  std::vector<Recording> recordings;  // of each kernel; all have the same blocks
  std::vector<std::string> missing;  // by kernel: what it lacks, and where its recording ends; empty: nothing
  std::string refused;                // why this scenario cannot be recorded
  std::string fault;                  // the simulator's own
};

// A subscriber that does nothing is added before all others, unless the scenario has one of that name. Operations of
// different actors stand in the order in which they began, each with what its actor caused; a step for which recordings
// have no name is a remark. Plays in a process of its own.
RecordedScenario record(const Scenario& scenario, const std::vector<std::string>& kernels);

}  // namespace secmmu::conform
