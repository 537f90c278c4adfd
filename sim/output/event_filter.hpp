// Which events a sink that lists them writes, and how many it left out for which reason.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "sim/output/sink.hpp"

namespace secmmu {

// The core's lane: "cpu0".
std::string core_name(int core);

class EventFilter {
 public:
  EventFilter(const RunDescription& run, SinkOptions options) : run_(run), options_(std::move(options)) {}

  bool wants(const AnyEvent& event);  // counts it either way

  std::uint64_t seen() const { return seen_; }
  std::uint64_t written() const { return seen_ - outside_ - other_lanes_ - too_many_; }
  std::uint64_t outside_window() const { return outside_; }
  std::uint64_t in_other_lanes() const { return other_lanes_; }
  std::uint64_t too_many() const { return too_many_; }
  // "12 outside the window, 3 in other lanes, 7 after the first 1000"; empty: nothing was left out.
  std::string left_out() const;

  const SinkOptions& options() const { return options_; }

 private:
  bool in_a_lane(const AnyEvent& event) const;

  const RunDescription& run_;
  SinkOptions options_;
  std::map<std::uint32_t, std::string> spaces_;  // by mm id, which is what cores call an ASID
  std::uint64_t seen_ = 0;
  std::uint64_t outside_ = 0;
  std::uint64_t other_lanes_ = 0;
  std::uint64_t too_many_ = 0;
};

}  // namespace secmmu
