// The names of kernels wherever a scenario may use them: single ones, ranges, all.
#include "sim/scenario/kernel_names.hpp"
#include "sim/scenario/reading.hpp"

namespace secmmu::language {

std::vector<std::string> read_kernel_names(const Place& place, const std::vector<std::string>& known,
                                           const std::vector<std::string>& allowed, std::string_view what) {
  const KernelNames read = kernel_names(place.text(), known, allowed, what);
  if (read.names.empty()) place.fail(read.wrong, read.expected, read.nearest);
  return read.names;
}

}  // namespace secmmu::language
