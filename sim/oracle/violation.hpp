// What the oracle says when a rule is broken: written like a good bug report.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "notifier/substrate/address.hpp"
#include "notifier/substrate/time.hpp"

namespace secmmu {

struct Violation {
  std::string rule;  // name, as in `secmmu explain`
  Time at;
  std::string task;                // who did it
  std::string summary;             // one line: what happened
  std::vector<std::string> story;  // what led to it, in order, each line with its time and task
  std::string forbidden_by;        // the rule of the protocol, one sentence
  std::uint64_t event = 0;         // ordinal of the event at which it was noticed
  // Where, as far as it applies; for sinks that place it on a lane.
  std::string device;  // or "cpu1"; empty: no device
  std::string mm;
  PageRange pages;         // empty: no page
  std::uint64_t more = 0;  // how often it happened again at the same place
};

// A live illegal translation that nobody has used: reported, and a violation only if the scenario is strict.
struct Finding {
  std::string rule;
  Time at;
  std::string summary;
};

}  // namespace secmmu
