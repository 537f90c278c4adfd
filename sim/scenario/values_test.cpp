#include "sim/scenario/values.hpp"

#include <doctest/doctest.h>

#include "sim/scenario/document.hpp"

using namespace secmmu;
using namespace secmmu::language;

namespace {

template <class T>
std::string refusal(const Parsed<T>& parsed) {
  return parsed.value ? "accepted" : parsed.wrong;
}

}  // namespace

TEST_CASE("numbers of the language") {
  CHECK(parse_number("0").value == 0);
  CHECK(parse_number("1_000").value == 1000);
  CHECK(parse_number("0x7f00_0000_0000").value == 0x7f00'0000'0000);
  CHECK(parse_number("18446744073709551615").value == UINT64_MAX);
  CHECK(refusal(parse_number("18446744073709551616")) == "'18446744073709551616' does not fit into 64 bits");
  CHECK(refusal(parse_number("0xffffffffffffffff0")) == "'0xffffffffffffffff0' does not fit into 64 bits");
  CHECK(refusal(parse_number("010")) == "'010' begins with a zero (some readers take that for octal)");
  CHECK(parse_number("010").suggestion == "10");
  for (const char* text : {"1__0", "_1", "1_", "0x_1", "0x1_", "_"})
    CHECK(refusal(parse_number(text)).ends_with("has an underscore that is not between two digits"));
  for (const char* text : {"-1", "+1"}) CHECK(refusal(parse_number(text)).ends_with("has a sign"));
  for (const char* text : {"", "x", "0x", "1e3", "1.0", "0b11", "0o17", "12:30", "1 ", " 1", "1f", "0xg", "\xc3\xa9"})
    CHECK(refusal(parse_number(text)).ends_with("is no number"));
}

TEST_CASE("sizes of the language") {
  CHECK(parse_size("4KiB").value == 4096);
  CHECK(parse_size("2MiB").value == 2 << 20);
  CHECK(parse_size("1GiB").value == 1 << 30);
  CHECK(parse_size("0x10KiB").value == 0x4000);
  CHECK(parse_size("12").value == 12);
  CHECK(parse_size("4kb").suggestion == "4KiB");
  CHECK(parse_size("4M").suggestion == "4MiB");
  CHECK(refusal(parse_size("99999999999GiB")) == "'99999999999GiB' does not fit into 64 bits");
  for (const char* text : {"", "KiB", "4 KiB", "1.5MiB", "-1KiB"}) CHECK_FALSE(parse_size(text).value);
}

TEST_CASE("times of the language are whole picoseconds") {
  CHECK(parse_duration("5us").value == Time{5'000'000});
  CHECK(parse_duration("1.5ns").value == Time{1500});
  CHECK(parse_duration("0.001ns").value == Time{1});
  CHECK(parse_duration("1.000ps").value == Time{1});
  CHECK(parse_duration("1_000ns").value == Time{1'000'000});
  CHECK(parse_duration("0s").value == Time{0});
  CHECK(refusal(parse_duration("1.5ps")) == "'1.5ps' is not a whole number of picoseconds");
  CHECK(refusal(parse_duration("0.0001ns")) == "'0.0001ns' is not a whole number of picoseconds");
  CHECK(refusal(parse_duration("100")) == "'100' has no unit");
  CHECK(parse_duration("100").suggestion == "100us");
  CHECK(refusal(parse_duration("99999999999s")).ends_with("does not fit into 64 bits of picoseconds"));
  CHECK(refusal(parse_duration("18446744.073709551616s")).ends_with("does not fit into 64 bits of picoseconds"));
  CHECK(parse_duration("18446744.073709551615s").value == kForever);
  for (const char* text : {"", "us", ".5us", "5.us", "5 us", "5min", "1.2.3us", "1e3us", "-5us"})
    CHECK_FALSE(parse_duration(text).value);
}

TEST_CASE("page ranges of the language are half open") {
  const auto pages = parse_pages("0..4").value;
  REQUIRE(pages);
  CHECK(pages->first == 0);
  CHECK(pages->end == 4);
  CHECK(parse_pages("3").value->end == 4);
  CHECK(refusal(parse_pages("4..4")) == "'4..4' holds no page (the end is not part of it)");
  CHECK(parse_pages("4..4").suggestion == "4");
  for (const char* text : {"", "..", "0..", "..4", "0...4", "4..2", "0-3", "1..2..3", "18446744073709551615"})
    CHECK_FALSE(parse_pages(text).value);
}

TEST_CASE("hundredths keep two decimals and no float") {
  CHECK(parse_hundredths("0.99").value == 99);
  CHECK(parse_hundredths("1").value == 100);
  CHECK(parse_hundredths("1.2").value == 120);
  for (const char* text : {"", ".5", "1.", "1.234", "1.2.3", "-1", "0x1", "1e2"})
    CHECK_FALSE(parse_hundredths(text).value);
}

TEST_CASE("what is printed is read back") {
  std::uint64_t value = 1;
  for (int i = 0; i < 2000; ++i) {
    value = value * 6364136223846793005ULL + 1442695040888963407ULL;
    const std::uint64_t some = value >> (i % 64);
    CHECK(parse_size(print_size(some)).value == some);
    CHECK(parse_duration(print_duration({some})).value == Time{some});
    CHECK(parse_number(print_address({some})).value == some);
    CHECK(parse_hundredths(print_hundredths(some % 100'000)).value == some % 100'000);
    const std::uint64_t first = some % 1'000'000;
    const auto pages = parse_pages(print_pages(first, first + 1 + some % 3)).value;
    CHECK((pages && pages->first == first && pages->end == first + 1 + some % 3));
  }
}

TEST_CASE("words that YAML 1.1 reads as something else") {
  for (const char* word : {"on", "Off", "NO", "yes", "y", "N", "true", "False", "null", "~", "", "12:30", "1:02:03.5"})
    CHECK(yaml11_reads_otherwise(word));
  for (const char* word : {"one", "none", "o", "12", "a:b", "app.buf", "0..4", "v6.10", "r", "rw"})
    CHECK_FALSE(yaml11_reads_otherwise(word));
}
