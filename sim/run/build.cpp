#include "sim/run/build.hpp"

#include <algorithm>
#include <stdexcept>

#include "sim/oracle/oracle.hpp"

namespace secmmu {
namespace {

void apply(const ParameterRows& rows, void* config, const std::string& group, const std::vector<Setting>& settings) {
  for (const Setting& setting : settings) {
    if (setting.path.size() <= group.size() + 1 || setting.path.compare(0, group.size(), group) != 0 ||
        setting.path[group.size()] != '.')
      continue;
    if (const Parameter* row = rows.find(setting.path.substr(group.size() + 1))) row->set(config, setting.value);
  }
}

bool has_user_threads(const Scenario& scenario, const std::string& device) {
  return std::any_of(scenario.devices.begin(), scenario.devices.end(),
                     [&](const DeviceSpec& spec) { return spec.name == device && spec.kind == "gru"; });
}

}  // namespace

std::string engine_task(const ActorSpec& actor) {
  return actor.device + "/" + std::to_string(actor.context);
}
std::string mirror_task(const ActorSpec& actor) { return actor.name + "/mirror"; }
std::string mirror_engine_task(const ActorSpec& actor) { return actor.mirror + "/mirror"; }

PlatformConfig platform_config(const Scenario& scenario) {
  PlatformConfig config;
  apply(machine_table(), &config.machine, "machine", scenario.machine);
  apply(memory_table(), &config.memory, "machine.memory", scenario.machine);
  apply(mm_table(), &config.mm, "machine.mm", scenario.machine);
  apply(fault_table(), &config.faults, "machine.fault", scenario.machine);
  apply(tlb_table(), &config.tlb, "machine.tlb", scenario.machine);
  apply(machine_cost_rows(), &config.costs, "machine.cost", scenario.machine);
  for (const DeviceSpec& device : scenario.devices) {
    DeviceRequest request;
    request.name = device.name;
    for (const Setting& setting : device.settings)
      request.settings[setting.path.substr(setting.path.rfind('.') + 1)] = setting.value;
    config.devices.emplace_back(device.kind, std::move(request));
  }
  config.tasks.push_back({"setup", 0, TaskKind::actor});
  const int cores = static_cast<int>(config.machine.cpus);
  for (const ActorSpec& actor : scenario.actors) {
    const int core = static_cast<int>(actor.cpu.value_or(0));
    if (!actor.device.empty() && !has_user_threads(scenario, actor.device)) {
      config.tasks.push_back({actor.name, -1, TaskKind::actor});
      continue;
    }
    config.tasks.push_back({actor.name, core, TaskKind::actor});
    if (!actor.device.empty()) config.tasks.push_back({engine_task(actor), -1, TaskKind::service});
    if (!actor.mirror.empty()) {
      config.tasks.push_back({mirror_task(actor), (core + 1) % cores, TaskKind::actor});
      config.tasks.push_back({mirror_engine_task(actor), -1, TaskKind::service});
    }
  }
  return config;
}

RunDescription describe_run(const Scenario& scenario, const Platform& platform, const std::string& kernel,
                            std::uint64_t seed) {
  RunDescription run;
  run.scenario = scenario.name;
  run.kernel = kernel;
  run.seed = seed;
  run.cores = static_cast<unsigned>(platform.cores.size());
  run.frames = platform.memory.frames();
  for (const auto& task : platform.arbiter.tasks())
    run.tasks.push_back({task->name(), task->processor_number(), task->kind() == TaskKind::actor});
  for (const auto& device : platform.devices) {
    RunDescription::DeviceInfo info;
    info.name = device->name();
    for (const DeviceSpec& spec : scenario.devices)
      if (spec.name == device->name()) info.kind = spec.kind;
    // Only the contexts that somebody uses: a waveform of sixteen idle lines helps nobody.
    info.contexts = 1;
    for (const ActorSpec& actor : scenario.actors)
      if (actor.device == device->name())
        info.contexts = std::max(info.contexts, static_cast<unsigned>(actor.context) + 1);
    run.devices.push_back(std::move(info));
  }
  for (const ProcessSpec& process : scenario.processes) run.processes.push_back(process.name);
  run.watched = scenario.watch;
  for (const RuleInfo& rule : oracle_rules()) run.rules.emplace_back(rule.name);
  return run;
}

}  // namespace secmmu
