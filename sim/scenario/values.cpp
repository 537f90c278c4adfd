#include "sim/scenario/values.hpp"

#include <algorithm>
#include <array>
#include <cstdio>

namespace secmmu::language {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};
constexpr std::array<Unit, 5> kTimeUnits = {
    {{"s", 1'000'000'000'000}, {"ms", 1'000'000'000}, {"us", 1'000'000}, {"ns", 1'000}, {"ps", 1}}};
constexpr std::array<Unit, 3> kSizeUnits = {{{"GiB", 1ULL << 30}, {"MiB", 1ULL << 20}, {"KiB", 1ULL << 10}}};

constexpr std::string_view kNumberForm = "a number such as 12, 1_000 or 0x7f00_0000";
constexpr std::string_view kSizeForm = "a size such as 4096, 4KiB, 2MiB or 1GiB";
constexpr std::string_view kDurationForm = "a time with its unit such as 100us (ps, ns, us, ms, s)";
constexpr std::string_view kPagesForm = "pages such as 0..4 (0 to 3) or 2";
constexpr std::string_view kHundredthsForm = "a number with at most two decimals such as 0.99";

bool digit(char c) { return c >= '0' && c <= '9'; }
int hex_digit(char c) {
  if (digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string quoted(std::string_view text) {
  constexpr std::size_t kShown = 40;
  if (text.size() <= kShown) return "'" + std::string(text) + "'";
  std::size_t end = kShown;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return "'" + std::string(text.substr(0, end)) + "...'";
}

template <class T>
Parsed<T> refuse(std::string wrong, std::string_view expected, std::string suggestion = "") {
  return {std::nullopt, std::move(wrong), std::string(expected), std::move(suggestion)};
}

std::optional<std::uint64_t> times(std::uint64_t value, std::uint64_t factor) {
  std::uint64_t product = 0;
  if (__builtin_mul_overflow(value, factor, &product)) return std::nullopt;
  return product;
}

std::string_view leading(std::string_view text, bool (*belongs)(char)) {
  return text.substr(0, static_cast<std::size_t>(std::find_if_not(text.begin(), text.end(), belongs) - text.begin()));
}

}  // namespace

Parsed<std::uint64_t> parse_number(std::string_view text) {
  const auto wrong = [&](const std::string& what, const std::string& suggestion = "") {
    return refuse<std::uint64_t>(quoted(text) + what, kNumberForm, suggestion);
  };
  std::string_view digits = text;
  const bool hex = digits.starts_with("0x") || digits.starts_with("0X");
  if (hex) digits.remove_prefix(2);
  if (text.starts_with('-') || text.starts_with('+')) return wrong(" has a sign");
  const std::uint64_t base = hex ? 16 : 10;
  std::uint64_t value = 0;
  bool after_digit = false;
  for (const char c : digits) {
    if (c == '_' && after_digit) {
      after_digit = false;
      continue;
    }
    const int next = hex_digit(c);
    if (next < 0 || static_cast<std::uint64_t>(next) >= base)
      return wrong(c == '_' ? " has an underscore that is not between two digits" : " is no number");
    if (__builtin_mul_overflow(value, base, &value) ||
        __builtin_add_overflow(value, static_cast<std::uint64_t>(next), &value))
      return wrong(" does not fit into 64 bits");
    after_digit = true;
  }
  if (!after_digit)
    return wrong(digits.ends_with('_') ? " has an underscore that is not between two digits" : " is no number");
  if (!hex && digits.size() > 1 && digits[0] == '0')
    return wrong(" begins with a zero (some readers take that for octal)", std::to_string(value));
  return {value, "", "", ""};
}

Parsed<std::uint64_t> parse_size(std::string_view text) {
  for (const Unit& unit : kSizeUnits) {
    if (!text.ends_with(unit.name)) continue;
    const Parsed<std::uint64_t> count = parse_number(text.substr(0, text.size() - unit.name.size()));
    if (!count.value) return refuse<std::uint64_t>(quoted(text) + " is no size", kSizeForm);
    if (const auto bytes = times(*count.value, unit.factor)) return {*bytes, "", "", ""};
    return refuse<std::uint64_t>(quoted(text) + " does not fit into 64 bits", kSizeForm);
  }
  Parsed<std::uint64_t> bytes = parse_number(text);
  if (bytes.value) return bytes;
  const std::string_view count = leading(text, digit);
  const std::string_view unit = text.substr(count.size());
  std::string suggestion;
  if (!count.empty() && !unit.empty() && unit.size() <= 3 &&
      (unit.back() == 'B' || unit.back() == 'b' || unit.size() == 1))
    for (const Unit& known : kSizeUnits)
      if ((unit[0] & ~0x20) == known.name[0]) suggestion = std::string(count) + std::string(known.name);
  return refuse<std::uint64_t>(quoted(text) + " is no size", kSizeForm, suggestion);
}

Parsed<std::uint64_t> parse_hundredths(std::string_view text) {
  const std::size_t point = text.find('.');
  const std::string_view decimals = point == std::string_view::npos ? "" : text.substr(point + 1);
  const Parsed<std::uint64_t> whole = parse_number(text.substr(0, point));
  const bool decimal = leading(text, [](char c) { return digit(c) || c == '.'; }) == text;
  if (!whole.value || !decimal || decimals.size() > 2 || leading(decimals, digit) != decimals ||
      (point != std::string_view::npos && decimals.empty()) || *whole.value > UINT32_MAX)
    return refuse<std::uint64_t>(quoted(text) + " is no such number", kHundredthsForm);
  std::uint64_t value = *whole.value * 100;
  for (std::size_t i = 0; i < decimals.size(); ++i)
    value += static_cast<std::uint64_t>(decimals[i] - '0') * (i == 0 ? 10 : 1);
  return {value, "", "", ""};
}

Parsed<Time> parse_duration(std::string_view text) {
  const std::string_view number = leading(text, [](char c) { return digit(c) || c == '_' || c == '.'; });
  const std::string_view unit_name = text.substr(number.size());
  if (!number.empty() && unit_name.empty())
    return refuse<Time>(quoted(text) + " has no unit", kDurationForm, std::string(text) + "us");
  const auto* unit =
      std::find_if(kTimeUnits.begin(), kTimeUnits.end(), [&](const Unit& u) { return u.name == unit_name; });
  const std::size_t point = number.find('.');
  const Parsed<std::uint64_t> whole = parse_number(number.substr(0, point));
  if (number.empty() || unit == kTimeUnits.end() || !whole.value)
    return refuse<Time>(quoted(text) + " is no time", kDurationForm);

  const auto too_long = [&] {
    return refuse<Time>(quoted(text) + " does not fit into 64 bits of picoseconds", "at most 213 days");
  };
  auto ps = times(*whole.value, unit->factor);
  if (!ps) return too_long();
  if (point != std::string_view::npos) {
    std::string_view decimals = number.substr(point + 1);
    if (decimals.empty() || leading(decimals, digit) != decimals)
      return refuse<Time>(quoted(text) + " is no time", kDurationForm);
    while (decimals.ends_with('0')) decimals.remove_suffix(1);
    std::uint64_t worth = unit->factor;
    for (const char c : decimals) {
      if (worth % 10 != 0)
        return refuse<Time>(quoted(text) + " is not a whole number of picoseconds", "fewer decimals");
      worth /= 10;
      if (__builtin_add_overflow(*ps, static_cast<std::uint64_t>(c - '0') * worth, &*ps)) return too_long();
    }
  }
  return {Time{*ps}, "", "", ""};
}

Parsed<Pages> parse_pages(std::string_view text) {
  const std::size_t dots = text.find("..");
  if (dots == std::string_view::npos) {
    const Parsed<std::uint64_t> page = parse_number(text);
    if (!page.value || *page.value == UINT64_MAX)
      return refuse<Pages>(quoted(text) + " is no range of pages", kPagesForm);
    return {Pages{*page.value, *page.value + 1}, "", "", ""};
  }
  const Parsed<std::uint64_t> first = parse_number(text.substr(0, dots));
  const Parsed<std::uint64_t> end = parse_number(text.substr(dots + 2));
  if (!first.value || !end.value) return refuse<Pages>(quoted(text) + " is no range of pages", kPagesForm);
  if (*first.value >= *end.value)
    return refuse<Pages>(quoted(text) + " holds no page (the end is not part of it)", "an end above the start",
                         *first.value == *end.value ? std::to_string(*first.value) : "");
  return {Pages{*first.value, *end.value}, "", "", ""};
}

std::string print_size(std::uint64_t bytes) {
  for (const Unit& unit : kSizeUnits)
    if (bytes != 0 && bytes % unit.factor == 0) return std::to_string(bytes / unit.factor) + std::string(unit.name);
  return std::to_string(bytes);
}

std::string print_hundredths(std::uint64_t hundredths) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%llu.%02llu", static_cast<unsigned long long>(hundredths / 100),
                static_cast<unsigned long long>(hundredths % 100));
  return text.data();
}

std::string print_duration(Time time) {
  for (const Unit& unit : kTimeUnits)
    if (time.ps != 0 && time.ps % unit.factor == 0)
      return std::to_string(time.ps / unit.factor) + std::string(unit.name);
  return "0ps";
}

std::string print_pages(std::uint64_t first, std::uint64_t end) {
  return end == first + 1 ? std::to_string(first) : std::to_string(first) + ".." + std::to_string(end);
}

std::string print_address(VirtAddr address) {
  std::array<char, 24> text{};
  std::snprintf(text.data(), text.size(), "0x%llx", static_cast<unsigned long long>(address.value));
  return text.data();
}

const std::vector<std::string>& protection_words() {
  static const std::vector<std::string> words = {"none", "r", "rw", "rx", "rwx"};
  return words;
}
const std::vector<std::string>& backing_words() {
  static const std::vector<std::string> words = {"anon", "shared", "file", "memfd_private", "file_private"};
  return words;
}
const std::vector<std::string>& pattern_words() {
  static const std::vector<std::string> words = {"stride", "random", "zipf", "chase"};
  return words;
}
const std::vector<std::string>& lock_kind_words() {
  static const std::vector<std::string> words = {"mutex", "spinlock"};
  return words;
}
const std::vector<std::string>& result_words() {
  static const std::vector<std::string> words = {
      "ok",    "ok-or-fault", "SIGSEGV", "SIGBUS",    "EFAULT", "ENOMEM", "EAGAIN", "EINVAL", "EEXIST", "EBUSY",
      "EPERM", "EACCES",      "EINTR",   "EOVERFLOW", "ENODEV", "ESRCH",  "ENOENT", "ENOSPC", "EIO",
      "EBADF", "ENOSYS"};
  return words;
}
const std::vector<std::string>& duration_units() {
  static const std::vector<std::string> words = {"ps", "ns", "us", "ms", "s"};
  return words;
}

bool is_name(std::string_view text) {
  return !text.empty() && text[0] >= 'a' && text[0] <= 'z' &&
         std::all_of(text.begin(), text.end(), [](char c) { return (c >= 'a' && c <= 'z') || digit(c) || c == '_'; });
}

bool is_scenario_name(std::string_view text) {
  return !text.empty() && text[0] != '-' &&
         std::all_of(text.begin(), text.end(), [](char c) { return (c >= 'a' && c <= 'z') || digit(c) || c == '-'; });
}

}  // namespace secmmu::language
