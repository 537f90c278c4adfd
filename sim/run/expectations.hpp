// The final clause of a scenario: rules, counters, order of events, values.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "notifier/substrate/trace/bus.hpp"
#include "sim/oracle/oracle.hpp"
#include "sim/output/statistics.hpp"
#include "sim/output/verdict.hpp"
#include "sim/run/world.hpp"

namespace secmmu {

// Notes when the events that `order:` names happened first.
class OrderWatch {
 public:
  OrderWatch(const std::vector<OrderCheck>& checks, const RunDescription& run);
  void attach(Bus& bus);
  void judge(World& world) const;

 private:
  struct Seen {
    std::optional<std::uint64_t> number;
    Time at;
  };
  void look(const EventPattern& pattern, Seen& seen, const AnyEvent& event) const;
  const std::vector<OrderCheck>& checks_;
  const RunDescription& run_;
  std::vector<std::pair<Seen, Seen>> seen_;
};

bool holds(const CounterCheck& check, std::int64_t value);
// Adds what does not hold to world.failed; returns the verdict of every rule.
std::vector<RuleVerdict> judge_rules(World& world, const Expectations& expect, const Oracle& oracle);
void judge_counters(World& world, const std::vector<CounterCheck>& checks, const std::vector<StatisticRow>& rows);
void judge_values(World& world, const std::vector<ValueCheck>& checks);

}  // namespace secmmu
