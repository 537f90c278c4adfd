#include "sim/conform/recording.hpp"

namespace secmmu::conform {

std::string_view name_of(LineKind kind) {
  switch (kind) {
    case LineKind::result:
      return "results";
    case LineKind::value:
      return "values";
    case LineKind::device:
      return "device accesses";
    case LineKind::range:
      return "start, end, interval, release";
    case LineKind::ageing:
      return "ageing and change_pte";
    case LineKind::invalidate_range:
      return "invalidate_range";
    case LineKind::remark:
      return "remarks";
  }
  return "?";
}

LineKind kind_of(std::string_view line) {
  const std::string_view word = line.substr(0, line.find(' '));
  if (word == "v") return LineKind::value;
  if (word == "d") return LineKind::device;
  if (word == "start" || word == "end" || word == "interval" || word == "release") return LineKind::range;
  if (word == "change_pte" || word.ends_with("_young")) return LineKind::ageing;
  if (word == "invalidate_range") return LineKind::invalidate_range;
  if (word == "#" || word == "later") return LineKind::remark;
  return LineKind::result;
}

std::string to_text(const Recording& recording) {
  std::string text = "case " + recording.name + "\n";
  for (const Block& block : recording.blocks) {
    const bool is_remark = block.operation.name == "#";
    if (is_remark && block.lines.empty()) continue;
    text += (is_remark ? "" : block.operation.setup ? "setup " : "> ") + block.operation.text + "\n";
    for (const Line& line : block.lines) text += line.text + "\n";
  }
  return text;
}

}  // namespace secmmu::conform
