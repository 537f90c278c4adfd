#include "models/platform.hpp"

#include <stdexcept>

#include <fmt/format.h>

#include "models/mm/memory_pressure.hpp"

namespace secmmu {
namespace {

// The rows of a member's table as rows of the struct around it.
template <class Inner>
void adopt(ParameterRows& rows, const ParameterRows& inner, Inner MachineCosts::*member) {
  for (Parameter row : inner.rows) {
    row.set = [set = row.set, member](void* config, const ParameterValue& value) {
      set(&(static_cast<MachineCosts*>(config)->*member), value);
    };
    row.get = [get = row.get, member](const void* config) {
      return get(&(static_cast<const MachineCosts*>(config)->*member));
    };
    rows.rows.push_back(std::move(row));
  }
}

ParameterValue behaviour_value(const Parameter& row, const std::string& text) {
  if (row.type == ParameterType::flag) return text == "true";
  return text;
}

template <class Behaviour>
void override_behaviour(Behaviour& behaviour, const ParameterRows& table,
                        const std::map<std::string, std::string>& overrides) {
  for (const auto& [name, text] : overrides)
    if (const Parameter* row = table.find(name)) row->set(&behaviour, behaviour_value(*row, text));
}

}  // namespace

const ParameterTable<FaultConfig>& fault_table() {
  static const ParameterTable<FaultConfig> table =
      ParameterTable<FaultConfig>("fault")
          .integer("failing_allocation", &FaultConfig::failing_allocation, 0, 1'000'000,
                   "Which allocation of the notifier core fails (ENOMEM), counted from 1; 0: none.")
          .integer("interrupted_registration", &FaultConfig::interrupted_registration, 0, 1'000'000,
                   "Which registration meets a signal while it takes all locks (EINTR), counted from 1; 0: none.")
          .integer("most_users", &FaultConfig::most_users, 1, 0xffff'ffff,
                   "How many users a subscription that drivers share can count (EOVERFLOW).", "UINT_MAX")
          .flag("reclaim_in_allocation", &FaultConfig::reclaim_in_allocation,
                "Memory is short: an allocation of the notifier core first reclaims, for which it takes the locks of "
                "reverse mappings.");
  return table;
}

const ParameterTable<MachineConfig>& machine_table() {
  static const ParameterTable<MachineConfig> table =
      ParameterTable<MachineConfig>("machine")
          .integer("cpus", &MachineConfig::cpus, 1, 64, "Cores.")
          .integer("stretch", &MachineConfig::stretch, 0, 10'000,
                   "Percent by which every step may take longer, drawn by the seed: how one scenario meets many "
                   "interleavings.");
  return table;
}

const ParameterRows& machine_cost_rows() {
  static const ParameterRows rows = [] {
    ParameterRows all;
    all.component = "cost";
    adopt(all, substrate_cost_table(), &MachineCosts::substrate);
    adopt(all, notifier_cost_table(), &MachineCosts::notifier);
    adopt(all, memory_cost_table(), &MachineCosts::memory);
    adopt(all, walk_cost_table(), &MachineCosts::walk);
    adopt(all, core_cost_table(), &MachineCosts::core);
    adopt(all, shootdown_cost_table(), &MachineCosts::shootdown);
    adopt(all, mm_cost_table(), &MachineCosts::mm);
    return all;
  }();
  return rows;
}

std::vector<const ParameterRows*> behaviour_tables() {
  return {&notifier_behaviour_table(), &mm_behaviour_table(), &driver_behaviour_table()};
}

Platform::Platform(const PlatformConfig& config)
    : arbiter("machine"),
      memory("memory", arbiter, config.memory),
      kernel_port_(new MemoryPort("kernel_port")),
      faults_(config.faults) {
  if (config.tlb.entries % config.tlb.ways != 0)
    throw std::runtime_error(
        fmt::format("machine.tlb: {} entries are not a multiple of {} ways", config.tlb.entries, config.tlb.ways));
  arbiter.costs = config.costs.substrate;
  memory.costs = config.costs.memory;
  kernel_port_->socket.bind(memory.socket);
  std::vector<Core*> plain_cores;
  std::vector<Processor*> processors;
  for (unsigned i = 0; i < config.machine.cpus; ++i) {
    Processor& processor = arbiter.add_processor();
    processors.push_back(&processor);
    cores.push_back(std::make_unique<Core>(fmt::format("cpu{}", i).c_str(), arbiter, processor, config.tlb));
    Core& core = *cores.back();
    core.port.socket.bind(memory.socket);
    core.costs = config.costs.core;
    core.walker.costs = config.costs.walk;
    plain_cores.push_back(&core);
  }
  shootdown = std::make_unique<Shootdown>(arbiter, plain_cores);
  shootdown->costs = config.costs.shootdown;
  Task& rcu_worker = arbiter.add_task("rcu", TaskKind::service, processors.back());
  Task& srcu_worker = arbiter.add_task("srcu", TaskKind::service, processors.back());
  notifier = std::make_unique<NotifierCore>(arbiter, rcu_worker, srcu_worker);
  notifier->costs = config.costs.notifier;
  mms = std::make_unique<MmSystem>(arbiter, memory, *kernel_port_, plain_cores, *shootdown, *notifier);
  mms->costs = config.costs.mm;
  mms->config = config.mm;
  meet_faults();

  for (const auto& core : cores) {
    Core* self = core.get();
    core->on_fault([this](Core& faulting, VirtAddr address, bool write) {
      Mm* mm = mms->by_asid(faulting.loaded().asid);
      if (mm == nullptr || mm->torn_down) return false;
      if (handle_fault(*mm, address.page(), write) != FaultResult::resolved) return false;
      // The first page table of an address space appears with its first fault.
      if (faulting.loaded().root != mm->table.root()) load_on(*mm, faulting);
      return true;
    });
    // A task runs user code of the address space in `user`; kernel threads keep what is loaded.
    core->processor().on_switch([this, self](Task& task) {
      if (task.user != nullptr) load_on(*static_cast<Mm*>(task.user), *self);
    });
  }

  const DeviceSurroundings around{arbiter, memory, *mms, processors};
  for (const auto& [kind, request] : config.devices) {
    const DeviceKindRow* row = find_device_kind(kind);
    if (row == nullptr) throw std::runtime_error("no device kind " + kind);
    devices.push_back(row->build(request, around));
  }
  for (const PlatformTask& task : config.tasks)
    tasks_.push_back(&arbiter.add_task(task.name, task.kind,
                                       task.core < 0 ? nullptr : processors.at(static_cast<std::size_t>(task.core))));
  if (config.mm.reclaim == "kswapd") kswapd_ = &arbiter.add_task("kswapd", TaskKind::service);
}

Platform::~Platform() = default;

void Platform::start_kernel_threads() {
  if (kswapd_ != nullptr) arbiter.start(*kswapd_, [this] { mms->pressure->run_kswapd(); });
}

Task& Platform::task(std::string_view name) {
  for (Task* candidate : tasks_)
    if (candidate->name() == name) return *candidate;
  throw std::logic_error("no task " + std::string(name));
}

Device* Platform::device(std::string_view name) {
  for (const auto& candidate : devices)
    if (candidate->name() == name) return candidate.get();
  return nullptr;
}

void Platform::set_kernel(KernelVersion version, const std::map<std::string, std::string>& overrides) {
  NotifierBehaviour core = notifier_behaviour(version);
  override_behaviour(core, notifier_behaviour_table(), overrides);
  notifier->set_behaviour(core);
  MmBehaviour mm = mm_behaviour(version);
  override_behaviour(mm, mm_behaviour_table(), overrides);
  mms->behaviour = mm;
  DriverBehaviour drivers = driver_behaviour(version);
  override_behaviour(drivers, driver_behaviour_table(), overrides);
  for (const auto& device : devices) device->set_behaviour(drivers);
}

// From the outside in: first the tasks are unwound, then everybody's state goes.
// Rule: an allocation that may sleep enters direct reclaim when memory is short, and reclaim needs the locks of
// reverse mappings of whatever pages it looks at: those of the caller's own mm, too.
void Platform::meet_faults() {
  notifier->allocation_fails = [this] {
    if (faults_.reclaim_in_allocation)
      for (std::size_t number = 0; number < mms->spaces().size(); ++number) {
        Mm& mm = *mms->spaces()[number];
        if (mm.vmas.empty()) continue;  // nothing of it is in the reverse map
        mm.lock_rmap();
        mm.unlock_rmap();
      }
    return ++allocations_ == faults_.failing_allocation;
  };
  notifier->most_users = faults_.most_users;
  mms->interrupted = [this] { return ++registrations_ == faults_.interrupted_registration; };
}

void Platform::reset() {
  allocations_ = 0;
  registrations_ = 0;
  arbiter.reset();
  notifier->reset();
  for (const auto& device : devices) device->reset();
  mms->reset();
  shootdown->reset();
  for (const auto& core : cores) core->reset();
  memory.reset();
}

}  // namespace secmmu
