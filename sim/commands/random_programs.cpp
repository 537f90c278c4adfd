#include "sim/commands/random_programs.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "models/devices/registry.hpp"
#include "sim/commands/usage.hpp"
#include "sim/conform/devices.hpp"
#include "sim/conform/random/hunt.hpp"
#include "sim/output/file_set.hpp"
#include "sim/run/worker.hpp"
#include "sim/scenario/diagnostic.hpp"
#include "sim/scenario/resolved.hpp"

namespace secmmu {
namespace {

using namespace conform;

constexpr std::uint64_t kMost = 1'000'000;

bool has_rule(const std::string& device, const std::string& rule) {
  const std::vector<ProtocolRule>& protocol = find_device_kind(find_recorded_device(device)->kind)->protocol;
  return std::any_of(protocol.begin(), protocol.end(), [&](const ProtocolRule& one) { return one.name == rule; });
}

std::vector<std::string> rules_of(const std::vector<std::string>& devices) {
  std::vector<std::string> rules;
  for (const std::string& device : devices)
    for (const ProtocolRule& rule : find_device_kind(find_recorded_device(device)->kind)->protocol)
      if (std::find(rules.begin(), rules.end(), rule.name) == rules.end()) rules.push_back(rule.name);
  return rules;
}

// Those that were asked for and have every rule that is to be switched off.
std::vector<std::string> devices_of(const RandomRequest& request) {
  const std::vector<std::string> known = random_devices(request.kernel);
  for (const std::string& device : request.devices)
    if (std::find(known.begin(), known.end(), device) == known.end())
      throw WrongUsage("--device: " + unknown_name("device", device, known));
  std::vector<std::string> devices = request.devices.empty() ? known : request.devices;
  const std::vector<std::string> rules = rules_of(devices);
  for (const std::string& rule : request.without) {
    std::erase_if(devices, [&](const std::string& device) { return !has_rule(device, rule); });
    if (devices.empty()) throw WrongUsage("--without: " + unknown_name("rule", rule, rules));
  }
  return devices;
}

std::string_view name_of(PlayForm form) { return form == PlayForm::in_order ? "in order" : "crowded"; }

void tell(const Found& found, const std::optional<std::string>& folder) {
  fmt::print("program {}, {}, {}: {}\n", found.seed, found.device, name_of(found.form), found.trial.what);
  fmt::print("{} of its {} operations are enough:\n\n", found.program.blocks.size(), found.operations);
  const bool crowded = found.form == PlayForm::crowded;
  const std::string text = crowded ? scenario_yaml(found.scenario) : to_text(found.program);
  fmt::print("{}", text);
  if (!folder) return;
  const FileSet files(*folder);
  const std::string name = found.scenario.name + (crowded ? ".yaml" : ".txt");
  files.write(name, text);
  fmt::print("\nwritten to {}\n", (files.directory() / name).string());
}

}  // namespace

void check_protocol_rules(const std::vector<std::string>& rules) {
  std::vector<std::string> devices;
  for (const DeviceSpec& device : recorded_devices()) devices.push_back(device.name);
  const std::vector<std::string> known = rules_of(devices);
  for (const std::string& rule : rules)
    if (std::find(known.begin(), known.end(), rule) == known.end())
      throw WrongUsage("--without: " + unknown_name("rule", rule, known));
}

int play_random_programs(const RandomRequest& request) {
  HuntOptions options;
  options.programs = number_option("--random", request.programs, 1, kMost);
  if (request.seed) options.first_seed = number_option("--seed", *request.seed, 0, UINT64_MAX - kMost);
  options.kernel = request.kernel;
  options.devices = devices_of(request);
  options.without = request.without;
  if (request.write && request.write->empty()) throw WrongUsage("--write: '' is no folder");

  const std::optional<Found> found = hunt(options);
  if (found) {
    try {
      tell(*found, request.write);
    } catch (const OutputError& error) {
      fmt::print(stderr, "secmmu conform: error: {}\n", error.what());
      return static_cast<int>(ExitCode::input);
    }
    return static_cast<int>(found->trial.kind == "fault" ? ExitCode::fault : ExitCode::failed);
  }
  fmt::print("{} programs, from seed {} on, with {}, in order and crowded: nothing is wrong\n", options.programs,
             options.first_seed, language::one_of(options.devices));
  return static_cast<int>(ExitCode::held);
}

}  // namespace secmmu
