// The main of every test program: elaborates one machine, then lets doctest run inside the director, so
// that each test case may start tasks. Listing and filtering cases work as with doctest's own main.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

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
};
std::unique_ptr<Parts> parts;

std::vector<std::function<void()>>& builders() {
  static std::vector<std::function<void()>> list;
  return list;
}

void elaborate() {
  parts = std::make_unique<Parts>();
  unsigned number = 0;
  for (unsigned core = 0; core < TestMachine::kCores; ++core) parts->arbiter.add_processor();
  for (unsigned core = 0; core < TestMachine::kCores; ++core) {
    parts->by_core.emplace_back();
    for (unsigned i = 0; i < TestMachine::kTasksPerCore; ++i)
      parts->by_core[core].push_back(&parts->arbiter.add_task("task" + std::to_string(number++), TaskKind::actor,
                                                              parts->arbiter.processors()[core].get()));
  }
  for (unsigned i = 0; i < TestMachine::kEngines; ++i)
    parts->engines.push_back(&parts->arbiter.add_task("engine" + std::to_string(i), TaskKind::actor));
  for (unsigned i = 0; i < 2; ++i)
    parts->workers.push_back(&parts->arbiter.add_task("worker" + std::to_string(i), TaskKind::service));
  for (const auto& build : builders()) build();
}

int argument_count = 0;
char** arguments = nullptr;
int test_result = 0;

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
    Task* borrowed = task.cpu < 0 ? parts->engines.at(engines++)
                                  : parts->by_core.at(static_cast<unsigned>(task.cpu))
                                        .at(used[static_cast<unsigned>(task.cpu)]++);
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
  // A SystemC warning is a defect of ours: it fails the run that raised it.
  sc_core::sc_report_handler::set_actions(sc_core::SC_WARNING, sc_core::SC_THROW);
  sc_core::sc_report_handler::set_actions(sc_core::SC_INFO, sc_core::SC_DO_NOTHING);  // "stopped by user"
  secmmu::elaborate();
  secmmu::parts->arbiter.direct([] {
    doctest::Context context(secmmu::argument_count, secmmu::arguments);
    secmmu::test_result = context.run();
  });
  sc_core::sc_start();
  return secmmu::test_result;
}

int main(int argc, char** argv) {
  setenv("SYSTEMC_DISABLE_COPYRIGHT_MESSAGE", "1", 1);
  secmmu::argument_count = argc;
  secmmu::arguments = argv;
  return sc_core::sc_elab_and_sim(argc, argv);
}
