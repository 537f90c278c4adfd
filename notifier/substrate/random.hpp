// Our own generator, so that a seed means the same run on every machine and library: xoshiro256**,
// seeded by splitmix64. One stream per user of randomness, derived by name, so that a draw added in one
// place shifts no other stream.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace secmmu {

class RandomStream {
 public:
  RandomStream() : RandomStream(0, "") {}
  RandomStream(std::uint64_t seed, std::string_view name);

  std::uint64_t next();
  // Uniform in [0, bound). bound > 0. Without modulo bias.
  std::uint64_t below(std::uint64_t bound);

 private:
  std::array<std::uint64_t, 4> state_{};
};

}  // namespace secmmu
