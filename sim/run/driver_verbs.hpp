// The steps by which a CPU program plays a driver: subscribing, leaving, freeing, and holding what a driver
// holds (references of an address space, its mmap_lock).
#pragma once

#include <string_view>
#include <utility>
#include <vector>

#include "sim/run/program.hpp"

namespace secmmu {

using ProgramVerb = std::string_view (*)(ActorProgram&, const Step&);
const std::vector<std::pair<std::string_view, ProgramVerb>>& driver_verbs();

void hold_mmap_lock(Mm& mm, bool write);
void drop_mmap_lock(Mm& mm);  // however it is held

}  // namespace secmmu
