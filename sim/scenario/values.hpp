// How the language writes numbers, sizes, times and page ranges, in both directions. YAML readers
// disagree on all of them (underscores, leading zeros, 12:30), so every scalar stays text until it
// comes here.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sim/scenario/scenario.hpp"

namespace secmmu::language {

// A value, or what is wrong with its text and what would be right.
template <class T>
struct Parsed {
  std::optional<T> value;
  std::string wrong;
  std::string expected;
  std::string suggestion;
};

struct Pages {
  std::uint64_t first = 0;
  std::uint64_t end = 0;
};

Parsed<std::uint64_t> parse_number(std::string_view text);      // 12, 1_000, 0x7f00_0000
Parsed<std::uint64_t> parse_size(std::string_view text);        // a number, or one with KiB, MiB, GiB
Parsed<std::uint64_t> parse_hundredths(std::string_view text);  // 1.25 is 125
Parsed<Time> parse_duration(std::string_view text);             // 5us, 1.5ns
Parsed<Pages> parse_pages(std::string_view text);               // 0..4 half open, 3 is 3..4

std::string print_size(std::uint64_t bytes);
std::string print_hundredths(std::uint64_t hundredths);
std::string print_duration(Time time);  // in the largest unit without decimals
std::string print_pages(std::uint64_t first, std::uint64_t end);
std::string print_address(VirtAddr address);

// Words of enumerations, in the order of the enumeration.
const std::vector<std::string>& protection_words();
const std::vector<std::string>& backing_words();
const std::vector<std::string>& pattern_words();
const std::vector<std::string>& lock_kind_words();
const std::vector<std::string>& result_words();
const std::vector<std::string>& duration_units();

// Regular expressions of the same forms, for the schema.
inline constexpr std::string_view kNumberPattern = "^(0|[1-9][0-9]*(_[0-9]+)*|0x[0-9a-fA-F]+(_[0-9a-fA-F]+)*)$";
inline constexpr std::string_view kSizePattern =
    "^(0|[1-9][0-9]*(_[0-9]+)*|0x[0-9a-fA-F]+(_[0-9a-fA-F]+)*)(KiB|MiB|GiB)?$";
inline constexpr std::string_view kDurationPattern = "^(0|[1-9][0-9]*(_[0-9]+)*)(\\.[0-9]+)?(ps|ns|us|ms|s)$";
inline constexpr std::string_view kPagesPattern = "^[0-9][0-9_]*\\.\\.[1-9][0-9_]*$";
inline constexpr std::string_view kNamePattern = "^[a-z][a-z0-9_]*$";
inline constexpr std::string_view kScenarioNamePattern = "^[a-z0-9][a-z0-9-]*$";
inline constexpr std::string_view kStepPattern = "^[a-z][a-z0-9_]*\\.[a-z][a-z0-9_]*$";

bool is_name(std::string_view text);           // kNamePattern
bool is_scenario_name(std::string_view text);  // kScenarioNamePattern

}  // namespace secmmu::language
