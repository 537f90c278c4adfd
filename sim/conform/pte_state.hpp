// What a page-table entry is, in the words of a recording.
#pragma once

#include <string_view>

#include "models/mm/mm.hpp"

namespace secmmu::conform {

std::string_view pte_state(Mm& mm, Vpn page);

}  // namespace secmmu::conform
