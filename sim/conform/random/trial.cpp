#include "sim/conform/random/trial.hpp"

#include <cstring>
#include <map>

#include <fmt/format.h>

#include "models/mm/mm.hpp"
#include "sim/conform/devices.hpp"
#include "sim/conform/random/crowd.hpp"
#include "sim/conform/random/judge.hpp"
#include "sim/conform/translation.hpp"
#include "sim/run/episode.hpp"

namespace secmmu::conform {
namespace {

constexpr std::uint64_t kMostSteps = 5'000'000;  // scheduling points; the longest programs have some 100,000

// In a crowd: at the moment at which a device's access has ended, what it saw is what the page table's page holds. What
// a translation that should be gone still shows is for the oracle.
class Onlooker final : public ProgramListener {
 public:
  explicit Onlooker(Platform& platform) : platform_(platform) {}

  const std::string& wrong() const { return wrong_; }
  // How the steps ended, by actor and their place in its program.
  const std::map<std::pair<std::string, const Step*>, std::string>& results() const { return results_; }

  void step_ended(const ActorProgram& program, const Step& step, std::string_view result) override {
    std::string& known = results_[{program.actor.name, &step}];
    if (known.empty() || known == "ok") known = result;
  }

  void accessed(const ActorProgram& program, VirtAddr address, bool write, std::uint64_t value,
                std::string_view result) override {
    if (program.device == nullptr || result != "ok" || !wrong_.empty()) return;
    // Where copy-on-write tells after it has changed the entry, the old page may be seen until then.
    if (platform_.mms->behaviour.cow_notify != "start-end") return;
    const Pte entry = program.process->mm->peek(address.page());
    if (!entry.present()) return;
    std::uint64_t there = 0;
    std::memcpy(&there, platform_.memory.bytes(entry.frame()) + address.offset(), sizeof there);
    if (there != value)
      wrong_ = fmt::format("{} {} {} at {:#x} of {}, and a CPU would see {}", program.device->name(),
                           write ? "writes" : "reads", value, address.value, program.process->name, there);
  }

 private:
  Platform& platform_;
  std::string wrong_;
  std::map<std::pair<std::string, const Step*>, std::string> results_;
};

// The frames of their tables are nobody's, to an audit of the memory manager.
void give_up_devices(Platform& platform) {
  platform.arbiter.start(platform.task("setup"), [&platform] {
    for (const auto& device : platform.devices)
      for (const auto& mm : platform.mms->spaces()) device->detach(*mm);
  });
  platform.arbiter.run({});
}

// Of everything that was wrong the most telling.
Trial verdict_of(const RunVerdict& verdict, const std::string& wrong_value, Platform& platform) {
  for (const Violation& violation : verdict.violations)
    return {violation.rule, fmt::format("the rule {} is violated: {}", violation.rule, violation.summary)};
  if (!wrong_value.empty()) return {"value", wrong_value};
  if (!verdict.limit.empty()) return {"end", fmt::format("it did not end within {}", verdict.limit)};
  if (!verdict.missing.empty()) return {};  // what came before was sound, and whoever was in an operation still is
  give_up_devices(platform);
  const std::string contradictions = audit(*platform.mms);
  if (!contradictions.empty()) return {"audit", contradictions};
  return {};
}

}  // namespace

Scenario scenario_of(const Recording& program, std::uint64_t seed, const TrialOptions& options) {
  Scenario scenario =
      options.form == PlayForm::in_order ? translate(program, options.kernel) : crowd(program, seed, options.kernel);
  scenario.seed = seed;
  for (DeviceSpec& device : scenario.devices)
    if (device.name != kRecorder) device.without = options.without;
  return scenario;
}

Trial try_program(Platform& platform, const Recording& program, const Scenario& scenario, const TrialOptions& options,
                  Told* told) {
  Episode episode(platform, scenario);
  EpisodeOptions play;
  play.steps = kMostSteps;
  if (options.form == PlayForm::crowded) {
    Onlooker onlooker(platform);
    play.programs = &onlooker;
    const EpisodeResult result = episode.play(options.kernel, scenario.seed, play);
    if (told != nullptr) {
      told->scenario = scenario;
      for (std::size_t i = 0; i < scenario.actors.size(); ++i)
        for (std::size_t j = 0; j < scenario.actors[i].program.size(); ++j) {
          const auto ended = onlooker.results().find({scenario.actors[i].name, &scenario.actors[i].program[j]});
          Step& step = told->scenario.actors[i].program[j];
          if (step.verb == "read" || step.verb == "write")
            step.result = "ok-or-fault";
          else if (ended != onlooker.results().end() && ended->second != "ok")
            step.result = ended->second;
        }
    }
    return verdict_of(result.verdict, onlooker.wrong(), platform);
  }
  Recorder recorder(platform, scenario.watch.empty() ? "" : scenario.watch.front(), kRecorder,
                    [](const ActorProgram&, const Step& step) { return block_of(step); });
  Judge judge(program, recorder);
  play.programs = &judge;
  play.listen = [&recorder](Bus& bus) { recorder.listen(bus); };
  const EpisodeResult result = episode.play(options.kernel, scenario.seed, play);
  if (result.verdict.missing.empty() && result.verdict.limit.empty()) judge.finish();
  if (told != nullptr) {
    told->lines = judge.expected(recorder.finish());
    told->scenario = scenario;
  }
  return verdict_of(result.verdict, judge.wrong(), platform);
}

}  // namespace secmmu::conform
