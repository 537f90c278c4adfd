// The subscribers of a recording: who listens and writes down, and the devices that were recorded.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "sim/scenario/scenario.hpp"

namespace secmmu::conform {

// A list subscriber with every callback of v6.1, none of which does anything: what `watch` registers.
inline constexpr std::string_view kRecorder = "recorder";
DeviceSpec recorder_device();

// The devices that were recorded, as configurations of ours; without those whose kind does not exist yet.
const std::vector<DeviceSpec>& recorded_devices();
const DeviceSpec* find_recorded_device(std::string_view name);

// The device breaks these rules of its protocol, too, as far as it has them.
void switch_off(const std::vector<std::string>& rules, DeviceSpec& device);

}  // namespace secmmu::conform
