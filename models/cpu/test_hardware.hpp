// For tests and benchmarks: memory, four cores and their shootdown on the machine of test_machine.hpp,
// elaborated with it (SystemC allows no module later). Include it and call hardware() inside a test case.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "models/cpu/core.hpp"
#include "models/cpu/shootdown.hpp"
#include "models/memory/memory_port.hpp"
#include "models/memory/page_table.hpp"
#include "models/memory/physical_memory.hpp"
#include "notifier/substrate/test_machine.hpp"

namespace secmmu {

class TestHardware : public sc_core::sc_module {
 public:
  static constexpr std::uint64_t kFrames = 4096;

  explicit TestHardware(const sc_core::sc_module_name& name) : sc_module(name) {
    memory_ = std::make_unique<PhysicalMemory>("memory", arbiter(), MemoryConfig{kFrames});
    port_ = std::make_unique<MemoryPort>("port");
    port_->socket.bind(memory_->socket);
    std::vector<Core*> cores;
    for (unsigned number = 0; number < TestMachine::kCores; ++number) {
      const std::string core_name = "cpu" + std::to_string(number);
      cores_.push_back(
          std::make_unique<Core>(core_name.c_str(), arbiter(), *arbiter().processors()[number], TlbConfig{}));
      cores_.back()->port.socket.bind(memory_->socket);
      cores.push_back(cores_.back().get());
    }
    shootdown_ = std::make_unique<Shootdown>(arbiter(), cores);
  }

  Arbiter& arbiter() { return machine().arbiter(); }
  PhysicalMemory& memory() { return *memory_; }
  MemoryPort& port() { return *port_; }  // the kernel's
  Core& core(unsigned number) { return *cores_.at(number); }
  Shootdown& shootdown() { return *shootdown_; }

  // As after power-on. For the `prepare` of TestMachine::run().
  void reset() {
    memory_->reset();
    for (const auto& core : cores_) {
      core->reset();
      core->on_fault({});
    }
    shootdown_->reset();
  }
  // A fresh start, then these tasks to their end.
  RunEnd run(std::vector<TestTask> tasks, RunLimits limits = {}) {
    return machine().run(
        std::move(tasks), [this] { reset(); }, limits);
  }

 private:
  std::unique_ptr<PhysicalMemory> memory_;
  std::unique_ptr<MemoryPort> port_;
  std::vector<std::unique_ptr<Core>> cores_;
  std::unique_ptr<Shootdown> shootdown_;
};

// Never destroyed: SystemC is gone before static objects are.
inline TestHardware* test_hardware = nullptr;
inline const bool kTestHardwareIsBuilt = at_elaboration([] { test_hardware = new TestHardware("hardware"); });
inline TestHardware& hardware() { return *test_hardware; }

}  // namespace secmmu
