// For tests: one elaborated machine per process (SystemC allows no second), from which test cases borrow
// cores and tasks. Each run() begins with a reset. Inside a task use CHECK, never REQUIRE: an exception
// may not leave a SystemC thread.
#pragma once

#include <functional>
#include <initializer_list>
#include <string>
#include <vector>

#include "notifier/substrate/arbiter.hpp"

namespace secmmu {

struct TestTask {
  const char* label = "";  // for the reader; the task's own name is task0, task1, ...
  int cpu = -1;            // -1: on no core
  std::function<void()> body;
  Time at = {};
};

class TestMachine {
 public:
  static constexpr unsigned kCores = 4;
  static constexpr unsigned kTasksPerCore = 6;
  static constexpr unsigned kEngines = 8;

  Arbiter& arbiter();
  // Service tasks for read-section domains and the like; index 0 or 1.
  Task& worker(unsigned index);
  // A fresh start: time 0, no listeners. Also called by run() unless `keep` is set there.
  void reset();
  // Plays the tasks to the end. Objects with a reset() of their own (RCU domains) are reset by `prepare`,
  // which is called after the machine's own reset.
  RunEnd run(std::vector<TestTask> tasks, const std::function<void()>& prepare = {}, RunLimits limits = {});
};

TestMachine& machine();

// For tests that need SystemC modules beside the arbiter (memory, cores): `build` runs once, after the
// arbiter and its processors exist and before the simulation starts. Use it from a static object:
//   const bool registered = at_elaboration([] { ... });
bool at_elaboration(std::function<void()> build);

}  // namespace secmmu
