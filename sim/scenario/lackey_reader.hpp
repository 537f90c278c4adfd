// Reads a recording made by
//   valgrind --tool=lackey --trace-mem=yes --trace-syscalls=yes --log-file=FILE PROGRAM
// plain or compressed by gzip, one event at a time: memory stays flat at any length.
//
// What the format leaves open, and what we do about it:
// - Accesses carry neither a thread nor a process. Calls carry both.
// - A child made by fork writes into the same file as its parent. Calls of any process but the first are
//   counted and skipped; accesses of a child cannot be told from its parent's and are delivered.
//   `--child-silent-after-fork=yes` keeps children out of a recording.
// - A call that may block has two lines, with other threads' lines between them; it is delivered at
//   the second, where its result is known.
// - Every call outside LackeyKind is skipped whatever its text is, over several lines if a string among its
//   arguments holds line feeds. That includes shmat, shmdt, pkey_mprotect and execve.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "sim/scenario/lackey_counts.hpp"
#include "sim/scenario/lackey_record.hpp"

namespace secmmu {

// A recording that cannot be read. what() is the whole message: "FILE:LINE: ...".
class LackeyError : public std::runtime_error {
 public:
  LackeyError(const std::string& file, std::uint64_t line, const std::string& problem);
  const std::string& file() const { return file_; }
  std::uint64_t line() const { return line_; }  // 0: not about one line

 private:
  std::string file_;
  std::uint64_t line_;
};

class LackeyReader {
 public:
  explicit LackeyReader(const std::string& path);
  ~LackeyReader();
  LackeyReader(const LackeyReader&) = delete;
  LackeyReader& operator=(const LackeyReader&) = delete;

  // The next event, or false at the end. Throws LackeyError.
  bool next(LackeyRecord& record);

  std::uint64_t line() const { return counts_.lines; }  // of the event that next() gave last, from 1
  const LackeyCounts& counts() const { return counts_; }

  // For a progress display, in bytes of the file as stored. The total is 0 if nobody knows it (a pipe).
  std::uint64_t bytes_read() const;
  std::uint64_t bytes_total() const { return bytes_total_; }

 private:
  struct File;
  struct Call;
  struct Result;

  bool fill();
  bool memory_line(LackeyRecord& record);
  bool take_line(std::string_view& line);
  void give_back(std::string_view rest);
  bool other_line(std::string_view line, LackeyRecord& record);
  bool call_line(std::string_view line, LackeyRecord& record);
  bool address_space_call(const Call& call, LackeyKind kind, std::string_view line, LackeyRecord& record);
  bool finish_call(LackeyKind kind, const Result& result, LackeyRecord& record);
  void skip_call(const Call& call, std::string_view line);
  void skip_rest_of_string(std::string_view name);
  void give_back_if_event(std::string_view rest);
  void message(std::string_view line);
  void check_crash(std::string_view line) const;
  bool finish();
  [[noreturn]] void malformed(std::string_view line, const std::string& expected) const;
  [[noreturn]] void fail(std::uint64_t line, const std::string& problem) const;

  std::string path_;
  std::unique_ptr<File> file_;
  std::uint64_t bytes_total_ = 0;
  std::vector<char> buffer_;
  char* at_ = nullptr;   // next unread character
  char* end_ = nullptr;  // one past the last; holds a NUL, so scanning loops need no bound
  bool exhausted_ = false;

  std::uint64_t process_ = 0;     // the first process; 0: not yet known
  bool forked_ = false;           // another thread or a child may now write between the parts of a line
  bool children_ = false;         // the program forked
  std::uint64_t skipped_at_ = 0;  // last line that belonged to a skipped call
  std::map<std::uint64_t, std::pair<std::int64_t, LackeyRecord>> waiting_;  // by thread: first of two lines
  LackeyCounts counts_;
};

}  // namespace secmmu
