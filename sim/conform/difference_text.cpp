#include "sim/conform/difference_text.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace secmmu::conform {
namespace {

std::string quoted(const std::string& line) { return line.empty() ? "nothing" : "'" + line + "'"; }

}  // namespace

std::string verdict_line(const Recording& recording, const Comparison& comparison,
                         const std::vector<std::string>& remarks) {
  std::string text = recording.path;
  if (comparison.identical()) {
    text += remarks.empty() ? ": identical" : ": every line is identical";
  } else {
    const Difference& first = comparison.differences.front();
    const Operation& operation = recording.blocks[first.block].operation;
    text += fmt::format(":{}: {}{}: recorded {}, played {}", first.row.line, operation.setup ? "setup " : "> ",
                        operation.text, quoted(first.row.recorded), quoted(first.row.played));
    if (comparison.differences.size() > 1) text += fmt::format(" ({} more)", comparison.differences.size() - 1);
  }
  for (const std::string& remark : remarks) text += "; but " + remark;
  return text + "\n";
}

std::string two_kernels_line(const Recording& recording, const Comparison& comparison, const std::string& left,
                             const std::string& right) {
  if (comparison.identical()) return fmt::format("{}: identical\n", recording.path);
  const Difference& first = comparison.differences.front();
  const std::string more =
      comparison.differences.size() > 1 ? fmt::format(" ({} more)", comparison.differences.size() - 1) : "";
  return fmt::format("{}: {}: {} tells {}, {} tells {}{}\n", recording.path,
                     recording.blocks[first.block].operation.text, left, quoted(first.row.recorded), right,
                     quoted(first.row.played), more);
}

std::string side_by_side(const Recording& recording, const Comparison& comparison) {
  std::string text;
  std::size_t block = SIZE_MAX;
  for (const Difference& difference : comparison.differences) {
    if (difference.block == block) continue;
    block = difference.block;
    const Operation& operation = recording.blocks[block].operation;
    const std::vector<Row>& rows = comparison.rows[block];
    std::size_t width = 8;
    for (const Row& row : rows) width = std::max(width, row.recorded.size());
    const std::string place = operation.mark.line == 0 ? "" : fmt::format("{}: ", operation.mark.line);
    text += fmt::format("  {}{}{}\n", place, operation.setup ? "setup " : "> ", operation.text);
    for (const Row& row : rows) {
      const char mark = row.equal() ? ' ' : row.recorded.empty() ? '>' : row.played.empty() ? '<' : '|';
      const std::string line = fmt::format("    {:{}} {} {}", row.recorded, width, mark, row.played);
      text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
    }
  }
  return text;
}

std::string table_of(const KindCounts& counts) {
  std::string text = fmt::format("{:30} {:>9} {:>9} {:>8}\n", "", "as told", "recorded", "surplus");
  for (const LineKind kind : kLineKinds) {
    const KindCount& count = counts[static_cast<std::size_t>(kind)];
    text += fmt::format("{:30} {:>9} {:>9} {:>8}\n", name_of(kind), count.matching, count.recorded, count.surplus);
  }
  return text;
}

}  // namespace secmmu::conform
