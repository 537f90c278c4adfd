// The block devices.
#include <algorithm>

#include "sim/scenario/reading.hpp"

namespace secmmu::language {
namespace {

void read_attach(const Place& place, DeviceSpec& device, Reading& reading) {
  for (const Place& item : place.one_or_more("processes")) {
    const std::optional<std::string> name = item.any_text();
    if (!name) continue;
    if (std::find(device.attach.begin(), device.attach.end(), *name) != device.attach.end())
      item.fail("'" + *name + "' is there twice", "each process once");
    device.attach.push_back(*name);
    reading.later([item](const Symbols& symbols) {
      const ProcessSpec* process = symbols.process(item.text());
      if (!symbols.check_process(item) || process->forked_from.empty()) return;
      item.fail("the process '" + item.text() + "' is not there before its fork",
                "a process of the block processes, or a step with register");
    });
  }
}

void read_without(const Place& place, const DeviceKind& kind, DeviceSpec& device) {
  for (const Place& item : place.one_or_more("rules of the protocol"))
    if (const auto rule = item.choice(names_in(kind.protocol), "rule of the protocol of " + kind.name)) {
      if (std::find(device.without.begin(), device.without.end(), *rule) != device.without.end())
        item.fail("'" + *rule + "' is there twice", "each rule once");
      device.without.push_back(*rule);
    }
}

void read_callbacks(const Place& place, const DeviceKind& kind, DeviceSpec& device, Reading& reading) {
  const std::vector<std::string> names = names_in(kind.callbacks);
  if (!place.mapping("callbacks: " + one_of(names))) return;
  for (const Place::Entry& entry : place.entries()) {
    if (std::find(names.begin(), names.end(), entry.key.text()) == names.end())
      entry.key.fail_name("no callback", names);
    StepScope scope;
    scope.user = User::probe;
    scope.party = "devices." + device.name + ".callbacks." + entry.key.text();
    scope.processes = device.attach;
    device.scripts.push_back({entry.key.text(), read_steps(entry.value, scope, reading), entry.key.mark()});
  }
}

// Without a kind nobody can tell which keys are right: all pass, the kind alone is reported.
std::vector<std::string> keys_of(const Node& mapping) {
  std::vector<std::string> names;
  for (const Node& key : mapping.keys) names.push_back(key.text);
  return names;
}

void read_device(const Place::Entry& entry, Reading& reading) {
  DeviceSpec device;
  device.name = entry.key.text();
  device.mark = entry.key.mark();
  entry.key.name();

  const std::vector<std::string> kinds = names_in(reading.catalogue.devices);
  const DeviceKind* kind = nullptr;
  if (const Node* word = entry.value.node().find("kind"); word != nullptr && word->is(Node::Kind::scalar))
    for (const DeviceKind& candidate : reading.catalogue.devices)
      if (candidate.name == word->text) kind = &candidate;

  std::vector<std::string> rows;
  if (kind != nullptr && kind->rows != nullptr) rows = names_in(kind->rows->rows);
  if (kind == nullptr) rows = keys_of(entry.value.node());
  Keys keys = device_keys();
  if (kind != nullptr && kind->callbacks.empty())
    std::erase_if(keys, [](const Key& key) { return key.name == "callbacks"; });
  if (kind != nullptr && kind->protocol.empty())
    std::erase_if(keys, [](const Key& key) { return key.name == "without"; });

  const Fields fields(entry.value, keys, kind != nullptr ? "a device of the kind " + kind->name : "a device", rows);
  if (const auto place = fields.find("kind")) device.kind = place->choice(kinds, "kind of device").value_or("");
  if (const auto place = fields.find("attach")) read_attach(*place, device, reading);
  if (kind != nullptr) {
    if (const auto place = fields.find("without")) read_without(*place, *kind, device);
    if (const auto place = fields.find("callbacks")) read_callbacks(*place, *kind, device, reading);
    if (kind->rows != nullptr)
      for (const Parameter& row : kind->rows->rows)
        if (const auto place = fields.find(row.name))
          read_setting(*place, row, "devices." + device.name + "." + row.name, device.settings);
  }
  reading.scenario.devices.push_back(std::move(device));
}

}  // namespace

void read_devices(const Place& place, Reading& reading) {
  if (!place.mapping("devices by name")) return;
  for (const Place::Entry& entry : place.entries()) read_device(entry, reading);
}

}  // namespace secmmu::language
