// Compares what was recorded with what was played, line by line, operation by operation.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "sim/conform/recording.hpp"

namespace secmmu::conform {

// One row of two columns. Equal, different, or only in one of them (the other is empty).
struct Row {
  std::string recorded;
  std::string played;
  unsigned line = 0;  // of the recording's file: of the recorded line, or of the one after which the played one comes
  bool equal() const { return recorded == played; }
};

struct Difference {
  std::size_t block = 0;
  Row row;
};

struct KindCount {
  std::uint64_t matching = 0;
  std::uint64_t recorded = 0;  // lines of the recording
  std::uint64_t surplus = 0;   // lines of the run that are not in it
  void add(const KindCount& other) {
    matching += other.matching;
    recorded += other.recorded;
    surplus += other.surplus;
  }
};
using KindCounts = std::array<KindCount, std::size(kLineKinds)>;

struct Comparison {
  std::vector<std::vector<Row>> rows;  // of each block
  std::vector<Difference> differences;
  KindCounts counts;
  bool identical() const { return differences.empty(); }
};

// `played` has the lines of each block of `recorded`; a block that was never played has none.
Comparison compare(const Recording& recorded, const std::vector<std::vector<Line>>& played);

}  // namespace secmmu::conform
