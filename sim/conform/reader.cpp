#include "sim/conform/reader.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>

#include <fmt/format.h>

#include "sim/conform/event_line.hpp"
#include "sim/conform/words.hpp"
#include "sim/scenario/values.hpp"

namespace secmmu::conform {
namespace {

constexpr std::size_t kLargestFile = 16 << 20;
constexpr std::uint64_t kMostPages = 1ULL << 20;  // of a buffer: 4 GiB

class Reader {
 public:
  Reader(std::string_view text, const std::string& path) : text_(text), out_(path, text, {}) { recording_.path = path; }

  ReadRecording read() {
    if (const std::size_t end = text_.find("\r\n"); end != std::string_view::npos) return refuse_carriage_return(end);
    for (std::size_t at = 0; at < text_.size();) {
      const std::size_t end = text_.find('\n', at);
      ++number_;
      if (end == std::string_view::npos) {
        out_.add({number_, static_cast<unsigned>(text_.size() - at) + 1}, "", "the file ends inside a line",
                 "a newline");
        line(text_.substr(at));
        break;
      }
      line(text_.substr(at, end - at));
      at = end + 1;
    }
    if (number_ == 0) out_.add({}, "", "the file is empty", "a recording, whose first line is 'case NAME'");
    finish_block();
    if (out_.empty() && !watched_) out_.add({}, "", "nothing is watched", "a line '> watch B'");
    ReadRecording result;
    result.errors = out_.sorted();
    if (result.errors.empty()) result.recording = std::move(recording_);
    return result;
  }

 private:
  // Nothing else is said of such a file: each of its lines is wrong in the same way.
  ReadRecording refuse_carriage_return(std::size_t at) {
    const std::string_view before = text_.substr(0, at);
    const auto number = static_cast<unsigned>(std::count(before.begin(), before.end(), '\n')) + 1;
    const std::size_t first = before.rfind('\n') + 1;  // npos + 1 is 0
    out_.add({number, static_cast<unsigned>(at - first) + 1}, "", "the line ends with a carriage return",
             "lines that end with a newline alone");
    return {{}, out_.sorted()};
  }

  void line(std::string_view text) {
    Words words(text, number_, out_);
    if (words.failed()) return;
    if (number_ == 1) return first_line(words, text);
    if (text.empty()) return out_.add({number_, 1}, "", "an empty line", "an operation, its result or an event");
    if (words.maybe("setup")) return begin_block(words, text.substr(5), true);
    if (words.maybe(">")) return begin_block(words, text.substr(1), false);
    if (recording_.blocks.empty() || recording_.blocks.back().operation.setup)
      return out_.add({number_, 1}, "", "this line belongs to no operation", "'setup OP' or '> OP' before it");
    std::vector<Line>& lines = recording_.blocks.back().lines;
    const bool has_values = !lines.empty() && lines.back().text.starts_with("v ");
    if (words.maybe("=")) {
      if (!lines.empty())
        out_.add({number_, 1}, "", "a second result of one operation", "one, right after the operation");
      check_result(words);
    } else if (words.maybe("v")) {
      if (lines.size() != 1 || has_values)
        out_.add({number_, 1}, "", "values stand right after the result, in one line", "an event or an operation");
      check_values(words);
    } else {
      if (lines.empty()) out_.add({number_, 1}, "", "the operation before has no result", "a line '= ok' or '= ERRNO'");
      check_event(words);
    }
    lines.push_back({std::string(text), number_});
  }

  void first_line(Words& words, std::string_view text) {
    const std::string_view name = text.starts_with("case ") ? text.substr(5) : "";
    words.literal("case");
    if (!words.failed() && !language::is_scenario_name(name))
      out_.add({1, 6}, "", fmt::format("'{}' is no name of a recording", name.substr(0, 40)),
               "a name of a-z, 0-9 and -");
    recording_.name = name;
  }

  void begin_block(Words& words, std::string_view rest, bool setup) {
    finish_block();
    if (setup && !recording_.blocks.empty() && !recording_.blocks.back().operation.setup)
      out_.add({number_, 1}, "", "a set-up after the first operation", "all set-ups first");
    Block& block = recording_.blocks.emplace_back();
    Operation& operation = block.operation;
    operation.setup = setup;
    operation.text = rest.empty() ? "" : rest.substr(1);
    operation.mark = {number_, setup ? 7u : 3u};
    read_operation(words, operation);
  }

  void finish_block() {
    if (recording_.blocks.empty()) return;
    const Block& last = recording_.blocks.back();
    if (!last.operation.setup && last.lines.empty())
      out_.add(last.operation.mark, "", fmt::format("'{}' has no result", last.operation.text.substr(0, 60)),
               "a line '= ok' or '= ERRNO' after it");
  }

  void read_operation(Words& words, Operation& operation) {
    std::vector<std::string> names;
    for (const OperationRow& row : operations()) names.emplace_back(row.name);
    const auto name = words.choice("operation", names);
    if (!name) return;
    operation.name = *name;
    const OperationRow& row = *find_operation(*name);
    for (const Argument& argument : row.arguments)
      if (!argument.optional || !words.at_end()) read_argument(words, argument, operation);
    if (!words.failed() && !words.at_end()) {
      words.skip();
      words.fail_last("one word too many", form_of(row));
    }
    if (!words.failed()) check_order(operation, row);
  }

  void read_argument(Words& words, const Argument& argument, Operation& operation) {
    const auto text = [&](const std::optional<std::string>& value) {
      if (value) operation.*std::get<std::string Operation::*>(argument.member) = *value;
    };
    const auto number = [&](const std::optional<std::uint64_t>& value) {
      if (value) operation.*std::get<std::uint64_t Operation::*>(argument.member) = *value;
    };
    const std::string letter(argument.letter);
    switch (argument.form) {
      case Form::buffer: {
        const std::vector<std::string> known(buffers_.begin(), buffers_.end());
        if (!known.empty()) {
          text(words.choice("buffer", known));
        } else if (const auto name = words.name("buffer", letter + ", a buffer that an operation before has made")) {
          words.fail_last(fmt::format("there is no buffer '{}' yet", *name), "'setup anon B N' or the like before");
        }
        break;
      }
      case Form::new_buffer: {
        const auto name = words.name("name", letter + ", the name of a new buffer");
        if (name && !buffers_.insert(*name).second)
          words.fail_last(fmt::format("there is a buffer '{}' already", *name), "a new name");
        text(name);
        break;
      }
      case Form::first:
        number(words.number(letter + " in pages", 0, kMostPages));
        break;
      case Form::pages:
        number(words.number(letter + " in pages", 1, kMostPages));
        break;
      case Form::value:
        number(words.number(letter + ", a byte", 0, 255));
        break;
      case Form::word:
        text(words.choice(letter == "huge" ? "word" : "such word", argument.words));
        break;
    }
  }

  // What must have come before.
  void check_order(const Operation& operation, const OperationRow& row) {
    const auto fail = [&](std::string_view wrong, std::string_view expected) {
      out_.add(operation.mark, "", std::string(wrong), std::string(expected));
    };
    if (operation.name == "watch") {
      if (operation.setup) fail("watch is no set-up: recording begins with it", "'> watch B'");
      if (watched_) fail("a buffer is watched already", "one watch in a recording");
      watched_ = true;
    } else if (!operation.setup && !watched_) {
      fail("an operation before the recording begins", "'setup OP' here, or '> watch B' before");
    }
    if (operation.name == "device") {
      if (has_device_) fail("there is a device already", "one device in a recording");
      has_device_ = true;
    }
    if (operation.name == "fork") has_child_ = true;
    if (row.player == Player::device && !has_device_)
      fail("no device is attached", "'> device hmm' or '> device kvm' before");
    if (row.player == Player::child && !has_child_) fail("there is no child", "'> fork B' before");
  }

  std::string_view text_;
  language::Diagnostics out_;
  Recording recording_;
  unsigned number_ = 0;
  std::set<std::string> buffers_;
  bool watched_ = false;
  bool has_device_ = false;
  bool has_child_ = false;
};

}  // namespace

ReadRecording read_recording(std::string_view text, const std::string& path) { return Reader(text, path).read(); }

ReadRecording read_recording_file(const std::string& path) {
  const auto refuse = [&](const std::string& message) {
    ReadRecording result;
    result.errors.push_back({path, {}, "", message, ""});
    return result;
  };
  std::error_code problem;
  const auto status = std::filesystem::status(path, problem);
  if (!std::filesystem::exists(status)) return refuse("there is no such file");
  std::ifstream file(path, std::ios::binary);
  if (!file) return refuse("the file cannot be opened for reading");
  const auto size = std::filesystem::file_size(path, problem);
  if (problem) return refuse("the file cannot be read: it is no plain file");
  if (size > kLargestFile) return refuse(fmt::format("the file is larger than {} MiB", kLargestFile >> 20));
  std::string text(size, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad()) return refuse("the file cannot be read");
  text.resize(static_cast<std::size_t>(file.gcount()));
  return read_recording(text, path);
}

}  // namespace secmmu::conform
