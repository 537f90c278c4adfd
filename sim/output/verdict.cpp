#include "sim/output/verdict.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>

namespace secmmu {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kVerdictFormat = "secmmu.verdict/1";
constexpr std::string_view kSummaryFormat = "secmmu.summary/1";
constexpr std::size_t kLineWidth = 110;
constexpr std::size_t kMoreViolations = 4;  // shown with one line each, after the first
constexpr std::size_t kStories = 3;  // rules whose first violation is told in full
constexpr std::size_t kFindingsShown = 3;

std::string dumped(const Json& document) { return document.dump(1, ' ', false, Json::error_handler_t::replace) + "\n"; }

// "1234567" is hard to read: 1,234,567.
std::string grouped(std::uint64_t number) {
  std::string text = std::to_string(number);
  for (std::size_t place = text.size(); place > 3;) text.insert(place -= 3, ",");
  return text;
}

std::string counted(std::uint64_t number, std::string_view one, std::string_view many) {
  return grouped(number) + " " + std::string(number == 1 ? one : many);
}

// --- text of one report ---

enum class Style : std::uint8_t { plain, bold, dim, good, bad, warning, name };

class Report {
 public:
  explicit Report(bool colour) : colour_(colour) {}

  Report& add(std::string_view text, Style style = Style::plain) {
    static constexpr const char* kCodes[] = {"",           "\x1b[1m",    "\x1b[2m", "\x1b[1;32m",
                                             "\x1b[1;31m", "\x1b[1;33m", "\x1b[36m"};
    const bool painted = colour_ && style != Style::plain && !text.empty();
    if (painted) text_ += kCodes[static_cast<std::size_t>(style)];
    text_ += text;
    if (painted) text_ += "\x1b[0m";
    return *this;
  }
  // Text broken between words; further lines begin under its first word, which stands in column `column`.
  Report& wrapped(std::string_view text, std::size_t column, Style style = Style::plain) {
    const std::size_t room = kLineWidth - std::min(column, kLineWidth / 2);
    for (;;) {
      std::string_view line = text.substr(0, text.find('\n'));
      if (line.size() > room) {
        const std::size_t blank = line.rfind(' ', room);
        line = line.substr(0, blank == std::string_view::npos || blank == 0 ? line.find(' ') : blank);
      }
      add(line, style).end();
      if (line.size() == text.size()) return *this;
      text.remove_prefix(line.size() + 1);
      text_.append(column, ' ');
    }
  }
  Report& end() {
    text_ += '\n';
    return *this;
  }
  Report& label(std::string_view text) {
    text_ += "  ";
    add(fmt::format("{:<11}", text), Style::dim);
    return *this;
  }
  static constexpr std::size_t kAfterLabel = 13;

  std::string take() { return std::move(text_); }

 private:
  bool colour_;
  std::string text_;
};

// A line of a story in its parts: "1.25us  unmapper (in an interrupt): frees frame 0x2a". One without a time is all
// text: who holds what, or what a deadlock looks like.
struct StoryLine {
  std::string_view time;
  std::string task;
  std::string_view text;
};

std::string_view leading_time(std::string_view line) {
  std::size_t length = 0;
  while (length < line.size() && ((line[length] >= '0' && line[length] <= '9') || (length > 0 && line[length] == '.')))
    ++length;
  if (length == 0) return {};
  for (const std::string_view unit : {"ps", "ns", "us", "ms", "s"})
    if (line.substr(length).starts_with(unit)) {
      length += unit.size();
      const bool ends = length == line.size() || line[length] == ' ' || line[length] == ':' || line[length] == ',';
      return ends ? line.substr(0, length) : std::string_view{};
    }
  return {};
}

StoryLine parts_of(std::string_view line) {
  constexpr std::string_view kInterrupt = " (in an interrupt)";
  constexpr std::size_t kLongestTask = 40;
  StoryLine parts;
  parts.time = leading_time(line);
  if (!parts.time.empty()) {
    line.remove_prefix(parts.time.size());
    line.remove_prefix(std::min(line.find_first_not_of(" ,:"), line.size()));
    const std::size_t colon = line.find(": ");
    if (colon <= kLongestTask) {
      std::string_view task = line.substr(0, colon);
      line.remove_prefix(colon + 2);
      const bool interrupt = task.ends_with(kInterrupt);
      if (interrupt) task.remove_suffix(kInterrupt.size());
      parts.task = std::string(task) + (interrupt ? " (irq)" : "");
    }
  }
  parts.text = line;
  return parts;
}

void add_story(Report& report, const std::vector<std::string>& story) {
  if (story.empty()) return;
  std::vector<StoryLine> lines;
  std::size_t time_width = 0;
  std::size_t task_width = 0;
  std::size_t last_timed = story.size();
  for (const std::string& line : story) {
    lines.push_back(parts_of(line));
    time_width = std::max(time_width, lines.back().time.size());
    task_width = std::max(task_width, lines.back().task.size());
    if (!lines.back().time.empty()) last_timed = lines.size() - 1;
  }
  constexpr std::size_t kMargin = 4;
  const std::size_t column = kMargin + time_width + 2 + (task_width == 0 ? 0 : task_width + 2);
  report.end();
  for (std::size_t number = 0; number < lines.size(); ++number) {
    const StoryLine& line = lines[number];
    const bool is_last = number == last_timed;
    report.add(is_last ? "  > " : "    ", Style::bad);
    if (line.time.empty()) {
      report.wrapped(line.text, kMargin);
      continue;
    }
    report.add(fmt::format("{:>{}}  ", line.time, time_width), Style::dim);
    if (task_width != 0) report.add(fmt::format("{:<{}}  ", line.task, task_width), Style::name);
    report.wrapped(line.text, column, is_last ? Style::bold : Style::plain);
  }
}

bool is_expected(const RunVerdict& verdict, std::string_view rule) {
  return std::any_of(verdict.rules.begin(), verdict.rules.end(),
                     [rule](const RuleVerdict& known) { return known.rule == rule && known.expected; });
}

void add_violation(Report& report, const RunVerdict& verdict, const Violation& violation) {
  const bool expected = is_expected(verdict, violation.rule);
  report.end().add("  ").add(violation.rule, expected ? Style::warning : Style::bad);
  report.add(fmt::format(" at {}", to_text(violation.at)));
  if (!violation.task.empty()) report.add(" by ").add(violation.task, Style::name);
  if (violation.more != 0) report.add(fmt::format(", and {} more", counted(violation.more, "time", "times")));
  if (expected) report.add(", as the scenario expects", Style::dim);
  report.end().add("  ").wrapped(violation.summary, 2, Style::bold);
  add_story(report, violation.story);
  report.end();
  if (!violation.forbidden_by.empty()) report.label("forbidden").wrapped(violation.forbidden_by, Report::kAfterLabel);
  report.label("the rule").add("secmmu explain " + violation.rule).end();
}

void add_outputs(Report& report, const RunVerdict& verdict) {
  if (verdict.directory.empty()) return;
  report.label("outputs").add(verdict.directory, Style::bold).end();
  const auto has = [&verdict](std::string_view name) {
    return std::find(verdict.files.begin(), verdict.files.end(), name) != verdict.files.end();
  };
  const auto hint = [&report](std::string_view name, std::string_view how) {
    report.label("").add(fmt::format("{:<18}", name)).add(how, Style::dim).end();
  };
  if (has("waves.gtkw")) hint("waves.gtkw", "signals over time: gtkwave waves.gtkw, in that directory");
  if (has("timeline.pftrace")) hint("timeline.pftrace", "who did what when: open it at ui.perfetto.dev");
  if (has("trace.txt")) hint("trace.txt", "the same as text, in ftrace's form");
}

std::string title(const RunVerdict& verdict) {
  return fmt::format("{}, kernel {}{}{}, seed {}", verdict.scenario, verdict.kernel,
                     verdict.variant.empty() ? "" : ", ", verdict.variant, verdict.seed);
}

void add_title(Report& report, const RunVerdict& verdict) {
  switch (verdict.outcome) {
    case Outcome::passed:
      report.add("passed", Style::good);
      break;
    case Outcome::failed:
      report.add("FAILED", Style::bad);
      break;
    case Outcome::inconclusive:
      report.add("INCONCLUSIVE", Style::warning);
      break;
    case Outcome::absent:
      report.add("absent", Style::dim);
      break;
  }
  report.add("  ").add(title(verdict), Style::bold);
}

std::string effort(const RunVerdict& verdict) {
  return fmt::format("{} modelled, {}, {}", to_text(verdict.end), counted(verdict.steps, "step", "steps"),
                     counted(verdict.events, "event", "events"));
}

Json violation_json(const Violation& violation) {
  return {{"rule", violation.rule},       {"at", violation.at.ps},    {"task", violation.task},
          {"summary", violation.summary}, {"story", violation.story}, {"forbidden_by", violation.forbidden_by},
          {"event", violation.event}};
}

}  // namespace

std::string_view outcome_name(Outcome outcome) {
  switch (outcome) {
    case Outcome::passed:
      return "passed";
    case Outcome::failed:
      return "failed";
    case Outcome::inconclusive:
      return "inconclusive";
    case Outcome::absent:
      return "absent";
  }
  return "?";
}

std::string headline(const RunVerdict& verdict) {
  if (verdict.outcome == Outcome::inconclusive) return "inconclusive: a limit was reached first, " + verdict.limit;
  if (verdict.outcome == Outcome::absent) return verdict.missing;
  for (const Violation& violation : verdict.violations)
    if (verdict.outcome == Outcome::passed || !is_expected(verdict, violation.rule))
      return fmt::format("{} at {}: {}", violation.rule, to_text(violation.at), violation.summary);
  if (!verdict.failed.empty()) {
    const FailedExpectation& first = verdict.failed.front();
    return fmt::format("{}: expected {}{}{}", first.place, first.text, first.got.empty() ? "" : ", got ", first.got);
  }
  if (verdict.outcome == Outcome::failed) return "failed";
  return verdict.expectations == 0
             ? "no violation"
             : fmt::format("{} held", counted(verdict.expectations, "expectation", "expectations"));
}

std::string report_text(const RunVerdict& verdict, bool colour) {
  Report report(colour);
  add_title(report, verdict);
  report.end();
  if (verdict.outcome == Outcome::absent) return line_text(verdict, colour);
  const bool is_short = verdict.outcome == Outcome::passed && verdict.violations.empty();
  if (is_short) {
    report.add("        ").add(headline(verdict) + "; " + effort(verdict), Style::dim).end();
    if (!verdict.findings.empty())
      report.add("        ")
          .wrapped(fmt::format("{} that nobody used, see verdict.json",
                               counted(verdict.findings.size(), "illegal translation", "illegal translations")),
                   8, Style::warning);
    add_outputs(report, verdict);
    return report.take();
  }
  const std::string_view about = std::string_view(verdict.about).substr(0, verdict.about.find_last_not_of(" \n") + 1);
  if (!about.empty()) report.add("        ").wrapped(about, 8, Style::dim);
  if (verdict.outcome == Outcome::inconclusive)
    report.end().add("  ").wrapped("A limit was reached before the run could be judged: " + verdict.limit, 2);

  // What nobody expected comes first, and in full.
  std::vector<const Violation*> violations;
  for (const bool expected : {false, true})
    for (const Violation& violation : verdict.violations)
      if (is_expected(verdict, violation.rule) == expected) violations.push_back(&violation);
  // The first of a rule is told whole; what follows of the same rules is mostly the same again.
  std::vector<std::string_view> told;
  std::vector<const Violation*> others;
  for (const Violation* violation : violations) {
    if (told.size() < kStories && std::find(told.begin(), told.end(), violation->rule) == told.end()) {
      told.push_back(violation->rule);
      add_violation(report, verdict, *violation);
    } else {
      others.push_back(violation);
    }
  }
  for (std::size_t number = 0; number < std::min(others.size(), kMoreViolations); ++number) {
    const Violation& violation = *others[number];
    if (number == 0) report.end();
    report.label(number == 0 ? "then also" : "");
    report.wrapped(fmt::format("{} at {}: {}", violation.rule, to_text(violation.at), violation.summary),
                   Report::kAfterLabel);
  }
  if (others.size() > kMoreViolations)
    report.label("").add(fmt::format("and {} more", grouped(others.size() - kMoreViolations))).end();

  if (!verdict.failed.empty()) {
    report.end().add("  ").add(counted(verdict.failed.size(), "expectation", "expectations") + " not met", Style::bad);
    report.end();
    for (const FailedExpectation& failed : verdict.failed) {
      report.add("    ").add(failed.place, Style::name).end();
      report.add("      expected  ").wrapped(failed.text, 16);
      if (!failed.got.empty()) report.add("      but got   ").wrapped(failed.got, 16);
    }
  }
  report.end();
  for (std::size_t number = 0; number < std::min(verdict.findings.size(), kFindingsShown); ++number) {
    const Finding& finding = verdict.findings[number];
    report.label(number == 0 ? "noticed" : "");
    report.wrapped(fmt::format("{} at {}: {}", finding.rule, to_text(finding.at), finding.summary),
                   Report::kAfterLabel);
  }
  if (verdict.findings.size() > kFindingsShown)
    report.label("").add(fmt::format("and {} more", grouped(verdict.findings.size() - kFindingsShown))).end();
  report.label("scenario").add(verdict.path).end();
  report.label("run").add(effort(verdict)).end();
  add_outputs(report, verdict);
  return report.take();
}

std::string line_text(const RunVerdict& verdict, bool colour) {
  Report report(colour);
  add_title(report, verdict);
  if (verdict.outcome != Outcome::passed) return report.add(": ").add(headline(verdict)).end().take();
  std::string rules;
  for (const RuleVerdict& rule : verdict.rules)
    if (rule.violated) rules += (rules.empty() ? "" : ", ") + rule.rule;
  if (!rules.empty()) report.add(": ").add(rules, Style::warning).add(", as the scenario expects", Style::dim);
  return report.end().take();
}

std::string verdict_json(const RunVerdict& verdict) {
  Json document{{"format", kVerdictFormat},
                {"scenario", verdict.scenario},
                {"path", verdict.path},
                {"kernel", verdict.kernel},
                {"variant", verdict.variant},
                {"seed", verdict.seed},
                {"outcome", outcome_name(verdict.outcome)},
                {"headline", headline(verdict)}};
  if (!verdict.limit.empty()) document["limit"] = verdict.limit;
  if (!verdict.missing.empty()) document["missing"] = verdict.missing;
  Json rules = Json::object();
  Json expected = Json::array();
  for (const RuleVerdict& rule : verdict.rules) {
    rules[rule.rule] = rule.violated ? "violated" : "clean";
    if (rule.expected) expected.push_back(rule.rule);
  }
  Json violations = Json::array();
  for (const Violation& violation : verdict.violations) violations.push_back(violation_json(violation));
  Json findings = Json::array();
  for (const Finding& finding : verdict.findings)
    findings.push_back({{"rule", finding.rule}, {"at", finding.at.ps}, {"summary", finding.summary}});
  Json failed = Json::array();
  for (const FailedExpectation& expectation : verdict.failed)
    failed.push_back({{"text", expectation.text}, {"got", expectation.got}, {"place", expectation.place}});
  Json counters = Json::object();
  for (const Counter& counter : verdict.counters) counters[counter.name] = counter.value;
  document["rules"] = std::move(rules);
  document["expected_violations"] = std::move(expected);
  document["violations"] = std::move(violations);
  document["findings"] = std::move(findings);
  document["expectations"] = verdict.expectations;
  document["failed_expectations"] = std::move(failed);
  document["counters"] = std::move(counters);
  document["end"] = verdict.end.ps;
  document["steps"] = verdict.steps;
  document["events"] = verdict.events;
  return dumped(document);
}

std::vector<std::string> violated_rules(const RunVerdict& verdict) {
  std::vector<std::string> rules;
  for (const RuleVerdict& rule : verdict.rules)
    if (rule.violated) rules.push_back(rule.rule);
  return rules;
}

SummaryEntry summary_of(const RunVerdict& verdict, std::string directory) {
  return {verdict.scenario,
          verdict.path,
          verdict.kernel,
          verdict.seed,
          std::string(outcome_name(verdict.outcome)),
          verdict.outcome == Outcome::passed ? "" : headline(verdict),
          std::move(directory),
          verdict.variant,
          violated_rules(verdict),
          verdict.about};
}

std::string summary_json(std::span<const SummaryEntry> entries) {
  Json runs = Json::array();
  Json outcomes = Json::object();
  for (const Outcome outcome : {Outcome::passed, Outcome::failed, Outcome::inconclusive, Outcome::absent})
    outcomes[std::string(outcome_name(outcome))] = 0;
  for (const SummaryEntry& entry : entries) {
    outcomes[entry.outcome] = outcomes.value(entry.outcome, 0) + 1;
    runs.push_back({{"scenario", entry.scenario},
                    {"path", entry.path},
                    {"kernel", entry.kernel},
                    {"variant", entry.variant},
                    {"seed", entry.seed},
                    {"outcome", entry.outcome},
                    {"message", entry.message},
                    {"violated", entry.violated},
                    {"about", entry.about},
                    {"directory", entry.directory}});
  }
  return dumped({{"format", kSummaryFormat}, {"runs", entries.size()}, {"outcomes", outcomes}, {"results", runs}});
}

}  // namespace secmmu
