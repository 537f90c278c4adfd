// One word of ghost state in every translation that hardware can look up (a CPU's or a device's TLB
// entry, a shadow entry). Only sinks write it, through the pointer that the fill event carries; the
// lookup tests it in the cache line that it reads anyway and, when it is not zero, emits its access
// event. No model ever decides anything by it: that would be a sink changing the run.
#pragma once

#include <cstdint>

namespace secmmu {

struct Ghost {
  static constexpr std::uint32_t kIllegal = 1;  // the oracle wants to hear of every use
  static constexpr std::uint32_t kWatched = 2;  // a scenario asked for this page's accesses

  mutable std::uint32_t word = 0;
};

}  // namespace secmmu
