#include "models/devices/registry.hpp"

#include <stdexcept>

#include "models/devices/gru/driver.hpp"
#include "models/devices/hmm/driver.hpp"
#include "models/devices/kvm/driver.hpp"
#include "models/devices/probe/probe.hpp"

namespace secmmu {
namespace {

template <class Config>
Config configured(const ParameterRows& rows, const DeviceRequest& request) {
  Config config;
  for (const auto& [name, value] : request.settings) {
    const Parameter* row = rows.find(name);
    if (row == nullptr) throw std::logic_error("no parameter " + name + " of " + rows.component);
    row->set(&config, value);
  }
  return config;
}

std::unique_ptr<Device> build_gru(const DeviceRequest& request, const DeviceSurroundings& around) {
  const auto config = configured<GruConfig>(gru_table(), request);
  if (config.asids <= config.contexts)  // a load must find one that no other context has
    throw std::runtime_error(request.name + ": " + std::to_string(config.asids) + " ASIDs are too few for " +
                             std::to_string(config.contexts) + " contexts");
  auto device = std::make_unique<GruDevice>(request.name, around.arbiter, around.mms, around.processors, config);
  device->hardware.port.socket.bind(around.memory.socket);
  return device;
}

std::unique_ptr<Device> build_hmm(const DeviceRequest& request, const DeviceSurroundings& around) {
  auto device = std::make_unique<HmmDevice>(request.name, around.arbiter, around.mms,
                                            configured<HmmConfig>(hmm_table(), request));
  device->hardware.port.socket.bind(around.memory.socket);
  return device;
}

std::unique_ptr<Device> build_kvm(const DeviceRequest& request, const DeviceSurroundings& around) {
  const auto config = configured<KvmConfig>(kvm_table(), request);
  if (config.tlb_entries != 0)
    if (const std::string problem = tlb_problem({config.tlb_entries, config.tlb_ways}); !problem.empty())
      throw std::runtime_error(request.name + ": " + problem);
  auto device = std::make_unique<KvmDevice>(request.name, around.arbiter, around.mms, config);
  device->hardware.port.socket.bind(around.memory.socket);
  return device;
}

std::unique_ptr<Device> build_probe(const DeviceRequest& request, const DeviceSurroundings& around) {
  auto device =
      std::make_unique<ProbeDevice>(request.name, around.arbiter, around.mms,
                                    configured<ProbeConfig>(probe_table(), request), (request.name + "_port").c_str());
  device->port.socket.bind(around.memory.socket);
  return device;
}

const std::vector<ProtocolRule> kNoProtocol;

}  // namespace

const std::vector<DeviceKindRow>& device_kinds() {
  static const std::vector<DeviceKindRow> kinds = {
      {"gru", "SGI's GRU: a TLB only; every miss is resolved by the CPU.", gru_table(), gru_protocol(), false,
       &build_gru, gru_counter_rows()},
      {"hmm", "A GPU that mirrors an address space by HMM: page tables of its own, an interval subscription.",
       hmm_table(), hmm_protocol(), false, &build_hmm, hmm_counter_rows(), &NotifierBehaviour::intervals},
      {"kvm", "A virtual machine: a table that the driver fills and virtual CPUs walk, each with a TLB.", kvm_table(),
       kvm_protocol(), false, &build_kvm, kvm_counter_rows()},
      {"probe", "A subscriber whose callbacks the scenario scripts, with a plain table of translations.", probe_table(),
       kNoProtocol, true, &build_probe, probe_counter_rows()},
  };
  return kinds;
}

const DeviceKindRow* find_device_kind(std::string_view name) {
  for (const DeviceKindRow& kind : device_kinds())
    if (kind.name == name) return &kind;
  return nullptr;
}

}  // namespace secmmu
