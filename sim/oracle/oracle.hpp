// The judge of a run. It listens to the bus and knows the machine by its events only; it decides nothing in
// the machine. What is legal stands in the rules, one file each; what they look at stands in the ledger.
//
//   Oracle oracle;
//   oracle.on_violation([&](const Violation&) { if (stop_at_first) arbiter.request_stop(); });
//   oracle.attach(bus, run, options);      // before the run; again after Bus::clear_listeners()
//   ... the run ...
//   oracle.finish({arbiter.now(), end == RunEnd::quiet});
//   for (const Violation& violation : oracle.violations()) ...
//   oracle.reset(next_run, options);       // the same bus, the next run
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "notifier/substrate/trace/bus.hpp"
#include "sim/oracle/violation.hpp"
#include "sim/output/run_description.hpp"

namespace secmmu {

// What `secmmu list rules` and `secmmu explain` show.
struct RuleInfo {
  std::string_view name;
  std::string_view sentence;      // what it finds
  std::string_view forbidden_by;  // the rule of the protocol, one sentence, as violations quote it
  std::string_view explain;       // several paragraphs of plain text, lines of at most 100 characters
};
// In the order in which people should learn them.
const std::vector<RuleInfo>& oracle_rules();
const RuleInfo* find_oracle_rule(std::string_view name);  // nullptr: there is none

struct OracleOptions {
  bool strict = false;                  // a live illegal translation is a violation before anybody uses it
  std::uint64_t most_retries = 1'000;   // of one device fault, before it counts as no-progress
  std::uint64_t most_violations = 200;  // that are written out per rule; further ones are counted
};

// How the run ended, for the rules that can be judged only then.
struct RunEnding {
  Time at;
  // Nobody had anything left to do. False when a limit was reached or somebody stopped the run: then what
  // is still open says nothing.
  bool complete = true;
};

class Oracle {
 public:
  Oracle();
  Oracle(const Oracle&) = delete;
  Oracle& operator=(const Oracle&) = delete;
  ~Oracle();

  // Listens to the bus from now on. The oracle must outlive the bus's listeners. Once per bus.
  void attach(Bus& bus, const RunDescription& run, OracleOptions options = {});
  // Forgets everything and judges a new run of the same machine.
  void reset();
  void reset(const RunDescription& run, OracleOptions options = {});

  // Called at the event that shows the violation, in the task that caused it. It may ask the run to stop.
  void on_violation(std::function<void(const Violation&)> hear);
  // The rules of the end of a run.
  void finish(const RunEnding& ending);

  // In the order in which they were noticed. One per rule, device, address space and page:
  // Violation::more counts what followed.
  const std::vector<Violation>& violations() const;
  // Complete after finish().
  const std::vector<Finding>& findings() const;
  // How often a rule was broken, those included that were not written out.
  std::uint64_t count(std::string_view rule) const;
  bool clean() const;  // no violation of any rule

  // For tests: the state as text, in a fixed order.
  std::vector<std::string> snapshot() const;
  // For tests: recomputes from scratch what the ledger keeps step by step; a sentence per difference.
  std::vector<std::string> audit() const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace secmmu
