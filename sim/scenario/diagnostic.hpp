// A mistake in a scenario, told the way compilers tell theirs, so that editors and CI can point at it:
//
//   file:line:col: error: <path>: <what is wrong>, expected <what>; did you mean 'x'?
//       the line of the file
//           ^
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "sim/scenario/scenario.hpp"

namespace secmmu {

struct Diagnostic {
  std::string file;         // as given; for a mistake in --set its whole text
  Mark mark;                // line 0: the file as a whole, or a --set
  std::string path;         // keys and indices joined by dots; empty: the file as a whole
  std::string message;      // what is wrong, expected, did you mean
  std::string source_line;  // empty: none to show
};

// One to three lines, each ended by a newline.
std::string to_text(const Diagnostic& diagnostic);

// The candidate that `word` most likely means: equal but for case, at most two edits away, or one
// begins with the other. Empty: none. Ties go to the earlier candidate.
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);

namespace language {

// "a, b or c".
std::string one_of(const std::vector<std::string>& words);

// Collects every mistake of one file and of the --set that came with it.
class Diagnostics {
 public:
  Diagnostics(std::string file, std::string_view text, std::vector<std::string> sets);

  // Empty `expected` and `suggestion` are left out of the message.
  void add(Mark mark, std::string path, std::string wrong, std::string expected = "", std::string suggestion = "");

  // Sorted by place; of equal ones only the first.
  std::vector<Diagnostic> sorted() const;
  bool empty() const { return found_.empty(); }

  // yaml-cpp counts lines and bytes from 0; a mark counts lines and characters from 1.
  Mark mark_at(int line, int byte_column) const;

 private:
  std::string file_;
  std::vector<std::string> lines_;
  std::vector<std::string> sets_;
  std::vector<Diagnostic> found_;
};

}  // namespace language
}  // namespace secmmu
