// The kinds of secondary MMU that the machine can have: one line each.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "models/devices/device.hpp"
#include "notifier/substrate/parameter.hpp"

namespace secmmu {

struct DeviceRequest {
  std::string name;
  std::map<std::string, ParameterValue> settings;  // rows of the kind's table
};

struct DeviceSurroundings {
  Arbiter& arbiter;
  PhysicalMemory& memory;
  MmSystem& mms;
  std::vector<Processor*> processors;
};

struct DeviceKindRow {
  std::string name;
  std::string sentence;
  const ParameterRows& parameters;
  const std::vector<ProtocolRule>& protocol;
  bool scripted = false;  // its callbacks may be scripted (the probe)
  // During elaboration. The device is bound to memory when this returns.
  std::unique_ptr<Device> (*build)(const DeviceRequest&, const DeviceSurroundings&);
  std::vector<CounterRow> counters;  // names and sentences, for listings
  // What the kernel must have for a driver of this kind to exist at all; nullptr: nothing that not every kernel has.
  bool NotifierBehaviour::*needs = nullptr;
};
const std::vector<DeviceKindRow>& device_kinds();
const DeviceKindRow* find_device_kind(std::string_view name);

}  // namespace secmmu
