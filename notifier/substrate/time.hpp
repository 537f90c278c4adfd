// Modelled time: a count of picoseconds since the start of the run. Integer on purpose: nothing that
// decides the order of a run may use floating point. Range: 0 to about 213 days.
#pragma once

#include <compare>
#include <cstdint>
#include <string>

namespace secmmu {

struct Time {
  std::uint64_t ps = 0;

  constexpr auto operator<=>(const Time&) const = default;
  constexpr Time operator+(Time other) const { return {ps + other.ps}; }
  constexpr Time operator-(Time other) const { return {ps - other.ps}; }
  constexpr Time operator*(std::uint64_t factor) const { return {ps * factor}; }
  constexpr Time& operator+=(Time other) {
    ps += other.ps;
    return *this;
  }
};

inline constexpr Time kForever{UINT64_MAX};

namespace literals {
constexpr Time operator""_ps(unsigned long long n) { return {n}; }
constexpr Time operator""_ns(unsigned long long n) { return {n * 1'000}; }
constexpr Time operator""_us(unsigned long long n) { return {n * 1'000'000}; }
constexpr Time operator""_ms(unsigned long long n) { return {n * 1'000'000'000}; }
}  // namespace literals

// "1.25us": the largest unit in which the value is at least one, with as many decimals as it needs.
std::string to_text(Time time);

}  // namespace secmmu
