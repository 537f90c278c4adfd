#include "sim/run/worker.hpp"

#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <iterator>
#include <map>
#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <systemc>

#include "sim/output/file_set.hpp"
#include "sim/run/build.hpp"
#include "models/elaboration.hpp"
#include "sim/run/episode.hpp"

namespace secmmu {
namespace {

using Json = nlohmann::ordered_json;

struct RunOfFile {
  std::string kernel;
  std::uint64_t seed;
  bool kept;
  std::string directory;
  // What runs of one kernel and variant have in common: over these a `sometimes` must hold once.
  std::string group() const { return kept ? kernel + "/rules-kept" : kernel; }
};

std::vector<RunOfFile> runs_of(const Scenario& scenario, const RunOptions& options) {
  std::vector<RunOfFile> runs;
  const std::uint64_t first = options.seed.value_or(scenario.seed);
  const std::uint64_t seeds = options.seed ? 1 : scenario.seeds;
  for (const std::string& kernel : options.kernels.empty() ? scenario.kernels : options.kernels)
    for (const bool kept : {false, true}) {
      if (kept && !scenario.expect_kept) continue;
      for (std::uint64_t i = 0; i < seeds; ++i) {
        RunOfFile run{kernel, first + i, kept, ""};
        if (!options.directory.empty()) {
          run.directory = options.directory + "/" + scenario.name + "/" + run.group();
          if (seeds > 1) run.directory += fmt::format("/seed-{}", first + i);
        }
        runs.push_back(std::move(run));
      }
    }
  return runs;
}

JunitResult junit_of(const RunVerdict& verdict, bool many_seeds) {
  JunitResult result;
  result.suite = verdict.path;
  result.name = verdict.kernel;
  if (!verdict.variant.empty()) result.name += "/" + verdict.variant;
  if (many_seeds) result.name += fmt::format("/seed-{}", verdict.seed);
  switch (verdict.outcome) {
    case Outcome::passed:
      result.outcome = JunitResult::Outcome::passed;
      break;
    case Outcome::failed:
      result.outcome = JunitResult::Outcome::failed;
      break;
    case Outcome::inconclusive:
      result.outcome = JunitResult::Outcome::error;
      break;
    case Outcome::absent:
      result.outcome = JunitResult::Outcome::skipped;
      break;
  }
  if (verdict.outcome != Outcome::passed) {
    result.message = headline(verdict);
    result.text = report_text(verdict, false);
  }
  return result;
}

// What the runs of one kernel and variant came to.
struct Group {
  std::string name;  // RunOfFile::group
  std::string kernel;
  std::string variant;
  bool kept = false;
  std::uint64_t runs = 0;
  std::uint64_t passed = 0;
  std::string missing;                            // what the kernel lacks
  std::map<std::string, std::uint64_t> violated;  // rule, in how many runs
  std::vector<bool> sometimes;                    // which held at least once
};

// The worker's whole life: plays every run and writes what came of it, a JSON line each.
class Worker {
 public:
  Worker(const Scenario& scenario, const RunOptions& options, int pipe)
      : scenario_(scenario), options_(options), pipe_(pipe) {}

  int work() {
    systemc_throws();
    say({{"doing", "building the machine"}});
    std::unique_ptr<Platform> platform;
    std::unique_ptr<Episode> episode;
    try {
      platform = std::make_unique<Platform>(platform_config(scenario_));
      episode = std::make_unique<Episode>(*platform, scenario_);
      if (options_.build_only) {
        say({{"end", static_cast<int>(ExitCode::held)}, {"report", ""}});
        return 0;
      }
      platform->arbiter.direct([&] { play_all(*episode); });
      say({{"doing", "starting the machine"}});
      sc_core::sc_start();
      platform->arbiter.rethrow();
    } catch (const OutputError& error) {
      say({{"input_error", error.what()}});
    } catch (const sc_core::sc_report& report) {
      say_uncaught(report);
    } catch (const std::logic_error& error) {
      // A shape that no hardware can have is the scenario's fault; any other broken logic is ours.
      const bool is_shape = episode == nullptr && dynamic_cast<const std::invalid_argument*>(&error) != nullptr;
      say({{is_shape ? "input_error" : "fault", error.what()}});
    } catch (const std::runtime_error& error) {
      say({{episode == nullptr ? "input_error" : "fault", error.what()}});
    } catch (const std::exception& error) {
      say({{"fault", error.what()}});
    } catch (...) {
      say({{"fault", "something was thrown that is no exception"}});
    }
    return 0;
  }

 private:
  // What was thrown in a task comes through SystemC, which keeps only its text. An output that cannot be written (a
  // disk that filled up) is told by the path in it.
  void say_uncaught(const sc_core::sc_report& report) {
    const std::string text = report.get_msg();
    const bool is_plain = std::string_view(report.get_msg_type()) == "uncaught exception";
    if (is_plain && !options_.directory.empty() && text.starts_with("cannot ") &&
        text.find(" " + options_.directory + "/") != std::string::npos) {
      say({{"input_error", text}});
    } else {
      say({{"fault", is_plain ? text : fmt::format("SystemC: {}: {}", report.get_msg_type(), text)}});
    }
  }

  void play_all(Episode& episode) {
    const std::vector<RunOfFile> runs = runs_of(scenario_, options_);
    const bool many_seeds = runs.size() > 1 && runs[0].group() == runs[1].group();
    std::vector<Group> groups;
    ExitCode worst = ExitCode::held;
    for (const RunOfFile& run : runs) {
      say({{"doing", fmt::format("kernel {} seed {}", run.group(), run.seed)}});
      EpisodeOptions play;
      play.kept = run.kept;
      play.directory = run.directory;
      play.sinks = options_.sinks;
      play.progress = options_.progress;
      // The verdict is written last: where one is, all the other files are there and belong to it.
      if (!run.directory.empty()) {
        std::error_code ignored;
        std::filesystem::remove(run.directory + "/verdict.json", ignored);
      }
      EpisodeResult result = episode.play(run.kernel, run.seed, play);
      if (!result.input_error.empty()) {
        say({{"refused_input", result.input_error}});
        return;
      }
      const RunVerdict& verdict = result.verdict;
      if (groups.empty() || groups.back().name != run.group())
        groups.push_back({run.group(), run.kernel, verdict.variant, run.kept, 0, 0, {}, {}, {}});
      Group& group = groups.back();
      const bool is_first_failure = group.passed == group.runs;
      add(group, result);
      worst = more_serious(worst, code_of(verdict.outcome));
      say_run(verdict, relative(run.directory), many_seeds, is_first_failure);
    }
    std::string report;
    if (many_seeds) {
      for (const Group& group : groups) report += text_of(group, runs.front().seed);
    } else if (groups.size() > 1 && !options_.brief) {
      report += matrix(groups);
    }
    for (const Group& group : groups) {
      const Expectations expect = group.kept ? *scenario_.expect_kept : expectations_for(scenario_, group.kernel);
      for (std::size_t i = 0; i < group.sometimes.size(); ++i) {
        if (group.sometimes[i]) continue;
        worst = more_serious(worst, ExitCode::failed);
        report += say_never(group, expect.sometimes[i]);
      }
    }
    say({{"end", static_cast<int>(worst)}, {"report", report}});
  }

  static ExitCode code_of(Outcome outcome) {
    switch (outcome) {
      case Outcome::passed:
        return ExitCode::held;
      case Outcome::failed:
        return ExitCode::failed;
      case Outcome::inconclusive:
        return ExitCode::inconclusive;
      case Outcome::absent:
        return ExitCode::held;
    }
    return ExitCode::fault;
  }

  static bool is_expected(const RunVerdict& verdict) {
    return verdict.outcome == Outcome::passed || verdict.outcome == Outcome::absent;
  }

  static void add(Group& group, const EpisodeResult& result) {
    ++group.runs;
    if (is_expected(result.verdict)) ++group.passed;
    group.missing = result.verdict.missing;
    for (const RuleVerdict& rule : result.verdict.rules)
      if (rule.violated) ++group.violated[rule.rule];
    group.sometimes.resize(result.sometimes.size(), false);
    for (std::size_t i = 0; i < group.sometimes.size(); ++i)
      group.sometimes[i] = group.sometimes[i] || result.sometimes[i];
  }

  // Tells one run. Of many seeds that pass, one line at the end says enough, and of many that fail one story.
  void say_run(const RunVerdict& verdict, const std::string& directory, bool many_seeds, bool is_first_failure) {
    const bool passed = is_expected(verdict);
    std::string report;
    // Of kernels that all do the same the first one tells the story; the matrix has the others.
    const bool is_new = told_.insert(fmt::format("{} {} {}", verdict.variant, outcome_name(verdict.outcome),
                                                fmt::join(violated_rules(verdict), ","))).second;
    if (passed && !is_new && !many_seeds && !options_.verbose) {
      report = "";
    } else if (options_.verbose || (passed ? !many_seeds && !options_.brief : is_first_failure)) {
      report = report_text(verdict, options_.colour);
    } else if (!passed || !many_seeds) {
      report = line_text(verdict, options_.colour);
    }
    const JunitResult junit = junit_of(verdict, many_seeds);
    const SummaryEntry entry = summary_of(verdict, directory);
    say({{"run", true},
         {"passed", passed},
         {"report", report},
         {"junit",
          {{"name", junit.name},
           {"outcome", static_cast<int>(junit.outcome)},
           {"message", junit.message},
           {"text", junit.text}}},
         {"summary", as_json(entry)}});
  }

  // A window that the scenario is about, and that no run entered.
  std::string say_never(const Group& group, const CounterCheck& check) {
    const std::string text = fmt::format("{}:{}:{}: on {} never: {}", scenario_.path, check.mark.line,
                                         check.mark.column, group.name, check.text);
    SummaryEntry entry;
    entry.scenario = scenario_.name;
    entry.kernel = group.kernel;
    entry.variant = group.variant;
    entry.seed = options_.seed.value_or(scenario_.seed);
    entry.outcome = "failed";
    entry.message = text;
    say({{"never", true},
         {"junit",
          {{"name", group.name + "/sometimes"},
           {"outcome", static_cast<int>(JunitResult::Outcome::failed)},
           {"message", text},
           {"text", "No run entered the window that this scenario is about."}}},
         {"summary", as_json(entry)}});
    return text + "\n";
  }

  static std::string rules_text(const Group& group, bool count) {
    std::string text;
    for (const auto& [rule, times] : group.violated)
      text += fmt::format("{}{}{}", text.empty() ? "" : ", ", rule, count ? fmt::format(" in {}", times) : "");
    return text;
  }

  // "passed  gru-races-munmap, kernel v6.10, seeds 1 to 100: 100 of 100 runs as expected; use-after-free in 37"
  std::string text_of(const Group& group, std::uint64_t first_seed) const {
    const std::string rules = rules_text(group, true);
    return fmt::format("{}  {}, kernel {}{}{}, seeds {} to {}: {} of {} runs as expected{}{}\n",
                       group.passed == group.runs ? "passed" : "FAILED", scenario_.name, group.kernel,
                       group.variant.empty() ? "" : ", ", group.variant, first_seed, first_seed + group.runs - 1,
                       group.passed, group.runs, rules.empty() ? "" : "; violated: ", rules);
  }

  // What the kernels have to say about one scenario, at a glance.
  static std::string matrix(const std::vector<Group>& groups) {
    std::string text = "\n";
    std::vector<std::string> names;
    std::size_t width = 0;
    for (const Group& group : groups) {
      names.push_back(group.kernel + (group.variant.empty() ? "" : ", " + group.variant));
      width = std::max(width, names.back().size());
    }
    for (std::size_t i = 0; i < groups.size(); ++i) {
      const std::string rules = rules_text(groups[i], false);
      const std::string what = !groups[i].missing.empty() ? "absent: " + groups[i].missing
                               : rules.empty()            ? "clean"
                                                          : "violated: " + rules;
      text += fmt::format("  {:{}}  {}{}\n", names[i], width, what,
                          groups[i].passed == groups[i].runs ? "" : "  (not as expected)");
    }
    return text;
  }

  static Json as_json(const SummaryEntry& entry) {
    return {{"scenario", entry.scenario},   {"kernel", entry.kernel},     {"variant", entry.variant},
            {"seed", entry.seed},           {"outcome", entry.outcome},   {"message", entry.message},
            {"directory", entry.directory}, {"violated", entry.violated}, {"about", entry.about}};
  }

  std::string relative(const std::string& directory) const {
    if (directory.empty()) return "";
    return directory.substr(std::min(directory.size(), options_.directory.size() + 1));
  }

  void say(const Json& message) {
    const std::string line = message.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
    std::size_t done = 0;
    while (done < line.size()) {
      const ssize_t wrote = write(pipe_, line.data() + done, line.size() - done);
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote <= 0) return;
      done += static_cast<std::size_t>(wrote);
    }
  }

  const Scenario& scenario_;
  const RunOptions& options_;
  std::set<std::string> told_;  // outcomes that a report has told in full
  int pipe_;
};

// Signals that ask the program to end. While one of these lives they are held back but for the time in which it waits;
// afterwards they do what they did before, so that a program that was interrupted ends by the signal.
class Interruption {
 public:
  Interruption() {
    sigset_t held;
    sigemptyset(&held);
    for (const int signal : kSignals) sigaddset(&held, signal);
    sigprocmask(SIG_BLOCK, &held, &mask_before_);
    for (std::size_t i = 0; i < std::size(kSignals); ++i) {
      sigaction(kSignals[i], nullptr, &before_[i]);
      if (before_[i].sa_handler == SIG_IGN) continue;  // nohup, or a shell's background job
      struct sigaction action {};
      action.sa_handler = [](int signal) { caught = signal; };
      sigaction(kSignals[i], &action, nullptr);
    }
  }
  ~Interruption() {
    for (std::size_t i = 0; i < std::size(kSignals); ++i) sigaction(kSignals[i], &before_[i], nullptr);
    if (caught != 0) raise(caught);  // it is held back until the next line
    sigprocmask(SIG_SETMASK, &mask_before_, nullptr);
  }
  Interruption(const Interruption&) = delete;
  Interruption& operator=(const Interruption&) = delete;

  static bool happened() { return caught != 0; }
  // Waits until a descriptor can be read, or one of the signals has come.
  void wait(std::vector<pollfd>& descriptors) const {
    while (!happened() && ppoll(descriptors.data(), descriptors.size(), nullptr, &mask_before_) < 0 && errno == EINTR) {
    }
  }
  // In a worker: a key on the terminal reaches all of its processes, but only the parent decides.
  void leave_to_the_parent() const {
    for (std::size_t i = 0; i < std::size(kSignals); ++i) {
      sigaction(kSignals[i], &before_[i], nullptr);
      if (kSignals[i] == SIGINT || kSignals[i] == SIGHUP) std::signal(kSignals[i], SIG_IGN);
    }
    sigprocmask(SIG_SETMASK, &mask_before_, nullptr);
  }

 private:
  static constexpr int kSignals[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
  static volatile std::sig_atomic_t caught;

  sigset_t mask_before_{};
  struct sigaction before_[std::size(kSignals)]{};
};
volatile std::sig_atomic_t Interruption::caught = 0;

// The parent's side of a worker.
struct Running {
  std::size_t scenario = 0;  // its index
  pid_t pid = -1;
  int pipe = -1;
  std::string heard;
};

FileResult result_of(const Running& worker, const Scenario& scenario, int status) {
  FileResult result;
  std::string doing = "starting";
  bool ended = false;
  // What a run could not tell itself.
  const auto add = [&](ExitCode code, std::string_view outcome, const std::string& text) {
    ended = true;
    ++result.runs;
    result.code = more_serious(result.code, code);
    result.errors += text + "\n";
    result.junit.push_back({scenario.path, doing, JunitResult::Outcome::error, text, text});
    SummaryEntry entry;
    entry.scenario = scenario.name;
    entry.path = scenario.path;
    entry.seed = scenario.seed;
    entry.outcome = outcome;
    entry.message = text;
    result.summary.push_back(std::move(entry));
  };
  for (std::size_t at = 0; at < worker.heard.size();) {
    const std::size_t end = worker.heard.find('\n', at);
    if (end == std::string::npos) break;
    const Json message = Json::parse(worker.heard.begin() + static_cast<std::ptrdiff_t>(at),
                                     worker.heard.begin() + static_cast<std::ptrdiff_t>(end), nullptr, false);
    at = end + 1;
    if (message.is_discarded()) continue;
    if (message.contains("doing")) doing = message["doing"];
    if (message.contains("report")) result.report += message["report"].get<std::string>();
    if (message.contains("input_error"))
      add(ExitCode::input, "refused",
          fmt::format("{}: error: {}", scenario.path, message["input_error"].get<std::string>()));
    if (message.contains("refused_input")) add(ExitCode::input, "refused", message["refused_input"]);
    if (message.contains("fault"))
      add(ExitCode::fault, "crashed",
          fmt::format("{}: internal fault while {}: {}", scenario.path, doing, message["fault"].get<std::string>()));
    if (message.contains("run")) {
      ++result.runs;
      if (message["passed"].get<bool>()) ++result.passed;
    }
    if (message.contains("never")) ++result.never;
    if (message.contains("summary")) {
      const auto& junit = message["junit"];
      result.junit.push_back({scenario.path, junit["name"],
                              static_cast<JunitResult::Outcome>(junit["outcome"].get<int>()), junit["message"],
                              junit["text"]});
      const auto& summary = message["summary"];
      SummaryEntry entry;
      entry.scenario = summary["scenario"];
      entry.path = scenario.path;
      entry.kernel = summary["kernel"];
      entry.variant = summary["variant"];
      entry.seed = summary["seed"];
      entry.outcome = summary["outcome"];
      entry.message = summary["message"];
      entry.directory = summary["directory"];
      entry.violated = summary["violated"].get<std::vector<std::string>>();
      entry.about = summary["about"];
      result.summary.push_back(std::move(entry));
    }
    if (message.contains("end")) {
      ended = true;
      result.code = more_serious(result.code, static_cast<ExitCode>(message["end"].get<int>()));
    }
  }
  if (!ended || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    const std::string how = WIFSIGNALED(status)
                                ? fmt::format("signal {} ({})", WTERMSIG(status), strsignal(WTERMSIG(status)))
                                : fmt::format("exit code {}", WEXITSTATUS(status));
    add(ExitCode::fault, "crashed",
        fmt::format("{}: internal fault: the worker ended with {} while it was doing: {}", scenario.path, how, doing));
  }
  return result;
}

// The workers that are at work.
class Workers {
 public:
  Workers(const std::vector<Scenario>& scenarios, const RunOptions& options)
      : scenarios_(scenarios), options_(options) {}
  ~Workers() {
    for (const Running& worker : running_) {
      kill(worker.pid, SIGKILL);
      wait_for(worker.pid);
      close(worker.pipe);
      clean_up(worker);
    }
  }
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  std::size_t count() const { return running_.size(); }

  void launch(std::size_t scenario) {
    int ends[2];
    if (pipe(ends) != 0) throw std::runtime_error(fmt::format("cannot make a pipe: {}", std::strerror(errno)));
    std::fflush(nullptr);
    const pid_t parent = getpid();
    const pid_t pid = ::fork();
    if (pid < 0) throw std::runtime_error(fmt::format("cannot fork a worker: {}", std::strerror(errno)));
    if (pid == 0) {
      close(ends[0]);
      for (const Running& other : running_) close(other.pipe);
      run_in_child(scenario, ends[1], parent);
    }
    close(ends[1]);
    running_.push_back({scenario, pid, ends[0], {}});
  }

  // Hears from all of them, so that none waits for another; returns those that have ended.
  std::vector<std::pair<std::size_t, FileResult>> hear() {
    std::vector<pollfd> descriptors;
    for (const Running& worker : running_) descriptors.push_back({worker.pipe, POLLIN, 0});
    interruption_.wait(descriptors);
    std::vector<std::pair<std::size_t, FileResult>> ended;
    if (Interruption::happened()) return ended;
    for (std::size_t i = descriptors.size(); i-- > 0;) {
      if (descriptors[i].revents == 0 || heard(running_[i])) continue;
      const Running& worker = running_[i];
      close(worker.pipe);
      const int status = wait_for(worker.pid);
      FileResult result = result_of(worker, scenarios_[worker.scenario], status);
      if (result.code == ExitCode::fault || result.code == ExitCode::input) clean_up(worker);
      ended.emplace_back(worker.scenario, std::move(result));
      running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(i));
    }
    return ended;
  }

 private:
  // False: there is no more to come.
  static bool heard(Running& worker) {
    char buffer[65536];
    const ssize_t got = read(worker.pipe, buffer, sizeof buffer);
    if (got < 0) return errno == EINTR || errno == EAGAIN;
    worker.heard.append(buffer, static_cast<std::size_t>(got));
    return got > 0;
  }

  static int wait_for(pid_t pid) {
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return status;
  }

  // A worker that was killed, or could not go on, leaves files that it had begun.
  void clean_up(const Running& worker) const {
    for (const RunOfFile& run : runs_of(scenarios_[worker.scenario], options_)) {
      if (run.directory.empty()) return;
      try {
        FileSet::remove_leftovers(run.directory);
      } catch (const OutputError&) {  // whoever could write them could remove them; nothing more can be done
      }
    }
  }

  [[noreturn]] void run_in_child(std::size_t scenario, int pipe, [[maybe_unused]] pid_t parent) const {
#ifdef __linux__
    prctl(PR_SET_PDEATHSIG, SIGKILL);  // should the parent be killed so that it can do nothing
    if (getppid() != parent) _exit(0);
#endif
    interruption_.leave_to_the_parent();
    Worker worker(scenarios_[scenario], options_, pipe);
    const int status = elaborate([&worker] { return worker.work(); });
    std::fflush(nullptr);
    _exit(status);  // nothing of the parent's may be torn down twice
  }

  const std::vector<Scenario>& scenarios_;
  const RunOptions& options_;
  Interruption interruption_;  // ends after the workers have
  std::vector<Running> running_;
};

}  // namespace

ExitCode more_serious(ExitCode a, ExitCode b) {
  static constexpr ExitCode kOrder[] = {ExitCode::fault, ExitCode::input, ExitCode::failed, ExitCode::inconclusive};
  for (const ExitCode code : kOrder)
    if (a == code || b == code) return code;
  return ExitCode::held;
}

void run_scenarios(const std::vector<Scenario>& scenarios, const RunOptions& options,
                   const std::function<void(const FileResult&)>& hear) {
  Workers workers(scenarios, options);
  std::map<std::size_t, FileResult> complete;  // those that wait for one before them
  std::size_t launched = 0;
  for (std::size_t told = 0; told < scenarios.size();) {
    while (launched < scenarios.size() && workers.count() < std::max(1u, options.jobs)) workers.launch(launched++);
    for (auto& [scenario, result] : workers.hear()) complete.emplace(scenario, std::move(result));
    if (Interruption::happened()) return;  // and with that, ends
    for (auto next = complete.find(told); next != complete.end(); next = complete.find(++told)) {
      hear(next->second);
      complete.erase(next);
    }
  }
}

}  // namespace secmmu
