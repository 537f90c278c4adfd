// One run of a scenario: one kernel, one seed, on a platform that is reset for it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "models/platform.hpp"
#include "sim/output/sink.hpp"
#include "sim/output/verdict.hpp"
#include "sim/run/program.hpp"
#include "sim/run/world.hpp"
#include "sim/scenario/scenario.hpp"

namespace secmmu {

struct EpisodeOptions {
  bool kept = false;      // with every rule of the devices' protocols kept, judged by `expect.kept`
  std::string directory;  // where the outputs go; empty: none
  SinkOptions sinks;
  bool progress = false;
  std::uint64_t steps = UINT64_MAX;  // scheduling points until the run is cut, those before time 0 included
  std::function<void(Bus&)> listen;  // one more listener, after the sinks
  ProgramListener* programs = nullptr;       // hears what the programs do
};

struct EpisodeResult {
  RunVerdict verdict;
  std::vector<bool> sometimes;  // which of the kernel's `sometimes` held in this run
  std::string input_error;      // a workload file was malformed: nothing else is meaningful
};

class Episode {
 public:
  // Once per platform; `scenario` and `platform` outlive it.
  Episode(Platform& platform, const Scenario& scenario);
  ~Episode();

  // Called from the director. Resets the platform first.
  EpisodeResult play(const std::string& kernel, std::uint64_t seed, const EpisodeOptions& options);

 private:
  void set_up(World& world);
  void start_actors(World& world, const std::string& process);
  void skip_actors(World& world, const std::string& process);
  void skip_steps(World& world, const ActorSpec& actor, const std::vector<Step>& steps);
  void start_actor(World& world, const ActorSpec& actor, Process* process);

  Platform& platform_;
  const Scenario& scenario_;
  std::vector<std::unique_ptr<ActorProgram>> programs_;
  ScriptLocks locks_;
};

}  // namespace secmmu
