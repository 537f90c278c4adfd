// A sink turns the bus's events into one output. It is made before a run, attached to the machine's bus, told
// of violations by the runner, and finished once with the time at which the run ended; it must live until the
// bus's listeners are cleared. One sink serves one run. It never changes the run, and equal runs give equal
// bytes: no wall clock, no address of ours, no order of a hash table.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "notifier/substrate/time.hpp"
#include "notifier/substrate/trace/bus.hpp"
#include "sim/oracle/violation.hpp"
#include "sim/output/run_description.hpp"

namespace secmmu {

// What of a long run is written; whatever is left out is said in the output.
struct SinkOptions {
  Time from{};  // the window, both ends in it
  Time to = kForever;
  // Prefixes of names: of tasks, cores ("cpu0"), devices, address spaces. Empty: everything. An event belongs
  // to a lane if its task or core does, or if it speaks of the device, subscriber or address space.
  std::vector<std::string> lanes{};
  std::uint64_t max_events = 1'000'000;

  bool shows(std::string_view name) const;  // is this name in a lane?
};

class Sink {
 public:
  Sink() = default;
  Sink(const Sink&) = delete;
  Sink& operator=(const Sink&) = delete;
  virtual ~Sink() = default;

  virtual void attach(Bus& bus) = 0;
  virtual void violation(const Violation&) {}  // at once, in the task that was at work
  virtual void finish(Time end) = 0;
};

}  // namespace secmmu
