#include <algorithm>

#include "sim/scenario/reading.hpp"

namespace secmmu::language {
namespace {

template <class Named>
const Named* find_named(const std::vector<Named>& things, std::string_view name) {
  const auto found = std::find_if(things.begin(), things.end(), [&](const Named& thing) { return thing.name == name; });
  return found == things.end() ? nullptr : &*found;
}

void make(BufferSizes& buffers, const std::string& name, std::uint64_t pages) {
  BufferSize& size = buffers[name];
  if (size.first == 0) size.first = pages;
  size.most = std::max(size.most, pages);
}

// Buffers that steps bring in.
void collect(const std::vector<Step>& steps, BufferSizes& buffers) {
  for (const Step& step : steps) {
    if (step.verb == "mmap") make(buffers, step.buffer, step.pages);
    if (step.verb == "brk") make(buffers, "heap", step.pages);
    if (step.verb == "mremap") {
      const auto from = buffers.find(step.buffer);
      const std::uint64_t whole = from == buffers.end() ? 0 : from->second.first;
      if (step.pages > 0)
        make(buffers, step.buffer, step.pages);
      else if (!step.name.empty())
        make(buffers, step.name, step.end_page > 0 ? step.end_page - step.first_page : whole);
    }
    collect(step.body, buffers);
  }
}

std::optional<std::uint64_t> count_of(const std::vector<Setting>& settings, const std::string& path,
                                      const Parameter* row) {
  for (const Setting& setting : settings) {
    if (setting.path != path) continue;
    const auto* value = std::get_if<std::uint64_t>(&setting.value);
    return value != nullptr ? std::optional(*value) : std::nullopt;  // none: a mistake
  }
  if (row == nullptr) return std::nullopt;
  const auto* fallback = std::get_if<std::uint64_t>(&row->fallback);
  return fallback != nullptr ? std::optional(*fallback) : std::nullopt;
}

}  // namespace

Symbols::Symbols(const Reading& reading)
    : scenario(reading.scenario), catalogue(reading.catalogue), steps(reading.step_ids) {
  for (const ProcessSpec& spec : scenario.processes)
    for (const BufferSpec& buffer : spec.buffers) make(buffers[spec.name], buffer.name, buffer.pages);
  // A child has what its parent has, and parents may be children; a moved buffer may be moved on.
  for (std::size_t round = 0; round < 1 + reading.children.size() && round < 64; ++round) {
    for (const ActorSpec& actor : scenario.actors)
      if (!actor.process.empty()) collect(actor.program, buffers[actor.process]);
    for (const ProcessSpec& spec : scenario.processes)
      if (!spec.forked_from.empty())
        for (const auto& [name, size] : buffers[spec.forked_from]) {
          make(buffers[spec.name], name, size.first);
          make(buffers[spec.name], name, size.most);
        }
  }
  for (const ParameterGroup& group : catalogue.groups)
    if (group.path == "machine" && group.rows != nullptr)
      if (const Parameter* row = group.rows->find("cpus")) cpus = count_of(scenario.machine, "machine.cpus", row);
}

const ProcessSpec* Symbols::process(std::string_view name) const { return find_named(scenario.processes, name); }
const DeviceSpec* Symbols::device(std::string_view name) const { return find_named(scenario.devices, name); }
const DeviceKind* Symbols::kind(const DeviceSpec& device) const { return find_named(catalogue.devices, device.kind); }

const Parameter* Symbols::contexts_row(const DeviceSpec& device) const {
  const DeviceKind* known = kind(device);
  return known != nullptr && known->rows != nullptr ? known->rows->find("contexts") : nullptr;
}

std::optional<std::uint64_t> Symbols::contexts(const DeviceSpec& device) const {
  const Parameter* row = contexts_row(device);
  if (row == nullptr) return std::nullopt;
  return count_of(device.settings, "devices." + device.name + ".contexts", row);
}

bool Symbols::check_process(const Place& place) const {
  if (process(place.text()) != nullptr) return true;
  place.fail_name("no process", names_in(scenario.processes));
  return false;
}

bool Symbols::check_device(const Place& place) const {
  if (device(place.text()) != nullptr) return true;
  place.fail_name("no device", names_in(scenario.devices));
  return false;
}

const BufferSize* Symbols::check_buffer(const Place& place, const std::vector<std::string>& processes) const {
  std::vector<std::string> names;
  for (const std::string& name : processes) {
    if (process(name) == nullptr) return nullptr;  // reported there
    const auto owned = buffers.find(name);
    if (owned == buffers.end()) continue;
    if (const auto found = owned->second.find(place.text()); found != owned->second.end()) return &found->second;
    for (const auto& [buffer, size] : owned->second) names.push_back(buffer);
  }
  if (!processes.empty()) place.fail_name("no buffer of " + one_of(processes), names);
  return nullptr;
}

void Symbols::check_pages(const Place& place, const std::string& buffer, Pages pages,
                          const std::vector<std::string>& processes) const {
  BufferSize size;
  for (const std::string& name : processes)
    if (const auto owned = buffers.find(name); owned != buffers.end())
      if (const auto found = owned->second.find(buffer); found != owned->second.end()) size = found->second;
  if (size.first == 0 || pages.end <= size.most) return;
  place.fail("'" + place.text() + "' reaches beyond the end of " + buffer,
             size.most == 1 ? "0, its only page" : "pages within 0.." + std::to_string(size.most));
}

}  // namespace secmmu::language
