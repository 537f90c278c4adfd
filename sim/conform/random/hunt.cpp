#include "sim/conform/random/hunt.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "models/devices/registry.hpp"
#include "notifier/behaviour.hpp"
#include "sim/conform/child_process.hpp"
#include "sim/conform/devices.hpp"
#include "sim/conform/random/crowd.hpp"
#include "sim/conform/random/generator.hpp"
#include "sim/conform/random/shrink.hpp"
#include "sim/conform/translation.hpp"
#include "sim/run/build.hpp"
#include "sim/scenario/parser.hpp"
#include "sim/scenario/resolved.hpp"

namespace secmmu::conform {
namespace {

using Json = nlohmann::json;

constexpr std::uint64_t kAtOnce = 40;  // programs of one process

struct Candidate {
  std::uint64_t seed = 0;
  Recording program;
  Scenario scenario;
};

Json to_json(const Trial& trial) { return {{"kind", trial.kind}, {"what", trial.what}}; }
Trial trial_from(const Json& json) { return {json["kind"].get<std::string>(), json["what"].get<std::string>()}; }

// In a child: `body` is called by the director of a machine that can play these.
template <class Body>
std::string on_machine(const std::vector<Scenario>& scenarios, const Body& body) {
  Platform platform(platform_config(machine_for(scenarios)));
  std::string answer;
  platform.arbiter.direct([&] { answer = body(platform); });
  sc_core::sc_start();
  platform.arbiter.rethrow();
  return answer;
}

class Hunter {
 public:
  Hunter(const HuntOptions& options, const std::string& device, PlayForm form, unsigned machine)
      : options_(options), device_(device), form_(form), machine_(machine) {
    trial_.kernel = options.kernel;
    trial_.form = form;
    trial_.without = options.without;
  }

  // The first of these seeds whose program fails.
  std::optional<Found> look(std::uint64_t first, std::uint64_t count) const {
    std::vector<Candidate> candidates;
    for (std::uint64_t seed = first; seed < first + count; ++seed) {
      if (form_ == PlayForm::crowded && crowd_machine(seed) != machine_) continue;
      Recording program = draw_program(seed, device_);
      Scenario scenario = scenario_of(program, seed, trial_);
      candidates.push_back({seed, std::move(program), std::move(scenario)});
    }
    std::size_t begin = 0;
    std::size_t end = candidates.size();
    while (begin < end) {
      const ChildAnswer answer = ask_child([&] { return play(candidates, begin, end); });
      if (answer.fault.empty()) {
        if (answer.text.empty()) return std::nullopt;
        const Json json = Json::parse(answer.text);
        return found(candidates.at(json["index"].get<std::size_t>()), trial_from(json["trial"]));
      }
      // One of them took the process with it: the first half, or the second.
      if (end - begin == 1) return found(candidates[begin], {"fault", answer.fault});
      const std::size_t middle = begin + (end - begin) / 2;
      if (auto early = look(candidates[begin].seed, candidates[middle].seed - candidates[begin].seed)) return early;
      begin = middle;
    }
    return std::nullopt;
  }

 private:
  std::string play(const std::vector<Candidate>& candidates, std::size_t begin, std::size_t end) const {
    std::vector<Scenario> scenarios;
    for (std::size_t i = begin; i < end; ++i) scenarios.push_back(candidates[i].scenario);
    return on_machine(scenarios, [&](Platform& platform) -> std::string {
      for (std::size_t i = begin; i < end; ++i) {
        const Trial trial = try_program(platform, candidates[i].program, candidates[i].scenario, trial_);
        if (!trial.sound()) return Json{{"index", i}, {"trial", to_json(trial)}}.dump();
      }
      return "";
    });
  }

  // Shrinks it and plays it once more, to tell what should have been.
  Found found(const Candidate& candidate, const Trial& first) const {
    Found found;
    found.seed = candidate.seed;
    found.device = device_;
    found.form = form_;
    found.operations = candidate.program.blocks.size();
    found.program = !options_.shrink        ? candidate.program
                    : first.kind == "fault" ? shrink_alone(candidate)
                                            : shrink_together(candidate, first.kind);
    found.scenario = scenario_of(found.program, candidate.seed, trial_);
    found.trial = first;
    const ChildAnswer answer = ask_child([&] {
      return on_machine({found.scenario}, [&](Platform& platform) {
        Told told;
        const Trial trial = try_program(platform, found.program, found.scenario, trial_, &told);
        // What should have been is what a device tells that keeps all rules.
        if (form_ == PlayForm::in_order && !trial_.without.empty()) {
          TrialOptions kept = trial_;
          kept.without.clear();
          const Scenario scenario = scenario_of(found.program, candidate.seed, kept);
          Told sound;
          try_program(platform, found.program, scenario, kept, &sound);
          told.lines = sound.lines;
        }
        Json lines = Json::array();
        for (const std::vector<Line>& block : told.lines) {
          Json& one = lines.emplace_back(Json::array());
          for (const Line& line : block) one.push_back(line.text);
        }
        return Json{{"trial", to_json(trial)}, {"lines", lines}, {"scenario", scenario_yaml(told.scenario)}}.dump();
      });
    });
    if (!answer.fault.empty()) return found;
    const Json json = Json::parse(answer.text);
    found.trial = trial_from(json["trial"]);
    for (std::size_t block = 0; block < json["lines"].size(); ++block)
      for (const Json& line : json["lines"][block])
        found.program.blocks[block].lines.push_back({line.get<std::string>()});
    const std::string yaml = json["scenario"].get<std::string>();
    if (const auto parsed = parse_scenario_text(yaml, found.scenario.name + ".yaml"); parsed.scenario)
      found.scenario = *parsed.scenario;
    return found;
  }

  // All in one process: nothing dies.
  Recording shrink_together(const Candidate& candidate, const std::string& kind) const {
    const ChildAnswer answer = ask_child([&] {
      return on_machine({candidate.scenario}, [&](Platform& platform) {
        const Recording small = shrink(candidate.program, [&](const Recording& program) {
          const Scenario scenario = scenario_of(program, candidate.seed, trial_);
          return try_program(platform, program, scenario, trial_).kind == kind;
        });
        Json blocks = Json::array();
        for (const Block& block : small.blocks) blocks.push_back({block.operation.mark.line, block.operation.text});
        return blocks.dump();
      });
    });
    if (!answer.fault.empty()) return candidate.program;
    Recording small = candidate.program;
    small.blocks.clear();
    for (const Json& kept : Json::parse(answer.text)) {
      const Block& whole = candidate.program.blocks.at(kept[0].get<std::size_t>() - 1);
      Block& block = small.blocks.emplace_back(whole);
      block.operation = reread(whole.operation, kept[1].get<std::string>());
    }
    return small;
  }

  // Each in a process of its own.
  Recording shrink_alone(const Candidate& candidate) const {
    return shrink(
        candidate.program,
        [&](const Recording& program) {
          const Scenario scenario = scenario_of(program, candidate.seed, trial_);
          return !ask_child([&] {
                    return on_machine({scenario}, [&](Platform& platform) {
                      return try_program(platform, program, scenario, trial_).kind;
                    });
                  }).fault.empty();
        },
        300);
  }

  // The same operation with the numbers that its text has now.
  static Operation reread(Operation operation, const std::string& text) {
    operation.text = text;
    std::size_t at = 0;
    const auto next = [&] {
      const std::size_t blank = text.find(' ', at);
      const std::string word = text.substr(at, blank == std::string::npos ? blank : blank - at);
      at = blank == std::string::npos ? text.size() : blank + 1;
      return word;
    };
    next();
    for (const Argument& argument : find_operation(operation.name)->arguments) {
      const std::string word = next();
      if (const auto* number = std::get_if<std::uint64_t Operation::*>(&argument.member))
        operation.** number = std::stoull(word);
    }
    return operation;
  }

  const HuntOptions& options_;
  std::string device_;
  PlayForm form_;
  unsigned machine_;
  TrialOptions trial_;
};

}  // namespace

std::vector<std::string> random_devices(const std::string& kernel) {
  const NotifierBehaviour behaviour = notifier_behaviour(*find_kernel(kernel));
  std::vector<std::string> names;
  for (const DeviceSpec& device : recorded_devices()) {
    const DeviceKindRow* kind = find_device_kind(device.kind);
    if (kind->needs == nullptr || behaviour.*kind->needs) names.push_back(device.name);
  }
  return names;
}

std::optional<Found> hunt(const HuntOptions& options) {
  const std::vector<std::string> devices = options.devices.empty() ? random_devices(options.kernel) : options.devices;
  std::uint64_t done = 0;
  while (done < options.programs) {
    const std::uint64_t count = std::min(kAtOnce, options.programs - done);
    std::optional<Found> first;
    for (const std::string& device : devices)
      for (const PlayForm form : options.forms)
        for (unsigned machine = 0; machine < (form == PlayForm::crowded ? kCrowdMachines : 1); ++machine) {
          auto found = Hunter(options, device, form, machine).look(options.first_seed + done, count);
          if (found && (!first || found->seed < first->seed)) first = std::move(found);
        }
    if (first) {
      first->number = first->seed - options.first_seed + 1;
      return first;
    }
    done += count;
  }
  return std::nullopt;
}

}  // namespace secmmu::conform
