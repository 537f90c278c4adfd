// The blocks machine, behaviour and processes.
#include <algorithm>

#include "sim/scenario/reading.hpp"

namespace secmmu::language {
namespace {

constexpr std::uint64_t kMostPages = 1ULL << 35;

// "tlb" of the group machine.tlb; empty for the group machine itself.
std::string word_of(const ParameterGroup& group) {
  const std::size_t dot = group.path.find('.');
  return dot == std::string::npos ? "" : group.path.substr(dot + 1);
}

void read_rows(const std::vector<Place::Entry>& entries, const ParameterGroup& group, const std::string& what,
               const std::vector<std::string>& known, std::vector<Setting>& into) {
  for (const Place::Entry& entry : entries) {
    if (group.rows != nullptr)
      if (const Parameter* row = group.rows->find(entry.key.text())) {
        read_setting(entry.value, *row, group.path + "." + row->name, into);
        continue;
      }
    entry.key.fail_name("no key of " + what, known);
  }
}

BufferSpec read_buffer(const Place& place, const std::string& name) {
  BufferSpec buffer;
  buffer.name = name;
  buffer.mark = place.mark();
  buffer.pages = 0;
  const Fields fields(place, buffer_keys(), "a buffer");
  if (const auto at = fields.find("at")) buffer.at = at->page_address();
  if (const auto pages = fields.find("pages")) buffer.pages = pages->number(1, kMostPages).value_or(0);
  if (const auto prot = fields.find("prot"))
    buffer.protection = static_cast<Protection>(prot->choice_index(protection_words(), "protection").value_or(2));
  if (const auto backing = fields.find("backing"))
    buffer.backing = static_cast<Backing>(backing->choice_index(backing_words(), "backing").value_or(0));
  if (const auto populate = fields.find("populate")) buffer.populate = populate->flag().value_or(false);
  return buffer;
}

}  // namespace

void read_setting(const Place& place, const Parameter& row, const std::string& path, std::vector<Setting>& into) {
  std::optional<ParameterValue> value;
  switch (row.type) {
    case ParameterType::integer:
      value = place.number(row.low, row.high);
      break;
    case ParameterType::size:
      value = place.size(row.low, row.high);
      break;
    case ParameterType::duration:
      value = place.duration();
      break;
    case ParameterType::flag:
      value = place.flag();
      break;
    case ParameterType::choice:
      value = place.choice(row.choices, "value of " + row.name);
      break;
  }
  // A mistake leaves an empty word, so that later checks know that the default does not hold either.
  into.push_back({path, value.value_or(std::string()), place.mark()});
}

void read_machine(const Place& place, Reading& reading) {
  const std::vector<ParameterGroup>& groups = reading.catalogue.groups;
  std::vector<std::string> known;
  const ParameterGroup none;
  const ParameterGroup* own = &none;
  for (const ParameterGroup& group : groups) {
    if (!word_of(group).empty()) {
      known.push_back(word_of(group));
      continue;
    }
    own = &group;
    if (group.rows != nullptr)
      for (const Parameter& row : group.rows->rows) known.push_back(row.name);
  }
  if (!place.mapping("keys of the machine: " + one_of(known))) return;
  for (const Place::Entry& entry : place.entries()) {
    const auto group = std::find_if(groups.begin(), groups.end(), [&](const ParameterGroup& candidate) {
      return !word_of(candidate).empty() && word_of(candidate) == entry.key.text();
    });
    if (group == groups.end()) {
      read_rows({entry}, *own, "the machine", known, reading.scenario.machine);
      continue;
    }
    const std::vector<std::string> rows =
        group->rows != nullptr ? names_in(group->rows->rows) : std::vector<std::string>{};
    if (entry.value.mapping("keys of " + group->path + ": " + one_of(rows)))
      read_rows(entry.value.entries(), *group, group->path, rows, reading.scenario.machine);
  }
}

void read_behaviour(const Place& place, Reading& reading) {
  const std::vector<std::string> names = names_in(reading.catalogue.behaviours);
  if (!place.mapping("behaviours of the kernel: " + one_of(names))) return;
  for (const Place::Entry& entry : place.entries()) {
    const auto found = std::find(names.begin(), names.end(), entry.key.text());
    if (found == names.end()) {
      entry.key.fail_name("no behaviour of the kernel", names);
      continue;
    }
    const Behaviour& behaviour = reading.catalogue.behaviours[static_cast<std::size_t>(found - names.begin())];
    const std::optional<std::string> value = behaviour.values.empty()
                                                 ? entry.value.any_text()
                                                 : entry.value.choice(behaviour.values, "value of " + behaviour.name);
    if (value) reading.scenario.machine.push_back({"kernel." + behaviour.name, *value, entry.value.mark()});
  }
}

void read_processes(const Place& place, Reading& reading) {
  if (!place.mapping("processes by name")) return;
  for (const Place::Entry& entry : place.entries()) {
    ProcessSpec process;
    process.mark = entry.key.mark();
    process.name = entry.key.text();
    entry.key.name();
    const Fields fields(entry.value, process_keys(), "a process");
    if (const auto buffers = fields.find("buffers"); buffers && buffers->mapping("buffers by name"))
      for (const Place::Entry& buffer : buffers->entries()) {
        buffer.key.name();
        process.buffers.push_back(read_buffer(buffer.value, buffer.key.text()));
      }
    reading.scenario.processes.push_back(std::move(process));
  }
}

}  // namespace secmmu::language
