// Plays many random programs and stops at the first that fails, which it makes small. Everything is played in processes
// of their own: a program at which the simulator itself dies is found like any other.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "sim/conform/random/trial.hpp"

namespace secmmu::conform {

struct HuntOptions {
  std::uint64_t first_seed = 1;
  std::uint64_t programs = 100;  // seeds; each is played by every device, in both forms
  std::string kernel = "v6.1";
  std::vector<std::string> devices;  // empty: all that can be drawn for
  std::vector<PlayForm> forms = {PlayForm::in_order, PlayForm::crowded};
  std::vector<std::string> without;
  bool shrink = true;
};

struct Found {
  std::uint64_t seed = 0;
  std::uint64_t number = 0;  // of the program, from 1: how many it took
  std::string device;
  PlayForm form = PlayForm::in_order;
  Trial trial;
  Recording program;           // shrunk; with the lines as they should have been if it was played in order
  std::size_t operations = 0;  // how many it had at first
  Scenario scenario;           // what was played
};

// The devices that programs are drawn for and that this kernel has.
std::vector<std::string> random_devices(const std::string& kernel);

std::optional<Found> hunt(const HuntOptions& options);

}  // namespace secmmu::conform
