// What the oracle says when a rule is broken: written like a good bug report.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "notifier/substrate/time.hpp"

namespace secmmu {

struct Violation {
  std::string rule;                // name, as in `secmmu explain`
  Time at;
  std::string task;                // who did it
  std::string summary;             // one line: what happened
  std::vector<std::string> story;  // what led to it, in order, each line with its time and task
  std::string forbidden_by;        // the rule of the protocol, one sentence
  std::uint64_t event = 0;         // ordinal of the event at which it was noticed
};

// A live illegal translation that nobody has used: reported, and a violation only if the scenario is strict.
struct Finding {
  std::string rule;
  Time at;
  std::string summary;
};

}  // namespace secmmu
