// What came of a set of recordings, for a file: JSON for programs, an HTML page for people.
#pragma once

#include <string>
#include <vector>

#include "sim/conform/comparison.hpp"

namespace secmmu::conform {

struct ReportedRecording {
  Recording recording;
  Comparison comparison;
  std::vector<std::string> remarks;
  std::string fault;
  bool identical() const { return fault.empty() && remarks.empty() && comparison.identical(); }
};

struct Report {
  std::string kernel;
  std::vector<ReportedRecording> recordings;
  std::size_t identical() const;
  KindCounts counts() const;
};

std::string report_json(const Report& report);
// One file without any other: it may be sent around.
std::string report_html(const Report& report);

}  // namespace secmmu::conform
