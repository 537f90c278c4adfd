// A program in which everybody acts at the same time: the operations of the process in two threads, the device's
// accesses in two contexts, children, and perhaps somebody who gives the device up or reaps the process's memory, on
// cores of their own and with random latencies. What an operation means is then a race; what must be true of every race
// is what is judged: the rules of the oracle, and that a device sees what is in memory at that moment.
#pragma once

#include <cstdint>
#include <string>

#include "sim/conform/recording.hpp"
#include "sim/scenario/scenario.hpp"

namespace secmmu::conform {

// The same program, seed and kernel give the same scenario. Which thread does an operation, and who waits for what,
// depends on the seed and on the operation's own mark, not on its neighbours: leaving one out changes little.
Scenario crowd(const Recording& program, std::uint64_t seed, const std::string& kernel);

// The machine that the seed's programs are played on: 0, whose devices flush quickly, or 1, where that takes long.
inline constexpr unsigned kCrowdMachines = 2;
unsigned crowd_machine(std::uint64_t seed);

}  // namespace secmmu::conform
