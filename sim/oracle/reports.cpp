#include "sim/oracle/reports.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace secmmu {

std::string Story::task(unsigned id) const {
  if (id == UINT32_MAX) return "end of the run";
  return id < run_.tasks.size() ? run_.tasks[id].name : fmt::format("task {}", id);
}

void Story::tell(const Moment& moment, std::string text) {
  if (!moment.happened()) return;
  told_.emplace_back(moment.number, fmt::format("{}  {}{}: {}", to_text(moment.at), task(moment.task),
                                                moment.in_interrupt ? " (in an interrupt)" : "", text));
}

void Story::say(std::string_view lines) {
  while (!lines.empty()) {
    const std::size_t end = std::min(lines.find('\n'), lines.size());
    if (end != 0) last_.emplace_back(lines.substr(0, end));
    lines.remove_prefix(std::min(end + 1, lines.size()));
  }
}

void Story::tell_locks() {
  const std::vector<TaskState>& tasks = ledger_.tasks();
  for (unsigned id = 0; id < tasks.size(); ++id)
    if (!tasks[id].locks.empty())
      last_.push_back(fmt::format("held then by {}: {}", task(id), fmt::join(tasks[id].locks, ", ")));
}

std::vector<std::string> Story::lines() const {
  auto sorted = told_;
  std::stable_sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<std::string> lines;
  for (auto& [number, line] : sorted) lines.push_back(std::move(line));
  lines.insert(lines.end(), last_.begin(), last_.end());
  return lines;
}

void Reports::begin(const RunDescription& run, OracleOptions options) {
  run_ = &run;
  options_ = options;
  violations_.clear();
  findings_.clear();
  known_violations_.clear();
  known_findings_.clear();
  counts_.clear();
  written_.clear();
}

void Reports::violation(const RuleInfo& rule, Place place, const Stamp& stamp,
                        const std::function<void(Violation&, Story&)>& write) {
  ++counts_[rule.name];
  const Key key{rule.name, place};
  const auto known = known_violations_.find(key);
  if (known != known_violations_.end()) {
    ++violations_[known->second].more;
    return;
  }
  if (written_[rule.name] >= options_.most_violations) return;
  ++written_[rule.name];
  known_violations_.emplace(key, violations_.size());

  Story story(ledger_, *run_);
  Violation violation;
  violation.rule = rule.name;
  violation.at = stamp.at;
  violation.task = story.task(stamp.task);
  violation.forbidden_by = rule.forbidden_by;
  violation.event = stamp.number;
  write(violation, story);
  violation.story = story.lines();
  violations_.push_back(std::move(violation));
  if (hear) hear(violations_.back());
}

void Reports::finding(const RuleInfo& rule, Place place, Time at, const std::function<std::string()>& write) {
  if (findings_.size() >= options_.most_violations) return;
  if (!known_findings_.emplace(Key{rule.name, place}, findings_.size()).second) return;
  findings_.push_back({std::string(rule.name), at, write()});
}

std::uint64_t Reports::count(std::string_view rule) const {
  const auto found = counts_.find(rule);
  return found == counts_.end() ? 0 : found->second;
}

}  // namespace secmmu
