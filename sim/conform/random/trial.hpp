// Plays one random program and says what was wrong.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/platform.hpp"
#include "sim/conform/recording.hpp"
#include "sim/scenario/scenario.hpp"

namespace secmmu::conform {

// in_order: as it is written, one operation after the other; each access must see exactly what the model says.
// crowded: everybody at once (crowd.hpp); each access must see what memory holds at that moment.
enum class PlayForm { in_order, crowded };

struct TrialOptions {
  std::string kernel = "v6.1";
  PlayForm form = PlayForm::in_order;
  std::vector<std::string> without;  // rules of the device's protocol that are switched off
};

struct Trial {
  std::string kind;  // of what was wrong: "value", a rule of the oracle, "audit", "end", "fault"; empty: nothing
  std::string what;  // a sentence, or some
  bool sound() const { return kind.empty(); }
};

// The program as the trial plays it.
Scenario scenario_of(const Recording& program, std::uint64_t seed, const TrialOptions& options);

// On a machine that can play the scenario; called by its director. What a kernel lacks ends the program there.
struct Told {
  std::vector<std::vector<Line>> lines;  // of each block, as they should have been; in_order only
  Scenario scenario;                     // with each step's result as it was, so that `run` finds the rest only
};
Trial try_program(Platform& platform, const Recording& program, const Scenario& scenario, const TrialOptions& options,
                  Told* told = nullptr);

}  // namespace secmmu::conform
