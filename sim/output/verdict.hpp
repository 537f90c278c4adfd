// What a run was found to be: plain structs that the runner fills, written as verdict.json and summary.json, and
// as the report that people see first.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "notifier/substrate/time.hpp"
#include "sim/oracle/violation.hpp"

namespace secmmu {

// absent: the kernel lacks something that the scenario does, and the scenario says so. Nothing was shown.
enum class Outcome : std::uint8_t { passed, failed, inconclusive, absent };
std::string_view outcome_name(Outcome outcome);

struct FailedExpectation {
  std::string text;   // as the scenario has it: "rule use-after-free: clean"
  std::string got;    // what was so instead: "violated at 41.2us"; may be empty
  std::string place;  // "scenarios/tour/01-first.yaml:31:5"
};

struct RuleVerdict {
  std::string rule;
  bool violated = false;
  bool expected = false;  // the scenario says that it is violated
};

struct Counter {
  std::string name;
  std::uint64_t value = 0;
};

struct RunVerdict {
  std::string scenario;  // its name
  std::string path;      // of its file, as given
  std::string about;     // the scenario's sentence on what it shows; may be empty
  std::string kernel;
  std::string variant;  // "rules kept": the devices' rules were not switched off; empty: as the scenario says
  std::uint64_t seed = 1;
  Outcome outcome = Outcome::passed;
  std::string missing;  // what the kernel lacks; empty: nothing that was asked for
  std::string limit;  // inconclusive: which limit was reached first, "steps: 1000000"

  std::vector<Violation> violations;  // in the order in which they were found
  std::vector<Finding> findings;
  std::vector<FailedExpectation> failed;
  std::vector<RuleVerdict> rules;  // every rule that was watched
  std::vector<Counter> counters;

  std::uint64_t expectations = 0;  // how many the scenario states
  Time end;
  std::uint64_t steps = 0;
  std::uint64_t events = 0;

  // Where the outputs are and which files: for the report, not for verdict.json. Empty: none were asked for.
  std::string directory;
  std::vector<std::string> files;
};

struct SummaryEntry {
  std::string scenario;
  std::string path;
  std::string kernel;
  std::uint64_t seed = 1;
  // A word beside the outcomes: "crashed" where a worker did, with a message.
  std::string outcome;
  std::string message;    // one line; empty if passed
  std::string directory;  // relative to summary.json
  std::string variant{};  // as in RunVerdict
  std::vector<std::string> violated{};
  std::string about{};
};
std::vector<std::string> violated_rules(const RunVerdict& verdict);
SummaryEntry summary_of(const RunVerdict& verdict, std::string directory);

std::string verdict_json(const RunVerdict& verdict);
std::string summary_json(std::span<const SummaryEntry> entries);

// For a terminal; ends with a newline. A run that did as expected has a line or two.
std::string report_text(const RunVerdict& verdict, bool colour);
// One line per run, where many are told: its outcome, and which rules were violated.
std::string line_text(const RunVerdict& verdict, bool colour);
// One line for a failed or surprising run, as in JUnit's message.
std::string headline(const RunVerdict& verdict);

}  // namespace secmmu
