#include "sim/output/junit.hpp"

#include <algorithm>
#include <vector>

namespace secmmu {
namespace {

using Outcome = JunitResult::Outcome;

// The length of the character at the start of `text`, or 0 if XML has no such character.
std::size_t legal_character(std::string_view text) {
  const auto byte = [&](std::size_t index) { return static_cast<unsigned char>(text[index]); };
  const unsigned first = byte(0);
  if (first < 0x80) return (first >= 0x20 && first != 0x7f) || first == '\t' || first == '\n' ? 1 : 0;
  const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < length) return 0;
  std::uint32_t point = first & (0xffU >> (length + 1));
  for (std::size_t index = 1; index < length; ++index) {
    if ((byte(index) & 0xc0U) != 0x80) return 0;
    point = point << 6 | (byte(index) & 0x3fU);
  }
  constexpr std::uint32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = point >= 0xd800 && point <= 0xdfff;
  const bool control = point < 0xa0;  // legal in XML, but no reader shows it
  const bool legal =
      point >= kSmallest[length] && point <= 0x10ffff && !surrogate && !control && point != 0xfffe && point != 0xffff;
  return legal ? length : 0;
}

std::size_t count(std::span<const JunitResult* const> cases, Outcome outcome) {
  return static_cast<std::size_t>(
      std::count_if(cases.begin(), cases.end(), [&](const JunitResult* one) { return one->outcome == outcome; }));
}

std::string totals(std::span<const JunitResult* const> cases) {
  return " tests=\"" + std::to_string(cases.size()) + "\" failures=\"" + std::to_string(count(cases, Outcome::failed)) +
         "\" errors=\"" + std::to_string(count(cases, Outcome::error)) + "\" skipped=\"" +
         std::to_string(count(cases, Outcome::skipped)) + "\"";
}

void append_case(std::string& xml, const JunitResult& result) {
  xml += "    <testcase classname=\"" + xml_escaped(result.suite) + "\" name=\"" + xml_escaped(result.name) + "\"";
  if (result.outcome == Outcome::passed) {
    xml += "/>\n";
    return;
  }
  const char* element = result.outcome == Outcome::failed  ? "failure"
                        : result.outcome == Outcome::error ? "error"
                                                           : "skipped";
  xml += ">\n      <" + std::string(element) + " message=\"" + xml_escaped(result.message) + "\"";
  if (result.text.empty())
    xml += "/>\n";
  else
    xml += ">" + xml_escaped(result.text) + "</" + element + ">\n";
  xml += "    </testcase>\n";
}

}  // namespace

std::string xml_escaped(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    const std::size_t length = legal_character(text);
    if (length == 0) {
      const auto byte = static_cast<unsigned char>(text.front());
      result += "\\x";
      result += "0123456789abcdef"[byte / 16];
      result += "0123456789abcdef"[byte % 16];
      text.remove_prefix(1);
      continue;
    }
    switch (text.front()) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '"':
        result += "&quot;";
        break;
      case '\n':
        result += "&#10;";
        break;  // an attribute would turn it into a space
      case '\t':
        result += "&#9;";
        break;
      default:
        result += text.substr(0, length);
    }
    text.remove_prefix(length);
  }
  return result;
}

std::string junit_xml(std::span<const JunitResult> results) {
  std::vector<const JunitResult*> all;
  std::vector<std::string_view> suites;
  for (const JunitResult& result : results) {
    all.push_back(&result);
    if (std::find(suites.begin(), suites.end(), result.suite) == suites.end()) suites.push_back(result.suite);
  }
  std::string xml = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"secmmu\"" + totals(all) + ">\n";
  for (const std::string_view suite : suites) {
    std::vector<const JunitResult*> cases;
    std::copy_if(all.begin(), all.end(), std::back_inserter(cases),
                 [&](const JunitResult* result) { return result->suite == suite; });
    xml += "  <testsuite name=\"" + xml_escaped(suite) + "\"" + totals(cases) + ">\n";
    for (const JunitResult* result : cases) append_case(xml, *result);
    xml += "  </testsuite>\n";
  }
  return xml + "</testsuites>\n";
}

}  // namespace secmmu
