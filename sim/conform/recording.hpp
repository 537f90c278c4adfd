// A recording: what a kernel told a secondary MMU, operation by operation. Read from a file, or made by a run.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "sim/conform/operation.hpp"
#include "sim/scenario/scenario.hpp"

namespace secmmu::conform {

// The kinds of line that are compared, in the order of the tables that count them.
enum class LineKind { result, value, device, range, ageing, invalidate_range, remark };
inline constexpr LineKind kLineKinds[] = {LineKind::result, LineKind::value,  LineKind::device,
                                          LineKind::range,  LineKind::ageing, LineKind::invalidate_range,
                                          LineKind::remark};
std::string_view name_of(LineKind kind);
LineKind kind_of(std::string_view line);

struct Line {
  std::string text;
  unsigned number = 0;  // in the file; 0: of no file
};

// An operation and what came of it: the result first, then the values, then the events in their order.
struct Block {
  Operation operation;
  std::vector<Line> lines;
};

struct Recording {
  std::string path;
  std::string name;
  std::vector<Block> blocks;
};

// As a file: read again it is the same. A step that has no name there ("#") is a remark, if it has lines.
std::string to_text(const Recording& recording);

}  // namespace secmmu::conform
