#include "sim/conform/comparison.hpp"

#include <algorithm>

namespace secmmu::conform {
namespace {

// Which lines of two lists are paired so that as many as possible are equal: the lengths of the longest common
// subsequences of all pairs of ends.
class Alignment {
 public:
  Alignment(const std::vector<Line>& left, const std::vector<Line>& right)
      : columns_(right.size() + 1), lengths_((left.size() + 1) * columns_) {
    for (std::size_t i = left.size(); i-- > 0;)
      for (std::size_t j = right.size(); j-- > 0;)
        at(i, j) = left[i].text == right[j].text ? at(i + 1, j + 1) + 1 : std::max(at(i + 1, j), at(i, j + 1));
  }
  std::uint32_t& at(std::size_t i, std::size_t j) { return lengths_[i * columns_ + j]; }

 private:
  std::size_t columns_;
  std::vector<std::uint32_t> lengths_;
};

// `line`: of the operation itself.
std::vector<Row> rows_of(const std::vector<Line>& left, const std::vector<Line>& right, unsigned line) {
  std::vector<Row> rows;
  std::size_t i = 0, j = 0;
  const auto add_equal = [&] {
    line = left[i].number;
    rows.push_back({left[i].text, right[j].text, line});
    ++i, ++j;
  };
  while (i < left.size() && j < right.size() && left[i].text == right[j].text) add_equal();
  if (i == left.size() && j == right.size()) return rows;
  // What the two have in common at their ends needs no table.
  std::size_t tail = 0;
  while (left.size() - tail > i && right.size() - tail > j &&
         left[left.size() - tail - 1].text == right[right.size() - tail - 1].text)
    ++tail;
  const std::vector<Line> a(left.begin() + static_cast<std::ptrdiff_t>(i),
                            left.end() - static_cast<std::ptrdiff_t>(tail));
  const std::vector<Line> b(right.begin() + static_cast<std::ptrdiff_t>(j),
                            right.end() - static_cast<std::ptrdiff_t>(tail));
  Alignment alignment(a, b);
  std::size_t p = 0, q = 0;
  std::vector<Line> only_left, only_right;  // since the last equal pair
  const auto flush = [&] {
    for (std::size_t k = 0; k < std::max(only_left.size(), only_right.size()); ++k) {
      Row row;
      if (k < only_left.size()) row.recorded = only_left[k].text, line = only_left[k].number;
      if (k < only_right.size()) row.played = only_right[k].text;
      row.line = line;
      rows.push_back(std::move(row));
    }
    only_left.clear();
    only_right.clear();
  };
  while (p < a.size() || q < b.size()) {
    if (p < a.size() && q < b.size() && a[p].text == b[q].text) {
      flush();
      line = a[p].number;
      rows.push_back({a[p].text, b[q].text, line});
      ++p, ++q;
    } else if (q == b.size() || (p < a.size() && alignment.at(p + 1, q) >= alignment.at(p, q + 1))) {
      only_left.push_back(a[p++]);
    } else {
      only_right.push_back(b[q++]);
    }
  }
  flush();
  i = left.size() - tail;
  j = right.size() - tail;
  while (i < left.size()) add_equal();
  return rows;
}

}  // namespace

Comparison compare(const Recording& recorded, const std::vector<std::vector<Line>>& played) {
  Comparison result;
  static const std::vector<Line> kNothing;
  for (std::size_t block = 0; block < recorded.blocks.size(); ++block) {
    const Block& one = recorded.blocks[block];
    result.rows.push_back(
        rows_of(one.lines, block < played.size() ? played[block] : kNothing, one.operation.mark.line));
    for (const Row& row : result.rows.back()) {
      if (!row.recorded.empty()) {
        KindCount& count = result.counts[static_cast<std::size_t>(kind_of(row.recorded))];
        ++count.recorded;
        if (row.equal()) ++count.matching;
      }
      if (row.equal()) continue;
      if (!row.played.empty()) ++result.counts[static_cast<std::size_t>(kind_of(row.played))].surplus;
      result.differences.push_back({block, row});
    }
  }
  return result;
}

}  // namespace secmmu::conform
