#include "sim/run/expectations.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "sim/run/counters.hpp"

namespace secmmu {
namespace {

// Compares the fields of an event with those of a pattern, as text.
class FieldMatch final : public FieldVisitor {
 public:
  explicit FieldMatch(const std::map<std::string, std::string>& wanted) : wanted_(wanted) {}
  bool all() const { return matched_ == wanted_.size(); }

  void integer(std::string_view field, std::int64_t value) override { compare(field, std::to_string(value)); }
  void address(std::string_view field, VirtAddr value) override { compare(field, to_text(value)); }
  void frame(std::string_view field, Pfn value) override { compare(field, std::to_string(value.value)); }
  void range(std::string_view field, PageRange value) override { compare(field, to_text(value)); }
  void time(std::string_view field, Time value) override { compare(field, to_text(value)); }
  void flag(std::string_view field, bool value) override { compare(field, value ? "true" : "false"); }
  void text(std::string_view field, std::string_view value) override { compare(field, std::string(value)); }

 private:
  void compare(std::string_view field, const std::string& value) {
    const auto it = wanted_.find(std::string(field));
    if (it != wanted_.end() && it->second == value) ++matched_;
  }
  const std::map<std::string, std::string>& wanted_;
  std::size_t matched_ = 0;
};

std::string text_of(const EventPattern& pattern) {
  std::string text = pattern.event;
  if (!pattern.by.empty()) text += " by " + pattern.by;
  for (const auto& [field, value] : pattern.fields) text += fmt::format(" {}={}", field, value);
  return text;
}

}  // namespace

OrderWatch::OrderWatch(const std::vector<OrderCheck>& checks, const RunDescription& run)
    : checks_(checks), run_(run), seen_(checks.size()) {}

void OrderWatch::attach(Bus& bus) {
  if (checks_.empty()) return;
  bus.listen_to_all([this](const AnyEvent& event) {
    for (std::size_t i = 0; i < checks_.size(); ++i) {
      look(checks_[i].first, seen_[i].first, event);
      look(checks_[i].then, seen_[i].second, event);
    }
  });
}

void OrderWatch::look(const EventPattern& pattern, Seen& seen, const AnyEvent& event) const {
  if (seen.number || event.type.name != pattern.event) return;
  if (!pattern.by.empty() && run_.tasks.at(event.stamp.task).name != pattern.by) return;
  FieldMatch match(pattern.fields);
  event.describe(match);
  if (!match.all()) return;
  seen.number = event.stamp.number;
  seen.at = event.stamp.at;
}

void OrderWatch::judge(World& world) const {
  for (std::size_t i = 0; i < checks_.size(); ++i) {
    const auto& [first, then] = seen_[i];
    const std::string what = fmt::format("{} comes before {}", text_of(checks_[i].first), text_of(checks_[i].then));
    if (!first.number) {
      world.fail(checks_[i].mark, what, "the first never happened");
    } else if (!then.number) {
      world.fail(checks_[i].mark, what, "the second never happened");
    } else if (*first.number > *then.number) {
      world.fail(checks_[i].mark, what, fmt::format("at {} and {}", to_text(first.at), to_text(then.at)));
    }
  }
}

bool holds(const CounterCheck& check, std::int64_t value) {
  if (check.op == "==") return value == check.value;
  if (check.op == "!=") return value != check.value;
  if (check.op == "<=") return value <= check.value;
  if (check.op == ">=") return value >= check.value;
  if (check.op == "<") return value < check.value;
  return value > check.value;
}

std::vector<RuleVerdict> judge_rules(World& world, const Expectations& expect, const Oracle& oracle) {
  std::vector<RuleVerdict> verdicts;
  for (const RuleInfo& rule : oracle_rules()) {
    RuleVerdict verdict;
    verdict.rule = std::string(rule.name);
    verdict.violated = oracle.count(rule.name) != 0;
    verdict.expected = std::find(expect.violated.begin(), expect.violated.end(), rule.name) != expect.violated.end();
    if (verdict.violated && !verdict.expected) world.fail({}, fmt::format("rule {}: clean", rule.name), "violated");
    if (!verdict.violated && verdict.expected) world.fail({}, fmt::format("rule {}: violated", rule.name), "clean");
    verdicts.push_back(std::move(verdict));
  }
  return verdicts;
}

void judge_counters(World& world, const std::vector<CounterCheck>& checks, const std::vector<StatisticRow>& rows) {
  for (const CounterCheck& check : checks) {
    const auto value = find_counter(rows, check.counter);
    if (!value) {
      world.fail(check.mark, check.text, "no such counter in this run");
    } else if (!holds(check, *value)) {
      world.fail(check.mark, check.text, fmt::format("{} = {}", check.counter, *value));
    }
  }
}

void judge_values(World& world, const std::vector<ValueCheck>& checks) {
  for (const ValueCheck& check : checks) {
    const std::string what =
        check.value ? fmt::format("{}.{} page {} offset {} holds {:#x}", check.process, check.buffer, check.page,
                                  check.offset, *check.value)
                    : fmt::format("{}.{} page {} is not present", check.process, check.buffer, check.page);
    const auto process = world.processes.find(check.process);
    if (process == world.processes.end() || process->second.mm == nullptr) {
      world.fail(check.mark, what, "there is no such process");
      continue;
    }
    const auto buffer = process->second.buffers.find(check.buffer);
    if (buffer == process->second.buffers.end()) {
      world.fail(check.mark, what, "there is no such buffer");
      continue;
    }
    const Pte entry = process->second.mm->peek(buffer->second.at.page() + check.page);
    if (!entry.present()) {
      if (check.value) world.fail(check.mark, what, "the page is not present");
      continue;
    }
    std::uint64_t value = 0;
    __builtin_memcpy(&value, world.platform.memory.bytes(entry.frame()) + check.offset, sizeof value);
    if (!check.value) {
      world.fail(check.mark, what, "it is present");
    } else if (value != *check.value) {
      world.fail(check.mark, what, fmt::format("{:#x}", value));
    }
  }
}

}  // namespace secmmu
