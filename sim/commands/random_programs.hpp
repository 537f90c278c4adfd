// `conform --random`: plays programs that are drawn by chance, and shows the first that fails, made small.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace secmmu {

struct RandomRequest {
  std::string programs;             // --random
  std::optional<std::string> seed;  // of the first
  std::string kernel;
  std::vector<std::string> devices;  // --device
  std::vector<std::string> without;
  std::optional<std::string> write;  // the folder for what failed
};

// Throws WrongUsage if none of the devices that programs have knows one of them.
void check_protocol_rules(const std::vector<std::string>& rules);

// The exit code. Throws WrongUsage.
int play_random_programs(const RandomRequest& request);

}  // namespace secmmu
