// Where rules hand in what they found. It keeps one violation per rule and place, counts the rest, and
// turns numbers of tasks and moments into sentences.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "sim/oracle/ledger.hpp"
#include "sim/oracle/oracle.hpp"

namespace secmmu {

// Lines of a report in the order in which things happened, whatever the order in which they were told.
class Story {
 public:
  Story(const Ledger& ledger, const RunDescription& run) : ledger_(ledger), run_(run) {}

  // "1.5us cpu0/t0: text". Says nothing of a moment that never came.
  void tell(const Moment& moment, std::string text);
  // Lines that an event brought along, as they are.
  void say(std::string_view lines);
  // Which tasks hold which locks now.
  void tell_locks();
  std::vector<std::string> lines() const;
  std::string task(unsigned id) const;

 private:
  const Ledger& ledger_;
  const RunDescription& run_;
  std::vector<std::pair<std::uint64_t, std::string>> told_;
  std::vector<std::string> last_;
};

class Reports {
 public:
  // What makes two violations of a rule the same.
  struct Place {
    std::uint64_t who = 0;  // device, core, registration
    std::uint64_t mm = 0;
    std::uint64_t page = 0;
    auto operator<=>(const Place&) const = default;
  };

  explicit Reports(const Ledger& ledger) : ledger_(ledger) {}

  // `run` must outlive the run.
  void begin(const RunDescription& run, OracleOptions options);
  const OracleOptions& options() const { return options_; }

  // `write` fills in summary, place and story; it is called only if the violation is a new one.
  void violation(const RuleInfo& rule, Place place, const Stamp& stamp,
                 const std::function<void(Violation&, Story&)>& write);
  void finding(const RuleInfo& rule, Place place, Time at, const std::function<std::string()>& write);

  std::uint64_t count(std::string_view rule) const;
  const std::vector<Violation>& violations() const { return violations_; }
  const std::vector<Finding>& findings() const { return findings_; }
  std::function<void(const Violation&)> hear;

 private:
  using Key = std::tuple<std::string_view, Place>;  // names of rules live as long as the program

  const Ledger& ledger_;
  const RunDescription* run_ = nullptr;
  OracleOptions options_;
  std::vector<Violation> violations_;
  std::vector<Finding> findings_;
  std::map<Key, std::size_t> known_violations_;
  std::map<Key, std::size_t> known_findings_;
  std::map<std::string_view, std::uint64_t> counts_;  // all that were handed in
  std::map<std::string_view, std::uint64_t> written_;
};

}  // namespace secmmu
