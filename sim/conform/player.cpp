#include "sim/conform/player.hpp"

#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <map>
#include <optional>
#include <stdexcept>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "models/elaboration.hpp"
#include "sim/conform/devices.hpp"
#include "sim/conform/recorder.hpp"
#include "sim/conform/translation.hpp"
#include "sim/run/build.hpp"
#include "sim/run/episode.hpp"

namespace secmmu::conform {
namespace {

using Json = nlohmann::json;

constexpr std::uint64_t kMostSteps = 100'000'000;  // scheduling points of one recording; the longest have 100,000

std::vector<std::string> remarks_of(const RunVerdict& verdict) {
  std::vector<std::string> remarks;
  for (const RuleVerdict& rule : verdict.rules)
    if (rule.violated) remarks.push_back(fmt::format("the rule {} is violated", rule.rule));
  if (!verdict.missing.empty()) remarks.push_back(verdict.missing);
  if (!verdict.limit.empty()) remarks.push_back(fmt::format("it did not end within {}", verdict.limit));
  return remarks;
}

Json to_json(std::size_t index, const Performance& performance) {
  Json lines = Json::array();
  for (const std::vector<Line>& block : performance.lines) {
    Json& one = lines.emplace_back(Json::array());
    for (const Line& line : block) one.push_back(line.text);
  }
  return {{"played", index}, {"lines", std::move(lines)}, {"remarks", performance.remarks}};
}

Performance from_json(const Json& json) {
  Performance performance;
  for (const Json& block : json["lines"]) {
    std::vector<Line>& lines = performance.lines.emplace_back();
    for (const Json& line : block) lines.push_back({line.get<std::string>()});
  }
  performance.remarks = json["remarks"].get<std::vector<std::string>>();
  return performance;
}

// One worker process and the recordings that it has to play.
class Worker {
 public:
  Worker(const std::vector<Recording>& recordings, std::vector<std::size_t> share, const PlayOptions& options)
      : recordings_(recordings), left_(std::move(share)), options_(options) {
    launch();
  }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  ~Worker() {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      wait();
    }
    if (pipe_ >= 0) close(pipe_);
  }

  bool done() const { return left_.empty(); }
  int pipe() const { return pipe_; }

  // Reads what there is; calls `played` for each recording that has come to an end.
  void hear(const std::function<void(std::size_t, Performance)>& played) {
    char buffer[65536];
    const ssize_t got = read(pipe_, buffer, sizeof buffer);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) return;
    if (got > 0) {
      heard_.append(buffer, static_cast<std::size_t>(got));
      std::size_t at = 0;
      for (std::size_t end = heard_.find('\n'); end != std::string::npos; end = heard_.find('\n', at)) {
        take(Json::parse(heard_.begin() + static_cast<std::ptrdiff_t>(at),
                         heard_.begin() + static_cast<std::ptrdiff_t>(end), nullptr, false),
             played);
        at = end + 1;
      }
      heard_.erase(0, at);
      return;
    }
    ended(played);
  }

 private:
  void take(const Json& message, const std::function<void(std::size_t, Performance)>& played) {
    if (message.is_discarded()) return;
    if (message.contains("playing")) playing_ = message["playing"].get<std::size_t>();
    if (message.contains("fault")) fault_ = message["fault"].get<std::string>();
    if (!message.contains("played")) return;
    std::erase(left_, *playing_);
    played(*playing_, from_json(message));
    playing_.reset();
  }

  // Whatever it was playing when it ended is to blame. If it played nothing, the machine cannot be built, and nobody
  // who is left can be played.
  void ended(const std::function<void(std::size_t, Performance)>& played) {
    close(pipe_);
    pipe_ = -1;
    const int status = wait();
    if (fault_.empty())
      fault_ = WIFSIGNALED(status)
                   ? fmt::format("the worker ended with signal {} ({})", WTERMSIG(status), strsignal(WTERMSIG(status)))
                   : fmt::format("the worker ended with exit code {}", WEXITSTATUS(status));
    std::vector<std::size_t> lost;
    if (playing_)
      lost = {*playing_};
    else
      lost = left_;
    for (const std::size_t index : lost) {
      std::erase(left_, index);
      Performance performance;
      performance.fault = fault_;
      played(index, std::move(performance));
    }
    playing_.reset();
    fault_.clear();
    heard_.clear();
    if (!left_.empty()) launch();
  }

  int wait() {
    int status = 0;
    while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    return status;
  }

  void launch() {
    int ends[2];
    if (::pipe(ends) != 0) throw std::runtime_error(fmt::format("cannot make a pipe: {}", std::strerror(errno)));
    std::fflush(nullptr);
    [[maybe_unused]] const pid_t parent = getpid();
    pid_ = ::fork();
    if (pid_ < 0) throw std::runtime_error(fmt::format("cannot fork a worker: {}", std::strerror(errno)));
    if (pid_ == 0) {
      close(ends[0]);
#ifdef __linux__
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (getppid() != parent) _exit(0);
#endif
      const int status = elaborate([this, out = ends[1]] { return work(out); });
      std::fflush(nullptr);
      _exit(status);  // nothing of the parent's may be torn down twice
    }
    close(ends[1]);
    pipe_ = ends[0];
  }

  // --- in the child ---

  int work(int out) const {
    systemc_throws();
    std::vector<Scenario> scenarios;
    for (const std::size_t index : left_) {
      scenarios.push_back(translate(recordings_[index], options_.kernel));
      for (DeviceSpec& device : scenarios.back().devices) switch_off(options_.without, device);
    }
    try {
      Platform platform(platform_config(machine_for(scenarios)));
      platform.arbiter.direct([&] {
        for (std::size_t i = 0; i < left_.size(); ++i) {
          say(out, {{"playing", left_[i]}});
          if (options_.before_each) options_.before_each(left_[i]);
          say(out, to_json(left_[i], perform(platform, recordings_[left_[i]], scenarios[i], options_.kernel)));
        }
      });
      sc_core::sc_start();
      platform.arbiter.rethrow();
    } catch (const std::exception& error) {
      say(out, {{"fault", error.what()}});
    } catch (...) {
      say(out, {{"fault", "something was thrown that is no exception"}});
    }
    return 0;
  }

  static void say(int out, const Json& message) {
    const std::string line = message.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
    for (std::size_t done = 0; done < line.size();) {
      const ssize_t wrote = ::write(out, line.data() + done, line.size() - done);
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote <= 0) return;
      done += static_cast<std::size_t>(wrote);
    }
  }

  const std::vector<Recording>& recordings_;
  std::vector<std::size_t> left_;
  const PlayOptions& options_;
  pid_t pid_ = -1;
  int pipe_ = -1;
  std::string heard_;
  std::string fault_;
  std::optional<std::size_t> playing_;
};

// What stands for an operation that cannot be played.
void mark_missing(const Recording& recording, Performance& performance) {
  const std::vector<bool> may = playable(recording);
  for (std::size_t block = 0; block < recording.blocks.size(); ++block)
    if (!may[block]) performance.lines[block] = {{"= not modelled"}};
}

}  // namespace

Performance perform(Platform& platform, const Recording& recording, const Scenario& scenario,
                    const std::string& kernel) {
  Recorder recorder(platform, scenario.watch.empty() ? "" : scenario.watch.front(), kRecorder,
                    [](const ActorProgram&, const Step& step) { return block_of(step); });
  Episode episode(platform, scenario);
  EpisodeOptions options;
  options.steps = kMostSteps;
  options.programs = &recorder;
  options.listen = [&recorder](Bus& bus) { recorder.listen(bus); };
  const EpisodeResult result = episode.play(kernel, scenario.seed, options);

  Performance performance;
  performance.lines.resize(recording.blocks.size());
  for (Recorder::Part& part : recorder.finish()) {
    if (part.block >= performance.lines.size()) continue;
    std::vector<Line>& lines = performance.lines[part.block];
    // A recording does not say how a set-up ended: well.
    if (recording.blocks[part.block].operation.setup && part.lines[0].text == "= ok") continue;
    if (recording.blocks[part.block].operation.setup) part.lines.resize(1);
    lines.insert(lines.end(), part.lines.begin(), part.lines.end());
  }
  mark_missing(recording, performance);
  performance.remarks = remarks_of(result.verdict);
  return performance;
}

void perform(const std::vector<Recording>& recordings, const PlayOptions& options,
             const std::function<void(std::size_t index, const Performance&)>& hear) {
  const std::size_t jobs =
      std::min<std::size_t>(std::max(1u, options.jobs), std::max<std::size_t>(1, recordings.size()));
  std::vector<std::unique_ptr<Worker>> workers;
  for (std::size_t job = 0; job < jobs && job < recordings.size(); ++job) {
    std::vector<std::size_t> share;
    for (std::size_t index = job; index < recordings.size(); index += jobs) share.push_back(index);
    workers.push_back(std::make_unique<Worker>(recordings, std::move(share), options));
  }
  std::map<std::size_t, Performance> complete;  // those that wait for one before them
  std::size_t told = 0;
  while (told < recordings.size()) {
    std::vector<pollfd> descriptors;
    for (const auto& worker : workers)
      if (!worker->done()) descriptors.push_back({worker->pipe(), POLLIN, 0});
    if (poll(descriptors.data(), descriptors.size(), -1) < 0 && errno != EINTR)
      throw std::runtime_error(fmt::format("cannot hear the workers: {}", std::strerror(errno)));
    for (const auto& worker : workers) {
      if (worker->done()) continue;
      const auto ready = std::find_if(descriptors.begin(), descriptors.end(),
                                      [&](const pollfd& one) { return one.fd == worker->pipe(); });
      if (ready == descriptors.end() || ready->revents == 0) continue;
      worker->hear(
          [&](std::size_t index, Performance performance) { complete.emplace(index, std::move(performance)); });
    }
    for (auto next = complete.find(told); next != complete.end(); next = complete.find(++told)) {
      hear(told, next->second);
      complete.erase(next);
    }
  }
}

}  // namespace secmmu::conform
