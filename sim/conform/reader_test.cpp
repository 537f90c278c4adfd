#include "sim/conform/reader.hpp"

#include <filesystem>

#include <doctest/doctest.h>

namespace secmmu::conform {
namespace {

constexpr std::string_view kSound =
    "case two-pages\n"
    "setup anon a 4\n"
    "> watch a\n"
    "= ok\n"
    "> cw a 0 2 7\n"
    "= ok\n"
    "v 7 SIGBUS/SEGV\n"
    "start CLEAR 0 1 blockable pte=ro\n"
    "invalidate_range all ATOMIC\n"
    "change_pte 0 rw ATOMIC\n"
    "clear_flush_young 0 1 ATOMIC young=1\n"
    "end CLEAR 0 1 pte=huge-rw\n"
    "# a remark\n"
    "> munmap a 1 3\n"
    "= E524\n";

std::string first_error(std::string_view text) {
  const ReadRecording read = read_recording(text, "x.txt");
  CHECK(read.recording.has_value() == read.errors.empty());
  return read.errors.empty() ? "" : to_text(read.errors.front());
}
// The sound recording with one line replaced (from 1), or with lines put in its place.
std::string with_line(int number, std::string_view text) {
  std::string result;
  std::size_t at = 0;
  for (int line = 1; at < kSound.size(); ++line) {
    const std::size_t end = kSound.find('\n', at) + 1;
    result += line == number ? std::string(text) : std::string(kSound.substr(at, end - at));
    at = end;
  }
  return result;
}

}  // namespace

TEST_CASE("a recording is read, and written again as it was") {
  const ReadRecording read = read_recording(kSound, "x.txt");
  REQUIRE(read.recording.has_value());
  CHECK(to_text(*read.recording) == kSound);
  REQUIRE(read.recording->blocks.size() == 4);
  const Block& write = read.recording->blocks[2];
  CHECK(write.operation.name == "cw");
  CHECK(write.operation.first == 0);
  CHECK(write.operation.pages == 2);
  CHECK(write.operation.value == 7);
  CHECK(write.operation.mark.line == 5);
  REQUIRE(write.lines.size() == 8);
  CHECK(write.lines[1].number == 7);
}

TEST_CASE("every recording of the kernel is read, and written again as it was") {
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator("scenarios/linux-6.1")) {
    if (entry.path().extension() != ".txt" || entry.path().filename() == "known-differences.txt") continue;
    const ReadRecording read = read_recording_file(entry.path().string());
    CAPTURE(entry.path().string());
    REQUIRE(read.recording.has_value());
    CHECK(to_text(*read.recording).size() == std::filesystem::file_size(entry.path()));
    ++files;
  }
  CHECK(files == 213);
}

TEST_CASE("a recording with carriage returns is refused by one sentence") {
  std::string text;
  for (const char letter : kSound) text += letter == '\n' ? "\r\n" : std::string(1, letter);
  const ReadRecording read = read_recording(text, "x.txt");
  REQUIRE(read.errors.size() == 1);
  CHECK(to_text(read.errors[0]).starts_with("x.txt:1:15: error: the line ends with a carriage return, expected lines "));
  CHECK_FALSE(read.recording.has_value());
  CHECK(first_error(with_line(6, "= ok\r\n")).starts_with("x.txt:6:5: error: the line ends with a carriage return"));
  CHECK(first_error(with_line(6, "= ENXIO\n")) == "");
}

TEST_CASE("what is wrong with a recording is told with its place and the nearest name") {
  CHECK(
      first_error(with_line(5, "> cvw a 0 2 7\n")) ==
      "x.txt:5:3: error: no operation 'cvw', expected anon, shared, filepriv, file, watch, unregister, device, cr, cw, "
      "dr, dw, fork, kr, kw, child_exit, munmap, mprotect, mmap_fixed, dontneed, free, cold, pageout, remove, "
      "mergeable, "
      "unmergeable, hugepage, nohugepage, populate_read, populate_write, collapse, wipeonfork, dontfork, soft_offline, "
      "mremap_to, mremap_onto, mremap_size, move, ksm, clear_refs, idle, isidle, khugepaged, mrelease, truncate, "
      "punch, "
      "pwrite, msync, uffd, wp, unwp, mlock, munlock or exit; did you mean 'cw'?\n"
      "    > cvw a 0 2 7\n"
      "      ^\n");
  struct Mistake {
    int line;
    const char* text;
    const char* told;
  };
  for (const Mistake& mistake : std::initializer_list<Mistake>{
           {1, "", "x.txt:1:1: error: 'setup' stands there, expected 'case'\n"},
           {1, "case Two\n", "x.txt:1:6: error: 'Two' is no name of a recording, expected a name of a-z, 0-9 and -\n"},
           {2, "", "x.txt:2:9: error: there is no buffer 'a' yet, expected 'setup anon B N' or the like before"},
           {2, "setup anon a 0\n", "x.txt:2:14: error: '0' is no such number, expected N in pages, a number from 1 to"},
           {2, "setup anon a 4 huger\n", "x.txt:2:16: error: no word 'huger', expected huge; did you mean 'huge'?"},
           {2, "setup anon a 4\nsetup shared a 2\n",
            "x.txt:3:14: error: there is a buffer 'a' already, expected a new name"},
           {3, "> watch b\n", "x.txt:3:9: error: no buffer 'b', expected a"},
           {3, "setup watch a\n", "x.txt:3:7: error: watch is no set-up"},
           {4, "", "x.txt:3:3: error: 'watch a' has no result, expected a line '= ok' or '= ERRNO' after it"},
           {5, "> cw a 0 2\n",
            "x.txt:5:11: error: the line ends too early, expected V, a byte, a number from 0 to 255"},
           {5, "> cw a 0 2 256\n", "x.txt:5:12: error: '256' is no such number"},
           {5, "> cw a 0 02 7\n", "x.txt:5:10: error: '02' is no such number"},
           {5, "> cw a 0 2 7 7\n", "x.txt:5:14: error: one word too many, expected cw B OFF N V"},
           {5, ">  cw a 0 2 7\n", "x.txt:5:3: error: a blank too many, expected one blank between words"},
           {5, "> dr a 0 2\n",
            "x.txt:5:3: error: no device is attached, expected '> device hmm' or '> device kvm' before"},
           {5, "> kr a 0 2\n", "x.txt:5:3: error: there is no child, expected '> fork B' before"},
           {6, "= okay\n", "x.txt:6:3: error: no result 'okay', expected ok, "},
           {6, "= EFOO\n", "x.txt:6:3: error: no result 'EFOO', expected ok, "},
           {6, "= ok\n= ok\n", "x.txt:7:1: error: a second result of one operation"},
           {6, "", "x.txt:6:1: error: values stand right after the result"},
           {7, "v 7 SIGSEGV\n", "x.txt:7:5: error: 'SIGSEGV' is no such number, expected the first byte of a page"},
           {8, "start CLEARED 0 1 blockable pte=ro\n", "x.txt:8:7: error: no event 'CLEARED', expected UNMAP, CLEAR, "},
           {8, "start CLEAR 1 1 blockable pte=ro\n", "x.txt:8:15: error: the range is empty"},
           {8, "start CLEAR 0 1 pte=ro\n", "x.txt:8:17: error: no way of waiting 'pte=ro'"},
           {8, "start CLEAR 0 1 blockable pte=wo\n", "x.txt:8:27: error: no state 'pte=wo', expected pte=none, "},
           {8, "started CLEAR 0 1\n", "did you mean 'start'?"},
           {8, "start CLEAR 0 1 blockable pte=ro \n", "x.txt:8:34: error: a blank at the end"},
           {8, "\n", "x.txt:8:1: error: an empty line"},
           {10, "change_pte 0 rx\n", "x.txt:10:14: error: no right 'rx', expected ro or rw"},
           {11, "clear_flush_young 0 1 young=2\n", "x.txt:11:23: error: no answer 'young=2'"},
           {12, "d 0 w missed\n", "x.txt:12:7: error: no outcome 'missed', expected hit, fault or error"},
           {12, "d 0 w error 14\n", "x.txt:12:13: error: no error '14'"},
           {14, "setup anon b 4\n", "x.txt:14:1: error: a set-up after the first operation"},
           {15, "= ok", "x.txt:15:5: error: the file ends inside a line, expected a newline"},
       }) {
    const std::string told = first_error(with_line(mistake.line, mistake.text));
    CAPTURE(told);
    const std::string expected = mistake.told;
    CAPTURE(expected);
    CHECK(told.find(mistake.told) != std::string::npos);
  }
  CHECK(first_error("").find("x.txt: error: the file is empty") == 0);
  CHECK(first_error("case x\nsetup anon a 1\n").find("x.txt: error: nothing is watched") == 0);
  CHECK(to_text(read_recording_file("no/such.txt").errors.at(0)) == "no/such.txt: error: there is no such file\n");
  CHECK(to_text(read_recording_file("scenarios").errors.at(0)).find("no plain file") != std::string::npos);
}

}  // namespace secmmu::conform
