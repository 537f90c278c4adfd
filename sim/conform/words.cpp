#include "sim/conform/words.hpp"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "sim/scenario/values.hpp"

namespace secmmu::conform {
namespace {

std::string shown(std::string_view word) {
  constexpr std::size_t kMost = 40;
  return fmt::format("'{}{}'", word.substr(0, kMost), word.size() > kMost ? "..." : "");
}

}  // namespace

Words::Words(std::string_view line, unsigned number, language::Diagnostics& out)
    : line_(line), number_(number), out_(out) {
  for (std::size_t at = 0; at <= line.size() && !line.empty();) {
    const std::size_t end = std::min(line.find(' ', at), line.size());
    if (end == at && !failed_)
      fail(static_cast<unsigned>(at) + 1, at == line.size() ? "a blank at the end" : "a blank too many",
           "one blank between words");
    if (end > at) words_.push_back({line.substr(at, end - at), static_cast<unsigned>(at) + 1});
    at = end + 1;
  }
}

void Words::fail(unsigned column, const std::string& wrong, const std::string& expected,
                 const std::string& suggestion) {
  if (!failed_) out_.add({number_, column}, "", wrong, expected, suggestion);
  failed_ = true;
}

void Words::fail_last(const std::string& wrong, const std::string& expected, const std::string& suggestion) {
  fail(next_ == 0 ? 1 : words_[next_ - 1].column, wrong, expected, suggestion);
}

std::optional<Words::Word> Words::take(const std::string& expected) {
  if (failed_) return std::nullopt;
  if (at_end()) {
    fail(static_cast<unsigned>(line_.size()) + 1, "the line ends too early", expected);
    return std::nullopt;
  }
  return words_[next_++];
}

std::optional<std::string> Words::choice(std::string_view what, const std::vector<std::string>& words) {
  const auto word = take(language::one_of(words));
  if (!word) return std::nullopt;
  std::string text(word->text);
  if (std::find(words.begin(), words.end(), text) != words.end()) return text;
  fail(word->column, fmt::format("no {} {}", what, shown(text)), language::one_of(words), nearest(text, words));
  return std::nullopt;
}

std::optional<std::uint64_t> Words::number(std::string_view what, std::uint64_t least, std::uint64_t most) {
  const std::string expected = fmt::format("{}, a number from {} to {}", what, least, most);
  const auto word = take(expected);
  if (!word) return std::nullopt;
  std::uint64_t value = 0;
  const char* const end = word->text.data() + word->text.size();
  const auto [stop, problem] = std::from_chars(word->text.data(), end, value);
  const bool canonical = word->text == "0" || !word->text.starts_with('0');
  if (problem == std::errc{} && stop == end && canonical && value >= least && value <= most) return value;
  fail(word->column, fmt::format("{} is no such number", shown(word->text)), expected);
  return std::nullopt;
}

std::optional<std::string> Words::name(std::string_view what, std::string_view expected) {
  const auto word = take(std::string(expected));
  if (!word) return std::nullopt;
  if (language::is_name(word->text)) return std::string(word->text);
  fail(word->column, fmt::format("{} is no {}", shown(word->text), what), std::string(expected));
  return std::nullopt;
}

void Words::literal(std::string_view expected) {
  const auto word = take(fmt::format("'{}'", expected));
  if (word && word->text != expected)
    fail(word->column, fmt::format("{} stands there", shown(word->text)), fmt::format("'{}'", expected));
}

bool Words::maybe(std::string_view word) {
  if (failed_ || at_end() || words_[next_].text != word) return false;
  ++next_;
  return true;
}

void Words::end() {
  if (!failed_ && !at_end())
    fail(words_[next_].column, fmt::format("{} is one word too many", shown(words_[next_].text)),
         "the end of the line");
}

}  // namespace secmmu::conform
