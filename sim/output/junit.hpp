// JUnit's XML, for the continuous integration systems that read it. Without durations or dates: equal
// runs give equal files.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace secmmu {

struct JunitResult {
  // failed: an expectation or the oracle; error: the simulator could not tell, as after a crash.
  enum class Outcome : std::uint8_t { passed, failed, error, skipped };

  std::string suite;  // the scenario's file
  std::string name;   // kernel, or kernel/seed
  Outcome outcome = Outcome::passed;
  std::string message;  // one line; for all but passed
  std::string text;     // the whole report
};

// Suites in the order in which they first appear, cases in the given order.
std::string junit_xml(std::span<const JunitResult> results);

// Text for XML 1.0, as content or attribute. Bytes that it cannot hold (control characters, broken UTF-8)
// appear as \x1b.
std::string xml_escaped(std::string_view text);

}  // namespace secmmu
