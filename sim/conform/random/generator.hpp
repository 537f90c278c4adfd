// Random programs in the language of recordings: 15 to 35 operations over one or two buffers, with a device and
// children. What there is to draw from is the table of operations: one that our machine learns is drawn from then on.
#pragma once

#include <cstdint>
#include <string>

#include "sim/conform/recording.hpp"

namespace secmmu::conform {

// The same seed and device give the same program, as long as the table of operations stays the same. Its blocks have
// no lines.
Recording draw_program(std::uint64_t seed, const std::string& device);

// Whether programs may have the operation: our machine can do it, and the model knows what it means.
bool is_drawn(const OperationRow& row);

}  // namespace secmmu::conform
