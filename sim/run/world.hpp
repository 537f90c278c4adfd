// What the actors of one run share: the platform, the processes as they are now, the meetings, and what
// went against the scenario's expectations so far.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "models/platform.hpp"
#include "sim/output/verdict.hpp"
#include "sim/run/meeting.hpp"
#include "sim/scenario/scenario.hpp"

namespace secmmu {

struct BufferPlace {
  VirtAddr at;
  std::uint64_t pages = 0;
  // The file (or shared memory) that was mapped there, by its number, which the program keeps as it would keep a
  // descriptor; 0: none. And which of its pages the first one is.
  std::uint64_t file = 0;
  std::uint64_t file_page = 0;
};

struct Process {
  std::string name;
  Mm* mm = nullptr;  // nullptr: not forked yet
  bool exited = false;
  std::map<std::string, BufferPlace> buffers;
};

class MirrorFeed;
class ProgramListener;

struct World {
  World(Platform& the_platform, const Scenario& the_scenario);
  ~World();

  Platform& platform;
  const Scenario& scenario;
  std::string kernel;
  std::uint64_t seed = 1;
  Meetings meetings;
  std::map<std::string, Process> processes;
  std::vector<FailedExpectation> failed;
  std::map<std::string, std::uint64_t> counters;                    // of workloads, by dotted name
  std::function<void(const std::string& process)> skip_actors_of;   // it was not forked after all: nobody waits for them
  std::set<std::string> never_forked;                               // whose actors were skipped
  std::function<void(const std::string& process)> start_actors_of;  // set by the episode
  std::map<std::string, std::unique_ptr<MirrorFeed>> mirrors;       // by actor
  ProgramListener* listener = nullptr;  // of the programs' steps; nullptr: nobody
  std::string missing;      // what the scenario did and the kernel lacks: the run ends there
  Mark missing_at;          // the step that did it
  std::string input_error;  // a workload file was malformed: the run says nothing
  bool progress = false;    // a terminal is watching

  // Line 0: about the scenario as a whole.
  std::string place(const Mark& mark) const {
    if (mark.line == 0) return scenario.path;
    return scenario.path + ":" + std::to_string(mark.line) + ":" + std::to_string(mark.column);
  }
  // Runs what a step does; if the kernel lacks that, it remembers the first such step.
  template <class Body>
  auto doing(const Mark& mark, const Body& body) {
    try {
      return body();
    } catch (const AbsentInKernel&) {
      if (missing_at.line == 0) missing_at = mark;
      throw;
    }
  }
  void fail(const Mark& mark, std::string text, std::string got) {
    failed.push_back({std::move(text), std::move(got), place(mark)});
  }
};

}  // namespace secmmu
