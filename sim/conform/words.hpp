// A line of a recording, word by word. Words stand one blank apart.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sim/scenario/diagnostic.hpp"

namespace secmmu::conform {

class Words {
 public:
  Words(std::string_view line, unsigned number, language::Diagnostics& out);

  bool at_end() const { return next_ == words_.size(); }
  std::string_view peek() const { return at_end() ? "" : words_[next_].text; }
  void skip() { ++next_; }

  // The next word if it is right; else the mistake is told, and failed() from then on.
  std::optional<std::string> choice(std::string_view what, const std::vector<std::string>& words);
  std::optional<std::uint64_t> number(std::string_view what, std::uint64_t least, std::uint64_t most);
  std::optional<std::string> name(std::string_view what, std::string_view expected);
  void literal(std::string_view word);
  bool maybe(std::string_view word);  // takes it if it is there
  void end();                         // nothing more may stand there

  // About the word that was taken last.
  void fail_last(const std::string& wrong, const std::string& expected, const std::string& suggestion = "");
  bool failed() const { return failed_; }

 private:
  struct Word {
    std::string_view text;
    unsigned column;
  };
  void fail(unsigned column, const std::string& wrong, const std::string& expected, const std::string& suggestion = "");
  std::optional<Word> take(const std::string& expected);

  std::string_view line_;
  unsigned number_;
  language::Diagnostics& out_;
  std::vector<Word> words_;
  std::size_t next_ = 0;
  bool failed_ = false;
};

}  // namespace secmmu::conform
