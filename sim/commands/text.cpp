#include "sim/commands/text.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace secmmu {

std::string paragraph(std::string_view text, std::size_t indent) {
  constexpr std::size_t kWidth = 100;
  const std::size_t room = kWidth - std::min(indent, kWidth / 2);
  std::string result;
  for (;;) {
    std::string_view line = text;
    if (line.size() > room) {
      const std::size_t blank = line.rfind(' ', room);
      line = line.substr(0, blank == std::string_view::npos || blank == 0 ? line.find(' ') : blank);
    }
    result += std::string(indent, ' ') + std::string(line) + "\n";
    if (line.size() == text.size()) return result;
    text.remove_prefix(line.size() + 1);
  }
}

void print_rows(const std::vector<NamedSentence>& rows, std::string_view prefix) {
  std::size_t width = 0;
  for (const NamedSentence& row : rows) width = std::max(width, prefix.size() + row.name.size());
  for (const NamedSentence& row : rows) {
    std::string text = paragraph(row.sentence, width + 2);
    const std::string name = std::string(prefix) + row.name;
    text.replace(0, name.size(), name);
    fmt::print("{}", text);
  }
}

}  // namespace secmmu
