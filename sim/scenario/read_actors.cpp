// The block actors.
#include <algorithm>
#include <filesystem>

#include "sim/scenario/reading.hpp"

namespace secmmu::language {
namespace {

void read_recording(const Place& place, ActorSpec& actor, const Reading& reading) {
  const Fields fields(place, program_keys(), "program");
  const auto file = fields.find("lackey");
  if (!file) return;
  actor.lackey_as_written = file->any_text().value_or("");
  if (actor.lackey_as_written.empty()) return;
  const std::filesystem::path path = std::filesystem::path(reading.folder) / actor.lackey_as_written;
  actor.lackey = path.string();
  std::error_code problem;
  if (!std::filesystem::is_regular_file(path, problem))
    file->fail("there is no file '" + actor.lackey_as_written + "' beside the scenario", "a recording by lackey");
}

void check_cpu_later(const Place& place, std::uint64_t cpu, Reading& reading) {
  reading.later([place, cpu](const Symbols& symbols) {
    if (symbols.cpus && cpu >= *symbols.cpus)
      place.fail(
          "there is no core " + std::to_string(cpu),
          "0 to " + std::to_string(*symbols.cpus - 1) + " (machine.cpus is " + std::to_string(*symbols.cpus) + ")");
  });
}

void check_context_later(const Place& place, const std::string& device, std::uint64_t context, Reading& reading) {
  reading.later([place, device, context](const Symbols& symbols) {
    const DeviceSpec* spec = symbols.device(device);
    if (spec == nullptr || symbols.kind(*spec) == nullptr) return;
    const std::optional<std::uint64_t> contexts = symbols.contexts(*spec);
    if (symbols.contexts_row(*spec) == nullptr)
      place.fail("a device of the kind " + spec->kind + " has no contexts", "no such key");
    else if (contexts && context >= *contexts)
      place.fail(
          "there is no context " + std::to_string(context),
          "0 to " + std::to_string(*contexts - 1) + " (" + device + ".contexts is " + std::to_string(*contexts) + ")");
  });
}

// The process of a device's program, when it is the only one that the device is attached to.
std::string only_process(const std::string& device, const Scenario& scenario) {
  for (const DeviceSpec& spec : scenario.devices)
    if (spec.name == device && spec.attach.size() == 1) return spec.attach[0];
  return "";
}

void read_device_user(const Place& place, const Fields& fields, ActorSpec& actor, Reading& reading) {
  actor.device = place.any_text().value_or("");
  reading.later([place](const Symbols& symbols) { symbols.check_device(place); });
  if (!fields.has("process")) {
    actor.process = only_process(actor.device, reading.scenario);
    const bool known = std::any_of(reading.scenario.devices.begin(), reading.scenario.devices.end(),
                                   [&](const DeviceSpec& spec) { return spec.name == actor.device; });
    if (actor.process.empty() && known)
      place.fail("'" + actor.device + "' is not attached to exactly one process", "the key 'process' in this actor");
  }
  if (const auto context = fields.find("context"))
    if (const auto number = context->number()) {
      actor.context = *number;
      reading.contexts_named.insert(actor.name);
      check_context_later(*context, actor.device, *number, reading);
    }
  if (!fields.has("cpu")) actor.cpu = 0;
}

void read_mirror(const Place& place, ActorSpec& actor, Reading& reading) {
  actor.mirror = place.any_text().value_or("");
  reading.later([place, process = actor.process](const Symbols& symbols) {
    if (!symbols.check_device(place) || process.empty()) return;
    const std::vector<std::string>& attached = symbols.device(place.text())->attach;
    if (std::find(attached.begin(), attached.end(), process) == attached.end())
      place.fail("'" + place.text() + "' is not attached to " + process, "a device with attach: " + process);
  });
}

void read_actor(const Place::Entry& entry, Reading& reading) {
  ActorSpec actor;
  actor.name = entry.key.text();
  actor.mark = entry.key.mark();
  entry.key.name();
  const Fields fields(entry.value, actor_keys(), "an actor");

  if (const auto process = fields.find("process")) {
    actor.process = process->any_text().value_or("");
    reading.later([place = *process](const Symbols& symbols) { symbols.check_process(place); });
  }
  if (const auto cpu = fields.find("cpu"))
    if (const auto number = cpu->number(0, UINT32_MAX)) {
      actor.cpu = static_cast<unsigned>(*number);
      check_cpu_later(*cpu, *number, reading);
    }
  const auto device = fields.find("device");
  if (device) {
    read_device_user(*device, fields, actor, reading);
  } else {
    if (const auto context = fields.find("context"))
      context->fail("only the program of a device has a context", "the key 'device' beside it");
    if (!fields.has("cpu") && entry.value.node().is(Node::Kind::mapping))
      entry.value.fail("a program on a CPU does not say on which", "the key 'cpu' (or 'device')");
  }
  if (const auto worker = fields.find("worker")) {
    actor.worker = worker->flag().value_or(false);
    if (actor.worker && (device || actor.process.empty()))
      worker->fail("only a program on a CPU that acts on a process may be none of its threads",
                   "the keys 'cpu' and 'process'");
  }
  if (const auto start = fields.find("start")) actor.start = start->duration().value_or(Time{});

  const auto steps = fields.find("do");
  const auto program = fields.find("program");
  if (steps && program) program->fail("an actor has one program", "either do or program");
  if (!steps && !program) entry.value.fail("the actor does nothing", "the key 'do' (or 'program')");
  if (steps) {
    StepScope scope;
    scope.user = device ? User::device : User::cpu;
    scope.party = "actors." + actor.name;
    scope.actor = actor.name;
    if (!actor.process.empty()) scope.processes = {actor.process};
    scope.kernel_thread = !device && !fields.has("process");
    actor.program = read_steps(*steps, scope, reading);
  }
  if (program) {
    read_recording(*program, actor, reading);
    if (device)
      program->fail("a recorded program runs on a CPU", "the key 'mirror' instead of 'device'");
    else if (!fields.has("process"))
      program->fail("a recorded program needs a process", "the key 'process' in this actor");
  }
  if (const auto mirror = fields.find("mirror")) {
    if (!program) mirror->fail("there is no recorded program to mirror", "the key 'program'");
    read_mirror(*mirror, actor, reading);
  }
  reading.scenario.actors.push_back(std::move(actor));
}

}  // namespace

void read_actors(const Place& place, Reading& reading) {
  if (!place.mapping("actors by name")) return;
  if (place.node().items.empty()) place.fail("there are no actors", "at least one");
  for (const Place::Entry& entry : place.entries()) read_actor(entry, reading);
}

}  // namespace secmmu::language
