// Builds a machine from a configuration: cores, memory, the kernel around them, devices, tasks. Elaborated
// once per process; reset() brings it back to power-on, so that kernels, seeds and schedules are runs of
// one platform.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "models/cpu/core.hpp"
#include "models/cpu/shootdown.hpp"
#include "models/devices/registry.hpp"
#include "models/memory/physical_memory.hpp"
#include "models/mm/mm.hpp"
#include "notifier/kernel.hpp"
#include "notifier/notifier_core.hpp"

namespace secmmu {

struct MachineConfig {
  std::uint64_t cpus = 2;
  std::uint64_t stretch = 0;  // percent: every step takes up to this much longer, by the seed
};
const ParameterTable<MachineConfig>& machine_table();

// What the environment does to the kernel, for it to survive.
struct FaultConfig {
  std::uint64_t failing_allocation = 0;        // which of the notifier core's allocations fails; 0: none
  std::uint64_t interrupted_registration = 0;  // which taking of all locks meets a signal; 0: none
  std::uint64_t most_users = 0xffff'ffff;      // of one subscription that is shared by get
  bool reclaim_in_allocation = false;          // memory is short: allocations reclaim first
};
const ParameterTable<FaultConfig>& fault_table();

// Every named cost, in one struct, so that a scenario sets them under one key.
struct MachineCosts {
  SubstrateCosts substrate;
  NotifierCosts notifier;
  MemoryCosts memory;
  WalkCosts walk;
  CoreCosts core;
  ShootdownCosts shootdown;
  MmCosts mm;
};
const ParameterRows& machine_cost_rows();

struct PlatformTask {
  std::string name;
  int core = -1;  // -1: an engine on no core
  TaskKind kind = TaskKind::actor;
};

struct PlatformConfig {
  MachineConfig machine;
  FaultConfig faults;
  TlbConfig tlb;
  MemoryConfig memory;
  MmConfig mm;
  MachineCosts costs;
  std::vector<std::pair<std::string, DeviceRequest>> devices;  // kind, request
  std::vector<PlatformTask> tasks;
};

class Platform {
 public:
  // During elaboration. Throws std::runtime_error with a sentence if the configuration cannot be built.
  explicit Platform(const PlatformConfig& config);
  ~Platform();

  Arbiter arbiter;
  PhysicalMemory memory;
  std::vector<std::unique_ptr<Core>> cores;
  std::unique_ptr<Shootdown> shootdown;
  std::unique_ptr<NotifierCore> notifier;
  std::unique_ptr<MmSystem> mms;
  std::vector<std::unique_ptr<Device>> devices;

  Task& task(std::string_view name);
  Device* device(std::string_view name);

  // The kernel of the next runs, with single behaviours overridden (name → value as in its table).
  void set_kernel(KernelVersion version, const std::map<std::string, std::string>& overrides);
  void reset();
  // Threads of the kernel's own, where the configuration has them; after reset(), before anybody runs.
  void start_kernel_threads();

 private:
  void meet_faults();

  std::unique_ptr<MemoryPort> kernel_port_;
  std::vector<Task*> tasks_;
  Task* kswapd_ = nullptr;
  const FaultConfig faults_;
  std::uint64_t allocations_ = 0;    // of the notifier core, in this run
  std::uint64_t registrations_ = 0;  // that came to take all locks, in this run
};

// The behaviours that a scenario may override, of every room.
std::vector<const ParameterRows*> behaviour_tables();

}  // namespace secmmu
