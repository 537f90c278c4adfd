// A recording as a scenario: the same machine, operations and scheduling points as any other.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "sim/conform/recording.hpp"
#include "sim/scenario/scenario.hpp"

namespace secmmu::conform {

// The process that was recorded, with its program `main`. A device's accesses are a program of their own, and so is
// what a forked child does; each waits for the operation before it.
inline constexpr std::string_view kProcess = "app";

// Which blocks can be played: all but operations that our machine cannot do yet, and those that need a buffer or a
// device which such an operation would have brought in.
std::vector<bool> playable(const Recording& recording);

// What cannot be played is left out.
Scenario translate(const Recording& recording, const std::string& kernel = "v6.1");

// The block that a step of a translated scenario belongs to.
std::size_t block_of(const Step& step);

// A machine on which each of the scenarios can be played.
Scenario machine_for(const std::vector<Scenario>& scenarios);

}  // namespace secmmu::conform
