#include "sim/scenario/resolved.hpp"

#include <algorithm>

#include "sim/scenario/document.hpp"
#include "sim/scenario/values.hpp"
#include "sim/scenario/write_steps.hpp"

namespace secmmu {
namespace language {
namespace {

const Setting* find_setting(const std::vector<Setting>& settings, const std::string& path) {
  const auto found =
      std::find_if(settings.begin(), settings.end(), [&](const Setting& setting) { return setting.path == path; });
  return found == settings.end() ? nullptr : &*found;
}

void complete(const ParameterRows* rows, const std::string& path, const std::vector<Setting>& given,
              std::vector<Setting>& all) {
  if (rows == nullptr) return;
  for (const Parameter& row : rows->rows) {
    const Setting* setting = find_setting(given, path + "." + row.name);
    all.push_back(setting != nullptr ? *setting : Setting{path + "." + row.name, row.fallback, {}});
  }
}

void for_kernel(std::vector<Step>& steps, const std::string& kernel) {
  for (Step& step : steps) {
    if (const auto own = step.result_by_kernel.find(kernel); own != step.result_by_kernel.end())
      step.result = own->second;
    if (const auto own = step.want_by_kernel.find(kernel); own != step.want_by_kernel.end()) step.want = own->second;
    step.result_by_kernel.clear();
    step.want_by_kernel.clear();
    for_kernel(step.body, kernel);
  }
}

Node number(std::uint64_t value) { return Node::scalar(std::to_string(value)); }

Node word_node(const std::string& text) { return Node::scalar(text, yaml11_reads_otherwise(text)); }

Node words_node(const std::vector<std::string>& words) {
  Node list = Node::sequence();
  for (const std::string& word : words) list.add(word_node(word));
  return list;
}

Node value_node(const ParameterValue& value, bool size) {
  if (const auto* count = std::get_if<std::uint64_t>(&value))
    return size ? Node::scalar(print_size(*count)) : number(*count);
  if (const auto* time = std::get_if<Time>(&value)) return Node::scalar(print_duration(*time));
  if (const auto* flag = std::get_if<bool>(&value)) return Node::flag(*flag);
  return word_node(std::get<std::string>(value));
}

void add_rows(Node& to, const ParameterRows* rows, const std::string& path, const std::vector<Setting>& settings) {
  if (rows == nullptr) return;
  for (const Parameter& row : rows->rows)
    if (const Setting* setting = find_setting(settings, path + "." + row.name))
      to.add(row.name, value_node(setting->value, row.type == ParameterType::size));
}

void add_if_any(Node& to, const std::string& key, Node value) {
  if (!value.items.empty()) to.add(key, std::move(value));
}

Node machine_node(const Scenario& scenario, const Catalogue& known) {
  Node machine = Node::mapping();
  for (const ParameterGroup& group : known.groups)
    if (group.path == "machine") add_rows(machine, group.rows, group.path, scenario.machine);
  for (const ParameterGroup& group : known.groups) {
    if (group.path == "machine") continue;
    Node rows = Node::mapping();
    add_rows(rows, group.rows, group.path, scenario.machine);
    add_if_any(machine, group.path.substr(group.path.find('.') + 1), std::move(rows));
  }
  return machine;
}

Node behaviour_node(const Scenario& scenario, const Catalogue& known) {
  Node node = Node::mapping();
  for (const Behaviour& behaviour : known.behaviours)
    if (const Setting* setting = find_setting(scenario.machine, "kernel." + behaviour.name))
      node.add(behaviour.name, value_node(setting->value, false));
  return node;
}

Node processes_node(const Scenario& scenario) {
  Node processes = Node::mapping();
  for (const ProcessSpec& process : scenario.processes) {
    if (!process.forked_from.empty()) continue;
    Node buffers = Node::mapping();
    for (const BufferSpec& buffer : process.buffers) {
      Node& node = buffers.add(buffer.name, Node::mapping());
      if (buffer.at) node.add("at", Node::scalar(print_address(*buffer.at)));
      node.add("pages", number(buffer.pages));
      node.add("prot", Node::scalar(protection_words()[static_cast<std::size_t>(buffer.protection)]));
      node.add("backing", Node::scalar(backing_words()[static_cast<std::size_t>(buffer.backing)]));
      node.add("populate", Node::flag(buffer.populate));
    }
    processes.add(process.name, Node::mapping()).add("buffers", std::move(buffers));
  }
  return processes;
}

Node devices_node(const Scenario& scenario, const Catalogue& known) {
  Node devices = Node::mapping();
  for (const DeviceSpec& device : scenario.devices) {
    Node& node = devices.add(device.name, Node::mapping());
    node.add("kind", Node::scalar(device.kind));
    node.add("attach", words_node(device.attach));
    add_if_any(node, "without", words_node(device.without));
    for (const DeviceKind& kind : known.devices)
      if (kind.name == device.kind) add_rows(node, kind.rows, "devices." + device.name, device.settings);
    Node scripts = Node::mapping();
    for (const CallbackScript& script : device.scripts)
      scripts.add(script.callback, steps_node(script.steps, User::probe));
    add_if_any(node, "callbacks", std::move(scripts));
  }
  return devices;
}

bool has_contexts(const Scenario& scenario, const std::string& device, const Catalogue& known) {
  for (const DeviceSpec& spec : scenario.devices)
    for (const DeviceKind& kind : known.devices)
      if (spec.name == device && kind.name == spec.kind)
        return kind.rows != nullptr && kind.rows->find("contexts") != nullptr;
  return false;
}

Node actors_node(const Scenario& scenario, const Catalogue& known) {
  Node actors = Node::mapping();
  for (const ActorSpec& actor : scenario.actors) {
    Node& node = actors.add(actor.name, Node::mapping());
    if (!actor.device.empty()) node.add("device", Node::scalar(actor.device));
    if (!actor.process.empty()) node.add("process", Node::scalar(actor.process));
    if (actor.cpu) node.add("cpu", number(*actor.cpu));
    if (has_contexts(scenario, actor.device, known)) node.add("context", number(actor.context));
    if (actor.worker) node.add("worker", Node::scalar("true"));
    node.add("start", Node::scalar(print_duration(actor.start)));
    if (!actor.mirror.empty()) node.add("mirror", Node::scalar(actor.mirror));
    if (!actor.lackey_as_written.empty())
      node.add("program", Node::mapping()).add("lackey", Node::scalar(actor.lackey_as_written, true));
    else
      node.add("do", steps_node(actor.program, actor.device.empty() ? User::cpu : User::device));
  }
  return actors;
}

Node checks_node(const std::vector<CounterCheck>& checks) {
  Node list = Node::sequence();
  for (const CounterCheck& check : checks) list.add(Node::scalar(check.text, true));
  return list;
}

Node pattern_node(const EventPattern& pattern) {
  Node node = Node::mapping();
  node.add("event", Node::scalar(pattern.event));
  if (!pattern.by.empty()) node.add("by", Node::scalar(pattern.by));
  for (const auto& [field, value] : pattern.fields) node.add(field, word_node(value));
  return node;
}

Node expect_node(const Expectations& expect) {
  Node node = Node::mapping();
  if (expect.absent) node.add("absent", Node::flag(true));
  node.add("violated", words_node(expect.violated));
  add_if_any(node, "counters", checks_node(expect.counters));
  add_if_any(node, "sometimes", checks_node(expect.sometimes));
  Node order = Node::sequence();
  for (const OrderCheck& check : expect.order) {
    Node& pair = order.add(Node::mapping());
    pair.add("first", pattern_node(check.first));
    pair.add("then", pattern_node(check.then));
  }
  add_if_any(node, "order", std::move(order));
  Node values = Node::sequence();
  for (const ValueCheck& check : expect.values) {
    Node& value = values.add(Node::mapping());
    value.add("process", Node::scalar(check.process));
    value.add("buffer", Node::scalar(check.buffer));
    value.add("page", number(check.page));
    value.add("offset", number(check.offset));
    value.add("value", check.value ? number(*check.value) : Node::scalar("absent"));
  }
  add_if_any(node, "values", std::move(values));
  return node;
}

}  // namespace
}  // namespace language

Scenario resolve(const Scenario& scenario, const std::string& kernel, std::uint64_t seed, const Catalogue& known) {
  using namespace language;
  Scenario resolved = scenario;
  resolved.kernels = {kernel};
  resolved.seed = seed;
  resolved.seeds = 1;
  resolved.machine.clear();
  // The order of the parser: the groups as they stand in a file, then the behaviours.
  for (const ParameterGroup& group : known.groups)
    if (group.path == "machine") complete(group.rows, group.path, scenario.machine, resolved.machine);
  for (const ParameterGroup& group : known.groups)
    if (group.path != "machine") complete(group.rows, group.path, scenario.machine, resolved.machine);
  for (const Behaviour& behaviour : known.behaviours) {
    const std::string path = "kernel." + behaviour.name;
    if (const Setting* given = find_setting(scenario.machine, path))
      resolved.machine.push_back(*given);
    else if (known.behaviour_of)
      resolved.machine.push_back({path, known.behaviour_of(kernel, behaviour.name), {}});
  }
  for (DeviceSpec& device : resolved.devices) {
    const std::vector<Setting> given = std::move(device.settings);
    device.settings.clear();
    for (const DeviceKind& kind : known.devices)
      if (kind.name == device.kind) complete(kind.rows, "devices." + device.name, given, device.settings);
    for (CallbackScript& script : device.scripts) for_kernel(script.steps, kernel);
  }
  for (ActorSpec& actor : resolved.actors) for_kernel(actor.program, kernel);
  resolved.expect = expectations_for(scenario, kernel);
  resolved.expect_by_kernel.clear();
  return resolved;
}

std::string scenario_yaml(const Scenario& scenario, const Catalogue& known) {
  using namespace language;
  Node root = Node::mapping();
  root.add("scenario", number(1));
  root.add("name", word_node(scenario.name));
  if (!scenario.about.empty()) root.add("about", Node::scalar(scenario.about, true));
  if (scenario.kernels.size() == 1)
    root.add("kernel", word_node(scenario.kernels[0]));
  else
    root.add("kernels", words_node(scenario.kernels));
  root.add("seed", number(scenario.seed));
  root.add("seeds", number(scenario.seeds));
  root.add("limit", Node::scalar(print_duration(scenario.limit)));
  root.add("strict", Node::flag(scenario.strict));
  add_if_any(root, "machine", machine_node(scenario, known));
  add_if_any(root, "behaviour", behaviour_node(scenario, known));
  add_if_any(root, "processes", processes_node(scenario));
  add_if_any(root, "devices", devices_node(scenario, known));
  root.add("actors", actors_node(scenario, known));
  add_if_any(root, "watch", words_node(scenario.watch));
  Node& expect = root.add("expect", expect_node(scenario.expect));
  if (scenario.expect_kept) expect.add("kept", expect_node(*scenario.expect_kept));
  Node per_kernel = Node::mapping();
  for (const auto& [kernel, own] : scenario.expect_by_kernel) per_kernel.add(kernel, expect_node(own));
  add_if_any(expect, "per_kernel", std::move(per_kernel));
  return to_yaml(root);
}

std::string resolved_yaml(const Scenario& scenario, const std::string& kernel, std::uint64_t seed,
                          const Catalogue& known) {
  return "# Every value of this run, defaults too. The keys joined by dots are the paths of --set.\n" +
         scenario_yaml(resolve(scenario, kernel, seed, known), known);
}

}  // namespace secmmu
