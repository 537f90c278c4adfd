// What the parsers of the blocks share: the scenario that grows, and the checks that have to wait until
// every name of the file is known.
#pragma once

#include <functional>
#include <map>
#include <set>

#include "sim/scenario/catalogue.hpp"
#include "sim/scenario/place.hpp"
#include "sim/scenario/verbs.hpp"

namespace secmmu::language {

// A buffer may be made more than once, in several sizes.
struct BufferSize {
  std::uint64_t first = 0;  // as the file first makes it; 0: its size is a mistake
  std::uint64_t most = 0;
};
using BufferSizes = std::map<std::string, BufferSize>;

struct Reading;

// Every name of the file, once all blocks are read.
struct Symbols {
  explicit Symbols(const Reading& reading);

  const Scenario& scenario;
  const Catalogue& catalogue;
  std::map<std::string, BufferSizes> buffers;  // by process
  std::set<std::string> steps;                 // "actor.id"
  std::optional<std::uint64_t> cpus;           // as set, or the row's default

  const ProcessSpec* process(std::string_view name) const;
  const DeviceSpec* device(std::string_view name) const;
  const DeviceKind* kind(const DeviceSpec& device) const;
  const Parameter* contexts_row(const DeviceSpec& device) const;  // null: its kind has no contexts
  std::optional<std::uint64_t> contexts(const DeviceSpec& device) const;

  // Report a name that does not exist; true if it does.
  bool check_process(const Place& place) const;
  bool check_device(const Place& place) const;
  // In any of the processes; an empty list (something else is wrong): no check.
  const BufferSize* check_buffer(const Place& place, const std::vector<std::string>& processes) const;
  void check_pages(const Place& place, const std::string& buffer, Pages pages,
                   const std::vector<std::string>& processes) const;
};

struct Reading {
  const Catalogue& catalogue;
  std::string folder;  // of the scenario file, for files that it names
  Scenario scenario = {};

  using Check = std::function<void(const Symbols&)>;
  std::vector<Check> checks = {};
  void later(Check check) { checks.push_back(std::move(check)); }

  struct Meeting {
    std::set<std::string> parties;
    std::vector<Place> places;
  };
  std::map<std::string, Meeting> meetings = {};        // barriers
  std::map<std::string, std::string> lock_kinds = {};  // locks that some script takes
  std::set<std::string> step_ids = {};                 // "actor.id"
  std::set<std::string> contexts_named = {};           // actors that say which context they use
  std::map<std::string, Mark> children = {};           // processes that a fork brings in
};

// Whose step it is and where it stands.
struct StepScope {
  User user = User::cpu;
  std::string party;                   // "actors.reader", "devices.probe0": who comes to a barrier
  std::string actor;                   // empty: a probe's script
  std::vector<std::string> processes;  // whose buffers it may name; empty: none, or not known
  bool kernel_thread = false;
  bool repeated = false;  // inside a loop
};

void read_machine(const Place& place, Reading& reading);
void read_behaviour(const Place& place, Reading& reading);
void read_processes(const Place& place, Reading& reading);
void read_devices(const Place& place, Reading& reading);
void read_actors(const Place& place, Reading& reading);
void read_expectations(const Place& place, Reading& reading);
std::vector<Step> read_steps(const Place& place, const StepScope& scope, Reading& reading);

// A value of a parameter table.
void read_setting(const Place& place, const Parameter& row, const std::string& path, std::vector<Setting>& into);

// "gru0.faults >= 4"; the counter's name is checked later.
std::optional<CounterCheck> read_counter_check(const Place& place, Reading& reading);

// Checks of the whole: waits that end in a circle, barriers for one, places in memory.
void check_waits(const Symbols& symbols, const Reading& reading, Diagnostics& out);
void check_memory(const Symbols& symbols, Diagnostics& out);

// Gives steps without pages all of their buffer, device programs without a context the next free one.
void fill_in(Reading& reading, const Symbols& symbols, Diagnostics& out);

// One kernel, `all`, or a range of neighbours such as v3.7..v4.16, out of `allowed`, in order of `known`. Of a
// range those that are not allowed are left out.
std::vector<std::string> read_kernel_names(const Place& place, const std::vector<std::string>& known,
                                           const std::vector<std::string>& allowed, std::string_view what);

}  // namespace secmmu::language
