// What a scenario file may name: parameters, device kinds, kernels, rules, counters, events. The parser,
// the schema, `secmmu list` and docs read it; it is put together from the tables of the components
// (sim/scenario/catalogue.cpp), so a name exists in exactly one place.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "notifier/substrate/parameter.hpp"

namespace secmmu {

struct NamedSentence {
  std::string name;
  std::string sentence;
};

// A group of parameters under machine: in a scenario, e.g. path "machine.tlb" for `machine: {tlb: {entries: 64}}`.
struct ParameterGroup {
  std::string path;
  std::string sentence;
  const ParameterRows* rows = nullptr;
};

struct DeviceKind {
  std::string name;  // gru, probe
  std::string sentence;
  const ParameterRows* rows = nullptr;   // keys of the device beside kind, attach, without, callbacks
  std::vector<NamedSentence> protocol;   // rules of its protocol that `without:` may switch off
  std::vector<NamedSentence> callbacks;  // callbacks that a script may answer (probe only); empty elsewhere
  std::vector<NamedSentence> counters;   // counters as <device>.<name>
};

// A behaviour of a kernel that a scenario may override.
struct Behaviour {
  std::string name;
  std::string sentence;
  std::vector<std::string> values;  // what it may be; empty: any word
};

struct EventKind {
  std::string name;
  std::string sentence;
  std::vector<std::string> fields;  // empty: not known here, any field may be asked for
};

struct Catalogue {
  std::vector<ParameterGroup> groups;  // machine.*
  std::vector<DeviceKind> devices;
  std::vector<NamedSentence> kernels;  // oldest first
  std::vector<Behaviour> behaviours;   // overridable kernel behaviours
  // The value of a behaviour in a kernel, for resolved.yaml; without it only overrides are listed there.
  std::function<std::string(std::string_view kernel, std::string_view behaviour)> behaviour_of;
  std::vector<NamedSentence> rules;             // of the oracle
  std::vector<NamedSentence> machine_counters;  // dotted names without a device, e.g. "frames.free"
  std::vector<NamedSentence> core_counters;     // counters as cpuN.<name>
  std::vector<NamedSentence> process_counters;  // counters as <process>.<name>
  std::vector<EventKind> events;                // tracepoints, for `order:`
  std::vector<NamedSentence> tasks;             // tasks that no scenario makes (kernel threads), for `by:` in `order:`
};

// The one catalogue of this program.
const Catalogue& catalogue();

}  // namespace secmmu
