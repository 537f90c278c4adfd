// The main of the benchmark program: elaborates one machine, as machine_test_main.cpp does, then runs the
// benchmarks inside the director, so that each may start tasks.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <memory>

#include "notifier/substrate/test_machine.hpp"

namespace secmmu {
namespace {

struct Parts {
  Arbiter arbiter{"machine"};
  std::vector<std::vector<Task*>> by_core;
  std::vector<Task*> engines;
  std::vector<Task*> workers;

  Parts() {
    for (unsigned core = 0; core < TestMachine::kCores; ++core) arbiter.add_processor();
    by_core.resize(TestMachine::kCores);
    unsigned number = 0;
    for (unsigned core = 0; core < TestMachine::kCores; ++core)
      for (unsigned i = 0; i < TestMachine::kTasksPerCore; ++i)
        by_core[core].push_back(
            &arbiter.add_task("task" + std::to_string(number++), TaskKind::actor, arbiter.processors()[core].get()));
    for (unsigned i = 0; i < TestMachine::kEngines; ++i)
      engines.push_back(&arbiter.add_task("engine" + std::to_string(i), TaskKind::actor));
    for (unsigned i = 0; i < 2; ++i)
      workers.push_back(&arbiter.add_task("worker" + std::to_string(i), TaskKind::service));
  }
};
std::unique_ptr<Parts> parts;

std::vector<std::function<void()>>& builders() {
  static std::vector<std::function<void()>> list;
  return list;
}

}  // namespace

Arbiter& TestMachine::arbiter() { return parts->arbiter; }
Task& TestMachine::worker(unsigned index) { return *parts->workers.at(index); }

void TestMachine::reset() {
  parts->arbiter.bus().clear_listeners();
  parts->arbiter.set_strategy(nullptr);
  parts->arbiter.set_stretch(0, 0);
  parts->arbiter.reset();
}

RunEnd TestMachine::run(std::vector<TestTask> tasks, const std::function<void()>& prepare, RunLimits limits) {
  parts->arbiter.reset();
  if (prepare) prepare();
  std::vector<unsigned> used(kCores, 0);
  unsigned engines = 0;
  for (TestTask& task : tasks) {
    const auto core = static_cast<unsigned>(task.cpu);
    Task* borrowed = task.cpu < 0 ? parts->engines.at(engines++) : parts->by_core.at(core).at(used[core]++);
    parts->arbiter.start(*borrowed, std::move(task.body), task.at);
  }
  return parts->arbiter.run(limits);
}

bool at_elaboration(std::function<void()> build) {
  builders().push_back(std::move(build));
  return true;
}

TestMachine& machine() {
  static TestMachine the_machine;
  return the_machine;
}

}  // namespace secmmu

int sc_main(int, char**) {
  sc_core::sc_report_handler::set_actions(sc_core::SC_WARNING, sc_core::SC_THROW);
  sc_core::sc_report_handler::set_actions(sc_core::SC_INFO, sc_core::SC_DO_NOTHING);  // "stopped by user"
  secmmu::parts = std::make_unique<secmmu::Parts>();
  for (const auto& build : secmmu::builders()) build();
  secmmu::parts->arbiter.direct([] { benchmark::RunSpecifiedBenchmarks(); });
  sc_core::sc_start();
  return 0;
}

int main(int argc, char** argv) {
  setenv("SYSTEMC_DISABLE_COPYRIGHT_MESSAGE", "1", 1);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  return sc_core::sc_elab_and_sim(argc, argv);
}
