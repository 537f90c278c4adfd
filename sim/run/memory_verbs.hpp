// Verbs that ask the memory manager about pages, or give it advice. One line each in the table.
#pragma once

#include <string_view>
#include <utility>
#include <vector>

#include "sim/run/driver_verbs.hpp"

namespace secmmu {

const std::vector<std::pair<std::string_view, ProgramVerb>>& memory_verbs();

}  // namespace secmmu
