#include "sim/run/worker.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <cerrno>
#include <cstring>
#include <deque>
#include <map>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <systemc>

#include "sim/output/file_set.hpp"
#include "sim/run/build.hpp"
#include "sim/run/episode.hpp"

namespace secmmu {
namespace {

using Json = nlohmann::ordered_json;

// What sc_main is to do in this process; SystemC gives it no other way in.
std::function<int()>& elaboration() {
  static std::function<int()> body;
  return body;
}

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
  }
  if (verdict.outcome != Outcome::passed) {
    result.message = headline(verdict);
    result.text = report_text(verdict, false);
  }
  return result;
}

// The worker's whole life: plays every run and writes what came of it, a JSON line each.
class Worker {
 public:
  Worker(const Scenario& scenario, const RunOptions& options, int pipe)
      : scenario_(scenario), options_(options), pipe_(pipe) {}

  int work() {
    say({{"doing", "building the machine"}});
    std::unique_ptr<Platform> platform;
    std::unique_ptr<Episode> episode;
    try {
      platform = std::make_unique<Platform>(platform_config(scenario_));
      episode = std::make_unique<Episode>(*platform, scenario_);
    } catch (const std::runtime_error& error) {
      say({{"input_error", scenario_.path + ": error: " + error.what()}});
      return 0;
    } catch (const std::invalid_argument& error) {  // a shape that no hardware can have
      say({{"input_error", scenario_.path + ": error: " + error.what()}});
      return 0;
    }
    platform->arbiter.direct([&] { play_all(*episode); });
    sc_core::sc_start();
    try {
      platform->arbiter.rethrow();
    } catch (const OutputError& error) {
      say({{"input_error", std::string("error: ") + error.what()}});
    } catch (const std::exception& error) {
      say({{"fault", error.what()}});
    }
    return 0;
  }

 private:
  void play_all(Episode& episode) {
    const std::vector<RunOfFile> runs = runs_of(scenario_, options_);
    const bool many_seeds = runs.size() > 1 && runs[0].group() == runs[1].group();
    std::map<std::string, std::vector<bool>> sometimes;
    ExitCode worst = ExitCode::held;
    std::uint64_t passed = 0;
    for (const RunOfFile& run : runs) {
      say({{"doing", fmt::format("kernel {} seed {}", run.group(), run.seed)}});
      EpisodeOptions play;
      play.kept = run.kept;
      play.directory = run.directory;
      play.sinks = options_.sinks;
      play.progress = options_.progress;
      EpisodeResult result = episode.play(run.kernel, run.seed, play);
      if (!result.input_error.empty()) {
        say({{"input_error", result.input_error}});
        return;
      }
      RunVerdict& verdict = result.verdict;
      auto& held = sometimes[run.group()];
      held.resize(result.sometimes.size(), false);
      for (std::size_t i = 0; i < held.size(); ++i) held[i] = held[i] || result.sometimes[i];
      switch (verdict.outcome) {
        case Outcome::passed:
          ++passed;
          break;
        case Outcome::failed:
          worst = more_serious(worst, ExitCode::failed);
          break;
        case Outcome::inconclusive:
          worst = more_serious(worst, ExitCode::inconclusive);
          break;
      }
      const JunitResult junit = junit_of(verdict, many_seeds);
      const SummaryEntry entry = summary_of(verdict, relative(run.directory));
      Json message = {{"run", true},
                      {"junit", {{"name", junit.name},
                                 {"outcome", static_cast<int>(junit.outcome)},
                                 {"message", junit.message},
                                 {"text", junit.text}}},
                      {"summary", {{"scenario", entry.scenario},
                                   {"kernel", entry.kernel},
                                   {"seed", entry.seed},
                                   {"outcome", entry.outcome},
                                   {"message", entry.message},
                                   {"directory", entry.directory}}}};
      // Of many seeds that pass, one line at the end says enough.
      if (verdict.outcome != Outcome::passed || !many_seeds) message["report"] = report_text(verdict, options_.colour);
      say(message);
    }
    std::string report;
    if (many_seeds)
      report = fmt::format("{}: {} of {} runs as expected\n", scenario_.name, passed, runs.size());
    for (const auto& [kernel, held] : sometimes) {
      const bool kept = kernel.find('/') != std::string::npos;
      const Expectations expect = kept ? *scenario_.expect_kept : expectations_for(scenario_, kernel);
      for (std::size_t i = 0; i < held.size(); ++i) {
        if (held[i]) continue;
        worst = more_serious(worst, ExitCode::failed);
        const CounterCheck& check = expect.sometimes[i];
        const std::string text = fmt::format("{}:{}:{}: on {} never: {}", scenario_.path, check.mark.line,
                                             check.mark.column, kernel, check.text);
        report += text + "\n";
        say({{"run", true},
             {"junit", {{"name", kernel + "/sometimes"},
                        {"outcome", static_cast<int>(JunitResult::Outcome::failed)},
                        {"message", text},
                        {"text", "No run entered the window that this scenario is about."}}},
             {"summary", {{"scenario", scenario_.name},
                          {"kernel", kernel},
                          {"seed", 0},
                          {"outcome", "failed"},
                          {"message", text},
                          {"directory", ""}}}});
      }
    }
    say({{"end", static_cast<int>(worst)}, {"report", report}});
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
      if (wrote <= 0) return;
      done += static_cast<std::size_t>(wrote);
    }
  }

  const Scenario& scenario_;
  const RunOptions& options_;
  int pipe_;
};

// The parent's side of a worker.
struct Running {
  pid_t pid = -1;
  int pipe = -1;
  std::string heard;
};

Running launch(const Scenario& scenario, const RunOptions& options) {
  int ends[2];
  if (pipe(ends) != 0) throw std::runtime_error("cannot make a pipe");
  std::fflush(nullptr);
  const pid_t pid = ::fork();
  if (pid < 0) throw std::runtime_error("cannot fork a worker");
  if (pid == 0) {
    close(ends[0]);
    Worker worker(scenario, options, ends[1]);
    elaboration() = [&worker] { return worker.work(); };
    char name[] = "secmmu";
    char* arguments[] = {name, nullptr};
    sc_core::sc_elab_and_sim(1, arguments);
    std::fflush(nullptr);
    _exit(0);  // nothing of the parent's may be torn down twice
  }
  close(ends[1]);
  return {pid, ends[0], {}};
}

FileResult finish(Running& running, const Scenario& scenario) {
  char buffer[65536];
  for (ssize_t got = 0; (got = read(running.pipe, buffer, sizeof buffer)) != 0;) {
    if (got < 0) {
      if (errno == EINTR) continue;
      break;
    }
    running.heard.append(buffer, static_cast<std::size_t>(got));
  }
  close(running.pipe);
  int status = 0;
  while (waitpid(running.pid, &status, 0) < 0 && errno == EINTR) {
  }
  FileResult result;
  std::string doing = "starting";
  bool ended = false;
  std::size_t at = 0;
  while (at < running.heard.size()) {
    const std::size_t end = running.heard.find('\n', at);
    if (end == std::string::npos) break;
    const Json message = Json::parse(running.heard.begin() + static_cast<std::ptrdiff_t>(at),
                                     running.heard.begin() + static_cast<std::ptrdiff_t>(end), nullptr, false);
    at = end + 1;
    if (message.is_discarded()) continue;
    if (message.contains("doing")) doing = message["doing"];
    if (message.contains("report")) result.report += message["report"].get<std::string>();
    if (message.contains("input_error")) {
      ended = true;
      result.code = more_serious(result.code, ExitCode::input);
      result.errors += message["input_error"].get<std::string>() + "\n";
    }
    if (message.contains("fault")) {
      ended = true;
      result.code = ExitCode::fault;
      result.errors += fmt::format("{}: internal fault while {}: {}\n", scenario.path, doing,
                                   message["fault"].get<std::string>());
    }
    if (message.contains("run")) {
      const auto& junit = message["junit"];
      result.junit.push_back({scenario.path, junit["name"], static_cast<JunitResult::Outcome>(junit["outcome"].get<int>()),
                              junit["message"], junit["text"]});
      const auto& summary = message["summary"];
      SummaryEntry entry;
      entry.scenario = summary["scenario"];
      entry.path = scenario.path;
      entry.kernel = summary["kernel"];
      entry.seed = summary["seed"];
      entry.outcome = summary["outcome"];
      entry.message = summary["message"];
      entry.directory = summary["directory"];
      result.summary.push_back(std::move(entry));
    }
    if (message.contains("end")) {
      ended = true;
      result.code = more_serious(result.code, static_cast<ExitCode>(message["end"].get<int>()));
    }
  }
  if (!ended || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    result.code = ExitCode::fault;
    const std::string how = WIFSIGNALED(status) ? fmt::format("signal {} ({})", WTERMSIG(status), strsignal(WTERMSIG(status)))
                                                : fmt::format("exit code {}", WEXITSTATUS(status));
    const std::string text = fmt::format("internal fault: the worker ended with {} while it was doing: {}", how, doing);
    result.errors += scenario.path + ": " + text + "\n";
    result.junit.push_back({scenario.path, "worker", JunitResult::Outcome::error, text, text});
    SummaryEntry entry;
    entry.scenario = scenario.name;
    entry.path = scenario.path;
    entry.outcome = "crashed";
    entry.message = text;
    result.summary.push_back(std::move(entry));
  }
  return result;
}

}  // namespace

ExitCode more_serious(ExitCode a, ExitCode b) {
  static constexpr ExitCode kOrder[] = {ExitCode::fault, ExitCode::input, ExitCode::failed, ExitCode::inconclusive};
  for (const ExitCode code : kOrder)
    if (a == code || b == code) return code;
  return ExitCode::held;
}

std::vector<FileResult> run_scenarios(const std::vector<Scenario>& scenarios, const RunOptions& options,
                                      const std::function<void(const FileResult&)>& hear) {
  std::vector<FileResult> results;
  std::deque<Running> running;
  std::size_t next = 0;
  while (results.size() < scenarios.size()) {
    while (next < scenarios.size() && running.size() < std::max(1u, options.jobs))
      running.push_back(launch(scenarios[next++], options));
    // The oldest first, so that results come in order; the others go on meanwhile.
    results.push_back(finish(running.front(), scenarios[results.size()]));
    running.pop_front();
    hear(results.back());
  }
  return results;
}

int run_elaboration() { return elaboration() ? elaboration()() : 0; }

}  // namespace secmmu
