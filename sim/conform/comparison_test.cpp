#include "sim/conform/comparison.hpp"

#include <doctest/doctest.h>

#include "sim/conform/difference_text.hpp"
#include "sim/conform/reader.hpp"

namespace secmmu::conform {
namespace {

Recording recording() {
  const ReadRecording read = read_recording(
      "case two\n"
      "setup anon a 4\n"
      "> watch a\n"
      "= ok\n"
      "> munmap a 0 4\n"
      "= ok\n"
      "start UNMAP 0 4 blockable pte=rw\n"
      "invalidate_range 0 4\n"
      "end UNMAP 0 4 pte=none\n"
      "invalidate_range 0 4\n",
      "two.txt");
  REQUIRE(read.recording.has_value());
  return *read.recording;
}
std::vector<std::vector<Line>> lines_of(const Recording& recorded) {
  std::vector<std::vector<Line>> lines;
  for (const Block& block : recorded.blocks) lines.push_back(block.lines);
  return lines;
}
const KindCount& of(const Comparison& comparison, LineKind kind) {
  return comparison.counts[static_cast<std::size_t>(kind)];
}

}  // namespace

TEST_CASE("the same lines are identical") {
  const Recording recorded = recording();
  const Comparison comparison = compare(recorded, lines_of(recorded));
  CHECK(comparison.identical());
  CHECK(of(comparison, LineKind::invalidate_range).matching == 2);
  CHECK(of(comparison, LineKind::invalidate_range).recorded == 2);
  CHECK(verdict_line(recorded, comparison, {}) == "two.txt: identical\n");
  CHECK(verdict_line(recorded, comparison, {"x"}) == "two.txt: every line is identical; but x\n");
}

TEST_CASE("a changed, a missing and a surplus line are told with their operation and line") {
  const Recording recorded = recording();
  auto played = lines_of(recorded);
  played[2][1].text = "start UNMAP 0 4 blockable pte=ro";
  Comparison comparison = compare(recorded, played);
  CHECK(verdict_line(recorded, comparison, {}) ==
        "two.txt:7: > munmap a 0 4: recorded 'start UNMAP 0 4 blockable pte=rw', played 'start UNMAP 0 4 blockable "
        "pte=ro'\n");
  CHECK(of(comparison, LineKind::range).matching == 1);
  CHECK(of(comparison, LineKind::range).recorded == 2);
  CHECK(of(comparison, LineKind::range).surplus == 1);
  CHECK(side_by_side(recorded, comparison) ==
        "  5: > munmap a 0 4\n"
        "    = ok                               = ok\n"
        "    start UNMAP 0 4 blockable pte=rw | start UNMAP 0 4 blockable pte=ro\n"
        "    invalidate_range 0 4               invalidate_range 0 4\n"
        "    end UNMAP 0 4 pte=none             end UNMAP 0 4 pte=none\n"
        "    invalidate_range 0 4               invalidate_range 0 4\n");

  played = lines_of(recorded);
  played[2].erase(played[2].begin() + 2);
  comparison = compare(recorded, played);
  CHECK(verdict_line(recorded, comparison, {}) ==
        "two.txt:8: > munmap a 0 4: recorded 'invalidate_range 0 4', played nothing\n");
  REQUIRE(comparison.differences.size() == 1);

  played = lines_of(recorded);
  played[2].push_back({"release"});
  played[2].insert(played[2].begin() + 2, Line{"invalidate_range 1 2 ATOMIC"});
  comparison = compare(recorded, played);
  CHECK(verdict_line(recorded, comparison, {}) ==
        "two.txt:7: > munmap a 0 4: recorded nothing, played 'invalidate_range 1 2 ATOMIC' (1 more)\n");
  CHECK(comparison.differences.back().row.line == 10);
}

TEST_CASE("what was never played is missing, and a set-up that goes wrong is a difference") {
  const Recording recorded = recording();
  const Comparison comparison = compare(recorded, {{{"= not modelled"}}, {{"= ok"}}});
  REQUIRE(comparison.differences.size() == 6);
  CHECK(verdict_line(recorded, comparison, {}) ==
        "two.txt:2: setup anon a 4: recorded nothing, played '= not modelled' (5 more)\n");
  CHECK(of(comparison, LineKind::result).recorded == 2);
  CHECK(of(comparison, LineKind::result).matching == 1);
}

}  // namespace secmmu::conform
