// Plays recordings: many in one worker process, each a reset of the same machine. A worker that crashes takes nothing
// with it but the recording that it was playing.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "models/platform.hpp"
#include "sim/conform/recording.hpp"
#include "sim/scenario/scenario.hpp"

namespace secmmu::conform {

struct Performance {
  std::vector<std::vector<Line>> lines;  // of each block of the recording
  std::vector<std::string> remarks;      // what else went wrong: a rule of the oracle, an end before its time
  std::string fault;                     // the simulator's own; then nothing else is meaningful
};

struct PlayOptions {
  std::string kernel = "v6.1";
  unsigned jobs = 1;
  std::vector<std::string> without;  // rules that the devices that have them break, beside those of the recorded ones
  std::function<void(std::size_t index)> before_each;  // in the worker; for tests of its end
};

// `hear` is called once for each recording, in their order, as soon as it and those before it have been played.
void perform(const std::vector<Recording>& recordings, const PlayOptions& options,
             const std::function<void(std::size_t index, const Performance&)>& hear);

// One recording, by the director of a machine that can play it; `scenario` is its translation.
Performance perform(Platform& platform, const Recording& recording, const Scenario& scenario,
                    const std::string& kernel);

}  // namespace secmmu::conform
