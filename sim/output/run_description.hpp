// What a sink must know of a run before it begins: names and sizes, nothing that changes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "notifier/substrate/time.hpp"

namespace secmmu {

struct RunDescription {
  std::string scenario;   // its name
  std::string kernel;     // "v6.10"
  std::uint64_t seed = 1;
  unsigned cores = 1;
  std::uint64_t frames = 0;
  struct TaskInfo {
    std::string name;
    int core = -1;        // -1: an engine on no core
    bool actor = false;   // else a service: idle loop, worker
  };
  std::vector<TaskInfo> tasks;       // index: Stamp::task
  struct DeviceInfo {
    std::string name;
    std::string kind;
    unsigned contexts = 1;
  };
  std::vector<DeviceInfo> devices;
  std::vector<std::string> processes;  // those that exist from the start and those that a fork will make
  std::vector<std::string> watched;    // "app.buf"
  std::vector<std::string> rules;      // of the oracle, as `secmmu list rules` gives them
};

}  // namespace secmmu
