#include "sim/scenario/diagnostic.hpp"

#include <algorithm>
#include <cctype>

namespace secmmu {
namespace {

constexpr std::size_t kLongestWord = 64;    // nothing longer is a misspelt name
constexpr std::size_t kShownColumns = 120;  // of a source line

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return result;
}

// Insertions, deletions, replacements and swaps of neighbours.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before(b.size() + 1), last(b.size() + 1), now(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    now[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      now[j] = std::min({last[j] + 1, now[j - 1] + 1, last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) now[j] = std::min(now[j], before[j - 2] + 1);
    }
    before.swap(last);
    last.swap(now);
  }
  return last[b.size()];
}

bool continues_character(char byte) { return (static_cast<unsigned char>(byte) & 0xc0) == 0x80; }

// The byte where character `column` (from 1) of the line begins.
std::size_t byte_of(const std::string& line, unsigned column) {
  std::size_t byte = 0;
  for (unsigned seen = 1; byte < line.size() && seen < column; ++seen) {
    ++byte;
    while (byte < line.size() && continues_character(line[byte])) ++byte;
  }
  return byte;
}

}  // namespace

std::string nearest(std::string_view word, const std::vector<std::string>& candidates) {
  if (word.empty() || word.size() > kLongestWord) return "";
  const std::string wanted = lower(word);
  std::string best;
  std::size_t best_distance = 3;
  for (const std::string& candidate : candidates) {
    if (candidate.empty() || candidate == word) continue;
    std::size_t distance = edit_distance(wanted, lower(candidate));
    if (distance >= std::min(wanted.size(), candidate.size())) distance = 3;  // nothing of the word would be left
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  if (!best.empty() || wanted.size() < 2) return best;
  for (const std::string& candidate : candidates)
    if (candidate != word && candidate.size() > 1 && (candidate.starts_with(wanted) || wanted.starts_with(candidate)))
      return candidate;
  return "";
}

std::string to_text(const Diagnostic& diagnostic) {
  const Mark mark = diagnostic.mark;
  std::string text = diagnostic.file;
  if (mark.line > 0) text += ":" + std::to_string(mark.line) + ":" + std::to_string(mark.column);
  text += ": error: ";
  if (!diagnostic.path.empty()) text += diagnostic.path + ": ";
  text += diagnostic.message + "\n";
  if (mark.line == 0 || diagnostic.source_line.empty()) return text;

  std::string line = diagnostic.source_line;
  std::size_t at = byte_of(line, mark.column);
  if (line.size() > kShownColumns) {  // a window around the place
    std::size_t from = at > kShownColumns / 2 ? at - kShownColumns / 2 : 0;
    while (from > 0 && continues_character(line[from])) --from;
    std::size_t end = std::min(line.size(), from + kShownColumns);
    while (end < line.size() && continues_character(line[end])) ++end;
    const std::string left = from > 0 ? "..." : "";
    const std::string right = end < line.size() ? "..." : "";
    line = left + line.substr(from, end - from) + right;
    at = at - from + left.size();
  }
  std::string caret;
  for (std::size_t i = 0; i < at && i < line.size(); ++i)
    if (!continues_character(line[i])) caret += line[i] == '\t' ? '\t' : ' ';
  return text + "    " + line + "\n    " + caret + "^\n";
}

namespace language {

std::string one_of(const std::vector<std::string>& words) {
  std::string text;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i > 0) text += i + 1 == words.size() ? " or " : ", ";
    text += words[i];
  }
  return text;
}

Diagnostics::Diagnostics(std::string file, std::string_view text, std::vector<std::string> sets)
    : file_(std::move(file)), sets_(std::move(sets)) {
  for (std::size_t start = 0; start <= text.size();) {
    const std::size_t end = std::min(text.find('\n', start), text.size());
    std::string_view line = text.substr(start, end - start);
    if (line.ends_with('\r')) line.remove_suffix(1);
    lines_.emplace_back(line);
    start = end + 1;
  }
}

void Diagnostics::add(Mark mark, std::string path, std::string wrong, std::string expected, std::string suggestion) {
  Diagnostic found;
  found.file = file_;
  found.mark = mark;
  if (mark.line == 0 && mark.column > 0 && mark.column <= sets_.size())
    found.file = "--set " + sets_[mark.column - 1];
  else if (mark.line > 0 && mark.line <= lines_.size())
    found.source_line = lines_[mark.line - 1];
  found.path = std::move(path);
  found.message = std::move(wrong);
  if (!expected.empty()) found.message += ", expected " + expected;
  if (!suggestion.empty()) found.message += "; did you mean '" + suggestion + "'?";
  found_.push_back(std::move(found));
}

std::vector<Diagnostic> Diagnostics::sorted() const {
  std::vector<Diagnostic> result = found_;
  std::stable_sort(result.begin(), result.end(), [](const Diagnostic& a, const Diagnostic& b) {
    return a.mark.line != b.mark.line ? a.mark.line < b.mark.line : a.mark.column < b.mark.column;
  });
  const auto same = [](const Diagnostic& a, const Diagnostic& b) {
    return a.mark.line == b.mark.line && a.mark.column == b.mark.column && a.path == b.path && a.message == b.message;
  };
  result.erase(std::unique(result.begin(), result.end(), same), result.end());
  return result;
}

Mark Diagnostics::mark_at(int line, int byte_column) const {
  if (line < 0 || byte_column < 0) return {};
  const auto row = static_cast<std::size_t>(line);
  auto column = static_cast<unsigned>(byte_column);
  if (row < lines_.size()) {
    const std::string& source = lines_[row];
    const std::size_t bytes = std::min<std::size_t>(column, source.size());
    column = static_cast<unsigned>(std::count_if(source.begin(), source.begin() + static_cast<std::ptrdiff_t>(bytes),
                                                 [](char c) { return !continues_character(c); }));
  }
  return {static_cast<unsigned>(line) + 1, column + 1};
}

}  // namespace language
}  // namespace secmmu
