#include "sim/conform/scenario_run.hpp"

#include <algorithm>
#include <optional>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "sim/conform/child_process.hpp"
#include "sim/conform/devices.hpp"
#include "sim/conform/recorder.hpp"
#include "sim/conform/step_names.hpp"
#include "sim/run/build.hpp"
#include "sim/run/episode.hpp"

namespace secmmu::conform {
namespace {

using Json = nlohmann::json;

// "process.buffer": the first that the scenario watches, else the first that there is.
std::string watched_buffer(const Scenario& scenario) {
  if (!scenario.watch.empty()) return scenario.watch.front();
  for (const ProcessSpec& process : scenario.processes)
    if (!process.buffers.empty()) return process.name + "." + process.buffers.front().name;
  for (const ActorSpec& actor : scenario.actors)
    for (const Step& step : actor.program)
      if (step.verb == "mmap" && !actor.process.empty()) return actor.process + "." + step.buffer;
  return "";
}

// What happens before the actors start, as set-up operations.
void name_setup(const Scenario& scenario, const std::string& process, StepNames& names) {
  for (const ProcessSpec& spec : scenario.processes) {
    if (spec.name != process) continue;
    for (const BufferSpec& buffer : spec.buffers) {
      static constexpr const char* kKinds[] = {"anon", "shared", "file", "filepriv", "# a private mapping of a file:"};
      const char* const kind = kKinds[static_cast<std::size_t>(buffer.backing)];
      names.add(fmt::format("{} {} {}", kind, buffer.name, buffer.pages), *kind != '#');
      if (buffer.populate) names.add(fmt::format("populate_write {} 0 {}", buffer.name, buffer.pages), true);
      if (buffer.protection == Protection::none || buffer.protection == Protection::r)
        names.add(fmt::format("mprotect {} 0 {} {}", buffer.name, buffer.pages,
                              buffer.protection == Protection::r ? "r" : "none"),
                  true);
    }
  }
}

class Run {
 public:
  Run(const Scenario& scenario, const std::vector<std::string>& kernels, std::string watched)
      : scenario_(scenario),
        kernels_(kernels),
        watched_(std::move(watched)),
        attached_(std::none_of(scenario.devices.begin(), scenario.devices.end(),
                               [](const DeviceSpec& device) { return device.name == kRecorder; })),
        names_(process(), buffer(), attached_) {
    if (!attached_) return;
    DeviceSpec recorder = recorder_device();
    recorder.attach = {process()};
    scenario_.devices.insert(scenario_.devices.begin(), std::move(recorder));
    name_setup(scenario, process(), names_);
    names_.add("watch " + buffer(), false);
    for (const DeviceSpec& device : scenario.devices)
      if (std::find(device.attach.begin(), device.attach.end(), process()) != device.attach.end())
        names_.add(find_recorded_device(device.kind) != nullptr
                       ? "device " + device.kind
                       : fmt::format("# device {}: {}", device.name, device.kind),
                   false);
    before_ = names_.blocks().size();
  }

  // In the child: what was heard, for each kernel a list of blocks with their lines.
  std::string play() {
    Platform platform(platform_config(scenario_));
    Json runs = Json::array();
    platform.arbiter.direct([&] {
      Episode episode(platform, scenario_);
      for (const std::string& kernel : kernels_) runs.push_back(play(platform, episode, kernel));
    });
    sc_core::sc_start();
    platform.arbiter.rethrow();
    Json blocks = Json::array();
    for (const Block& block : names_.blocks()) blocks.push_back({block.operation.text, block.operation.setup});
    return Json{{"blocks", blocks}, {"runs", runs}}.dump();
  }

  static std::vector<std::string> missing(const std::string& said) {
    const Json json = Json::parse(said);
    std::vector<std::string> all;
    for (const Json& run : json["runs"]) all.push_back(run["missing"].get<std::string>());
    return all;
  }

  std::vector<Recording> recordings(const std::string& said) const {
    const Json json = Json::parse(said);
    std::vector<Recording> all;
    for (std::size_t run = 0; run < kernels_.size(); ++run) {
      Recording& recording = all.emplace_back();
      recording.path = scenario_.path;
      recording.name = scenario_.name;
      for (const Json& named : json["blocks"]) {
        Block& block = recording.blocks.emplace_back();
        block.operation.text = named[0].get<std::string>();
        block.operation.name = block.operation.text.substr(0, block.operation.text.find(' '));
        block.operation.setup = named[1].get<bool>();
        if (!block.operation.setup && recording.blocks.size() <= before_ && block.operation.name != "#")
          block.lines.push_back({"= ok"});
      }
      for (const Json& part : json["runs"][run]["parts"])
        for (const Json& line : part[1]) add(recording.blocks.at(part[0].get<std::size_t>()), line.get<std::string>());
    }
    return all;
  }

 private:
  std::string process() const { return watched_.substr(0, watched_.find('.')); }
  std::string buffer() const { return watched_.substr(watched_.find('.') + 1); }

  Json play(Platform& platform, Episode& episode, const std::string& kernel) {
    names_.run_begins();
    Recorder recorder(platform, watched_, kRecorder,
                      [this](const ActorProgram& program, const Step& step) { return names_.block_of(program, step); });
    EpisodeOptions options;
    options.programs = &recorder;
    options.listen = [&recorder](Bus& bus) { recorder.listen(bus); };
    const std::string missing = episode.play(kernel, scenario_.seed, options).verdict.missing;
    Json parts = Json::array();
    std::vector<Recorder::Part> heard = recorder.finish();
    if (!missing.empty() && !heard.empty()) heard.back().lines.clear();  // what this kernel lacks has no result
    for (const Recorder::Part& part : heard) {
      if (part.block == SIZE_MAX) continue;  // before the first operation
      Json lines = Json::array();
      for (const Line& line : part.lines) lines.push_back(line.text);
      parts.push_back({part.block, lines});
    }
    return {{"parts", parts}, {"missing", missing}};
  }

  // A set-up has no lines, a remark neither result nor values.
  static void add(Block& block, std::string line) {
    const LineKind kind = kind_of(line);
    if (block.operation.setup) return;
    if (block.operation.name == "#" && (kind == LineKind::result || kind == LineKind::value)) return;
    block.lines.push_back({std::move(line)});
  }

  Scenario scenario_;
  std::vector<std::string> kernels_;
  std::string watched_;
  bool attached_;  // by us
  StepNames names_;
  std::size_t before_ = 0;
};

}  // namespace

RecordedScenario record(const Scenario& scenario, const std::vector<std::string>& kernels) {
  RecordedScenario result;
  const std::string watched = watched_buffer(scenario);
  const auto process = std::find_if(scenario.processes.begin(), scenario.processes.end(),
                                    [&](const ProcessSpec& spec) { return watched.starts_with(spec.name + "."); });
  if (watched.empty() || process == scenario.processes.end())
    result.refused = "there is no buffer to watch, expected one in a process, or 'watch: process.buffer'";
  else if (!process->forked_from.empty())
    result.refused = fmt::format(
        "{} is of a forked process, expected to watch a buffer of one that is there from the start", watched);
  if (!result.refused.empty()) return result;
  Run run(scenario, kernels, watched);
  const ChildAnswer answer = ask_child([&run] { return run.play(); });
  result.fault = answer.fault;
  if (answer.fault.empty()) {
    result.recordings = run.recordings(answer.text);
    result.missing = Run::missing(answer.text);
  }
  return result;
}

}  // namespace secmmu::conform
