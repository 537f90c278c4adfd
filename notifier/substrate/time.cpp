#include "notifier/substrate/time.hpp"

#include <fmt/format.h>

namespace secmmu {

std::string to_text(Time time) {
  struct Unit {
    std::uint64_t ps;
    const char* name;
  };
  static constexpr Unit kUnits[] = {
      {1'000'000'000'000, "s"}, {1'000'000'000, "ms"}, {1'000'000, "us"}, {1'000, "ns"}, {1, "ps"}};
  for (const Unit& unit : kUnits) {
    if (time.ps < unit.ps) continue;
    const std::uint64_t rest = time.ps % unit.ps;
    if (rest == 0) return fmt::format("{}{}", time.ps / unit.ps, unit.name);
    // As many decimals as the unit has below it, without trailing zeros: exact, no floating point.
    unsigned width = 0;
    for (std::uint64_t scale = unit.ps; scale > 1; scale /= 10) ++width;
    std::string decimals = fmt::format("{:0{}}", rest, width);
    decimals.erase(decimals.find_last_not_of('0') + 1);
    return fmt::format("{}.{}{}", time.ps / unit.ps, decimals, unit.name);
  }
  return "0ns";
}

}  // namespace secmmu
