// Differences on a terminal.
#pragma once

#include <string>
#include <vector>

#include "sim/conform/comparison.hpp"

namespace secmmu::conform {

// One line: identical, or the first difference with its operation.
std::string verdict_line(const Recording& recording, const Comparison& comparison,
                         const std::vector<std::string>& remarks);
// The same of one scenario on two kernels.
std::string two_kernels_line(const Recording& recording, const Comparison& comparison, const std::string& left,
                             const std::string& right);
// Each operation with a difference, its lines in two columns: recorded and played.
std::string side_by_side(const Recording& recording, const Comparison& comparison);
// How many lines of each kind are as recorded.
std::string table_of(const KindCounts& counts);

}  // namespace secmmu::conform
