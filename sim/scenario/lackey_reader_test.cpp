#include "sim/scenario/lackey_reader.hpp"

#include <doctest/doctest.h>
#include <unistd.h>
#include <zlib.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace secmmu {
namespace {

// A recording with this text, removed at the end. Tests run at once, each in a process of its own.
class Recording {
 public:
  explicit Recording(const std::string& text) {
    static std::atomic<int> count{0};
    path_ = std::filesystem::temp_directory_path() /
            ("secmmu-lackey-" + std::to_string(getpid()) + '-' + std::to_string(count++));
    std::ofstream(path_, std::ios::binary) << text;
  }
  ~Recording() { std::filesystem::remove(path_); }
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;

  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

struct Reading {
  std::vector<LackeyRecord> records;
  std::vector<std::uint64_t> lines;
  LackeyCounts counts;
  std::string error;  // without the file's name, which differs from run to run
  std::uint64_t error_line = 0;
};

Reading read_file(const std::string& path) {
  Reading reading;
  try {
    LackeyReader reader(path);
    LackeyRecord record;
    while (reader.next(record)) {
      reading.records.push_back(record);
      reading.lines.push_back(reader.line());
    }
    CHECK_FALSE(reader.next(record));
    reading.counts = reader.counts();
  } catch (const LackeyError& error) {
    reading.error = std::string(error.what()).substr(path.size() + 1);
    reading.error_line = error.line();
    CHECK(error.file() == path);
    CHECK(std::string(error.what()).starts_with(path + ':'));
  }
  return reading;
}

Reading read(const std::string& text) { return read_file(Recording(text).path()); }

std::string gzipped(const std::string& text) {
  const Recording file("");
  gzFile out = gzopen(file.path().c_str(), "wb");
  gzwrite(out, text.data(), static_cast<unsigned>(text.size()));
  gzclose(out);
  std::ifstream in(file.path(), std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

const std::string kBanner =
    "==42== Lackey, an example Valgrind tool\n"
    "==42== Copyright (C) 2002-2017, and GNU GPL'd, by Nicholas Nethercote.\n"
    "==42== Command: ./program\n"
    "==42== \n";
const std::string kAfter = "I  0401ab70,3\n";  // read last: shows that nothing before it was swallowed

// The text between the banner and one more access; records come back without that access.
Reading read_middle(const std::string& text) {
  Reading reading = read(kBanner + text + kAfter);
  INFO(reading.error);
  REQUIRE(reading.error.empty());
  REQUIRE_FALSE(reading.records.empty());
  CHECK(reading.records.back().address == VirtAddr{0x401ab70});
  reading.records.pop_back();
  return reading;
}

LackeyRecord read_call(const std::string& text) {
  const Reading reading = read_middle(text);
  REQUIRE(reading.records.size() == 1);
  return reading.records.front();
}

void check_malformed(const std::string& line, const std::string& expected) {
  const Reading reading = read(kBanner + kAfter + line + '\n' + kAfter);
  INFO(reading.error);
  CHECK(reading.error_line == 6);
  CHECK(reading.error.starts_with("6: malformed line '" + line.substr(0, 20)));
  CHECK(reading.error.find(expected) != std::string::npos);
}

TEST_CASE("lackey: the four kinds of access, with address, size and line") {
  const Reading reading = read(kBanner +
                               "I  0401ab70,3\n"
                               " L 1fff000708,8\n"
                               " S 04a47de0,16\n"
                               " M 1ffefffff8,2696\n");
  REQUIRE(reading.records.size() == 4);
  CHECK(reading.records[0].kind == LackeyKind::fetch);
  CHECK(reading.records[0].address == VirtAddr{0x401ab70});
  CHECK(reading.records[0].bytes == 3);
  CHECK(reading.records[1].kind == LackeyKind::load);
  CHECK(reading.records[1].address == VirtAddr{0x1fff000708});
  CHECK(reading.records[2].kind == LackeyKind::store);
  CHECK(reading.records[2].bytes == 16);
  CHECK(reading.records[3].kind == LackeyKind::modify);
  CHECK(reading.records[3].bytes == 2696);
  CHECK(reading.lines == std::vector<std::uint64_t>{5, 6, 7, 8});
  CHECK(reading.counts.messages == 4);
  CHECK(reading.counts.accesses() == 4);
}

TEST_CASE("lackey: the last line may lack its line feed, as after a kill") {
  CHECK(read("I  0401ab70,3").records.size() == 1);
  CHECK(read(" L 0401ab70,").error_line == 1);
}

TEST_CASE("lackey: mmap") {
  const LackeyRecord record = read_call(
      "SYSCALL[42,1](9) sys_mmap ( 0x4838000, 4097, 5, 2066, 3, 8192 ) --> [pre-success] Success(0x4839000) \n");
  CHECK(record.kind == LackeyKind::mmap);
  CHECK(record.thread == 1);
  CHECK(record.address == VirtAddr{0x4838000});
  CHECK(record.bytes == 4097);
  CHECK(record.protection == 5);
  CHECK(record.flags == 2066);
  CHECK(record.file == 3);
  CHECK(record.offset == 8192);
  CHECK(record.result == VirtAddr{0x4839000});
}

TEST_CASE("lackey: mmap without a file, in the ways that versions of valgrind print -1") {
  for (const char* fd : {"4294967295", "18446744073709551615", "-1"}) {
    CAPTURE(fd);
    CHECK(read_call("SYSCALL[42,1](9) sys_mmap ( 0x0, 8192, 3, 34, " + std::string(fd) +
                    ", 0 ) --> [pre-success] Success(0x4835000) \n")
              .file == -1);
  }
}

TEST_CASE("lackey: munmap and mprotect") {
  const LackeyRecord unmap = read_call("SYSCALL[42,3](11) sys_munmap ( 0x483c000, 44019 )[sync] --> Success(0x0) \n");
  CHECK(unmap.kind == LackeyKind::munmap);
  CHECK(unmap.thread == 3);
  CHECK(unmap.address == VirtAddr{0x483c000});
  CHECK(unmap.bytes == 44019);
  const LackeyRecord protect =
      read_call("SYSCALL[42,1](10) sys_mprotect ( 0x4a44000, 16384, 1 )[sync] --> Success(0x0) \n");
  CHECK(protect.kind == LackeyKind::mprotect);
  CHECK(protect.bytes == 16384);
  CHECK(protect.protection == 1);
}

TEST_CASE("lackey: mremap with four and with five arguments") {
  const LackeyRecord grow = read_call(
      "SYSCALL[42,1](25) sys_mremap ( 0x483c000, 16384, 32768, 0x1 ) --> [pre-success] Success(0x4a2c000) \n");
  CHECK(grow.kind == LackeyKind::mremap);
  CHECK(grow.address == VirtAddr{0x483c000});
  CHECK(grow.bytes == 16384);
  CHECK(grow.new_bytes == 32768);
  CHECK(grow.flags == 1);
  CHECK(grow.new_address == VirtAddr{0});
  CHECK(grow.result == VirtAddr{0x4a2c000});
  const LackeyRecord move = read_call(
      "SYSCALL[42,1](25) sys_mremap ( 0x4a2c000, 8192, 8192, 0x3, 0x20000000 ) --> [pre-success] "
      "Success(0x20000000) \n");
  CHECK(move.flags == 3);
  CHECK(move.new_address == VirtAddr{0x20000000});
}

TEST_CASE("lackey: brk, refused or not, tells where the break is") {
  const LackeyRecord moved =
      read_call("SYSCALL[42,1](12) sys_brk ( 0x4056000 ) --> [pre-success] Success(0x4056000) \n");
  CHECK(moved.kind == LackeyKind::brk);
  CHECK(moved.address == VirtAddr{0x4056000});
  CHECK(moved.result == VirtAddr{0x4056000});
  // As valgrind prints it: its message comes between the arguments and the result.
  const LackeyRecord refused = read_call(
      "SYSCALL[42,1](12) sys_brk ( 0x10004035000 )==42== brk segment overflow in thread #1: can't grow\n"
      "==42== (see section Limitations in user manual)\n"
      " --> [pre-success] Success(0x4045000) \n");
  CHECK(refused.address == VirtAddr{0x10004035000});
  CHECK(refused.result == VirtAddr{0x4045000});
}

TEST_CASE("lackey: madvise comes in two lines and is delivered at the second, other threads between") {
  const Reading reading = read_middle(
      "SYSCALL[42,2](28) sys_madvise ( 0x483c000, 8192, 4 ) --> [async] ... \n"
      " L 04000000,8\n"
      "SYSCALL[42,3](28) sys_madvise ( 0x900000, 4096, 8 ) --> [async] ... \n"
      "SYSCALL[42,2](28) ... [async] --> Success(0x0) \n"
      "SYSCALL[42,3](28) ... [async] --> Failure(0x16) \n");
  REQUIRE(reading.records.size() == 2);
  CHECK(reading.records[0].kind == LackeyKind::load);
  CHECK(reading.records[1].kind == LackeyKind::madvise);
  CHECK(reading.records[1].thread == 2);
  CHECK(reading.records[1].address == VirtAddr{0x483c000});
  CHECK(reading.records[1].bytes == 8192);
  CHECK(reading.records[1].advice == 4);
  CHECK(reading.lines[1] == 8);
  CHECK(reading.counts.failures_of(LackeyKind::madvise) == 1);
}

TEST_CASE("lackey: any of the calls may come in two lines") {
  const LackeyRecord record = read_call(
      "SYSCALL[42,2](9) sys_mmap ( 0x0, 8192, 3, 34, 4294967295, 0 ) --> [async] ... \n"
      "SYSCALL[42,2](9) ... [async] --> Success(0x4835000) \n");
  CHECK(record.kind == LackeyKind::mmap);
  CHECK(record.result == VirtAddr{0x4835000});
  CHECK(read_call("SYSCALL[42,2](11) sys_munmap ( 0x1000, 8192 ) --> [async] ... \n"
                  "SYSCALL[42,2](11) ... [async] --> Success(0x0) \n")
            .kind == LackeyKind::munmap);
}

TEST_CASE("lackey: a call whose second line never comes is counted as unfinished") {
  const Reading at_end = read_middle("SYSCALL[42,2](28) sys_madvise ( 0x483c000, 8192, 4 ) --> [async] ... \n");
  CHECK(at_end.records.empty());
  CHECK(at_end.counts.unfinished == 1);
  const Reading by_next = read_middle(
      "SYSCALL[42,2](28) sys_madvise ( 0x483c000, 8192, 4 ) --> [async] ... \n"
      "SYSCALL[42,2](3) sys_close ( 4 )[sync] --> Success(0x0) \n"
      "SYSCALL[42,2](28) ... [async] --> Success(0x0) \n");
  CHECK(by_next.records.empty());
  CHECK(by_next.counts.unfinished == 1);
}

TEST_CASE("lackey: a failed call has no effect and is counted") {
  const Reading reading = read_middle(
      "SYSCALL[42,1](9) sys_mmap ( 0x0, 4611686018427387904, 3, 34, 4294967295, 0 ) --> [pre-fail] Failure(0x16) \n"
      "SYSCALL[42,1](10) sys_mprotect ( 0x5, 4096, 1 )[sync] --> Failure(0x16) \n"
      "SYSCALL[42,1](11) sys_munmap ( 0x5, 5 )[sync] --> Failure(0x16) \n"
      "SYSCALL[42,1](25) sys_mremap ( 0x20000000, 4096, 8192, 0x0 ) --> [pre-fail] Failure(0xc) \n");
  CHECK(reading.records.empty());
  CHECK(reading.counts.failed_calls() == 4);
  CHECK(reading.counts.failures_of(LackeyKind::mremap) == 1);
  CHECK(reading.counts.calls() == 0);
}

TEST_CASE("lackey: every other call is skipped and counted by name") {
  const Reading reading = read_middle(
      "SYSCALL[42,1](257) sys_openat ( 4294967196, 0x4034bb0(/etc/ld.so.cache), 524288 ) --> [async] ... \n"
      "SYSCALL[42,1](257) ... [async] --> Failure(0x2) \n"
      "SYSCALL[42,1](262) sys_newfstatat ( 3, 0x4029c99(), 0x1ffeffec50 )[sync] --> Success(0x0) \n"
      "SYSCALL[42,1](158) arch_prctl ( 4098, 4af1c40 ) --> [pre-success] Success(0x0) \n"
      "SYSCALL[42,1](334) unimplemented (by the kernel) syscall: 334! (ni_syscall)\n"
      " --> [pre-fail] Failure(0x26) \n"
      "SYSCALL[42,1](999) --42-- WARNING: unhandled amd64-linux syscall: 999\n"
      "--42-- You may be able to write your own handler.\n"
      " --> [pre-fail] Failure(0x26) \n"
      "SYSCALL[42,1](15) sys_rt_sigreturn ( ) --> [pre-success] NoWriteResult \n"
      "SYSCALL[42,1](72) sys_fcntl[ARG=='int'] ( 3, 2, 1 )[sync] --> Success(0x0) \n"
      "SYSCALL[42,1](230) sys_clock_nanosleep( 0, 0, 0x522be80, 0x0 ) --> [async] ... \n"
      "SYSCALL[42,1](31) sys_something ~~ no one \\ ever (saw 0x12( this\n"
      "may go on --> [pre-success] Success(0x0) \n"
      "SYSCALL[42,1](32) \n"
      "SYSCALL[42,1](59) sys_execve ( 0x10a0a0(/bin/true), 0x1fff000530, 0x1fff000728 )\n");
  CHECK(reading.records.empty());
  const std::map<std::string, std::uint64_t> expected{{"arch_prctl", 1},   {"clock_nanosleep", 1}, {"execve", 1},
                                                      {"fcntl", 1},        {"newfstatat", 1},      {"openat", 1},
                                                      {"rt_sigreturn", 1}, {"something", 1},       {"syscall_32", 1},
                                                      {"syscall_334", 1},  {"syscall_999", 1}};
  CHECK(reading.counts.skipped == expected);
  CHECK(reading.counts.skipped_calls() == 11);
  CHECK(reading.counts.skipped_failed == 3);
}

TEST_CASE("lackey: strings among the arguments of a skipped call hold anything") {
  const std::string close = "SYSCALL[42,1](257) ... [async] --> Failure(0x2) \n";
  for (const std::string& name : std::initializer_list<std::string>{
           "/tmp/a) --> [async] ... \x01\xff", "/tmp/a\nb ) --> [async] ...\x01\xff\n L 0400,4\n",
           "/tmp/a\nSYSCALL[1,1](9) sys_mmap ( 0x0, 8192, 3, 34, 4294967295, 0 ) --> [pre-success] Success(0x4835000) "
           "\n",
           "/tmp/a) --> [async] ... \nb", "\n\n\n", "\ngarbage\n==7== ==\n L 04zz,8\n", "/x)\ny",
           std::string("\0\n\0", 3), "\nVALGRIND INTERNAL ERROR\n"}) {
    CAPTURE(name);
    const Reading reading = read_middle("SYSCALL[42,1](257) sys_openat ( 4294967196, 0x10a008(" + name +
                                        "), 0 ) --> [async] ... \n" + close);
    CHECK(reading.records.empty());
    CHECK(reading.counts.skipped_calls() == 1);
  }
}

TEST_CASE("lackey: a string that never ends is damage, found before it has hidden much") {
  std::string accesses;
  for (int i = 0; i < 20000; ++i) accesses += " L 04000000,8\n";
  const Reading reading = read(kBanner + "SYSCALL[42,1](257) sys_openat ( 4294967196, 0x10a008(/tm\n" + accesses);
  CHECK(reading.error_line == 5);
  CHECK(reading.error.find("openat has no end") != std::string::npos);
}

TEST_CASE("lackey: a line that was cut off in a skipped call hides nothing") {
  CHECK(read_middle("SYSCALL[42,1](257) sys_openat ( 42949\n L 04000000,8\n").records.size() == 1);
}

TEST_CASE("lackey: a new thread's first access stands on its creator's line") {
  const Reading reading = read_middle(
      "SYSCALL[42,1](56) sys_clone ( 3d0f00, 0x5a2cf70, 0x5a2d990 ) --> [pre-success] Success(0xfe3) I  0494fb42,3\n"
      " S 0522bf70,8\n"
      "SYSCALL[42,2](9) sys_mmap ( 0x0, 8192, 3, 34, 4294967295, 0 ) --> [pre-success] Success(0x483c000) \n"
      "\n");
  REQUIRE(reading.records.size() == 3);
  CHECK(reading.records[0].address == VirtAddr{0x494fb42});
  CHECK(reading.lines[0] == 5);
  CHECK(reading.records[2].thread == 2);
}

TEST_CASE("lackey: calls of a forked child are counted and skipped") {
  // As recorded: the child's halves of lines come before the parent's next access.
  const Reading reading = read_middle(
      "SYSCALL[42,1](56) sys_clone ( 1200011, 0x0, 0x0, 0x4a29a10, 0x0 )   clone(fork): process 42 created child 43\n"
      " --> [pre-success] Success(0xfe4) \n"
      " --> [pre-success] Success(0x0) S 1ffeffffe8,8\n"
      " I  040090f1,2\n"
      "\n"
      "SYSCALL[43,1](9) sys_mmap ( 0x0, 8192, 3, 34, 4294967295, 0 ) --> [pre-success] Success(0x483c000) \n"
      "SYSCALL[43,1](59) sys_execve ( 0x10a0a0(/bin/true), 0x1fff000530 )SYSCALL[42,1](11) sys_munmap ( 0x483c000, "
      "4096 )[sync] --> Success(0x0) \n"
      "==43== Exit code:       0\n");
  REQUIRE(reading.records.size() == 3);
  CHECK(reading.records[0].kind == LackeyKind::store);
  CHECK(reading.records[1].kind == LackeyKind::fetch);
  CHECK(reading.records[2].kind == LackeyKind::munmap);
  CHECK(reading.counts.other_processes == 2);
  CHECK(reading.counts.of(LackeyKind::mmap) == 0);
}

TEST_CASE("lackey: messages of valgrind, with time stamps and from the program too") {
  const Reading reading = read_middle(
      "==00:00:00:01.123 42== Thread 1:\n"
      "--42-- WARNING: something\n"
      "**42** printed by VALGRIND_PRINTF\n");
  CHECK(reading.counts.messages == 7);
}

TEST_CASE("lackey: malformed accesses") {
  check_malformed(" L 04zz,8", "an address of up to 16 hexadecimal digits and a comma after ' L '");
  check_malformed("I  ,8", "an address");
  check_malformed("I  0401ab70", "a comma");
  check_malformed("I  0401ab70 3", "a comma");
  check_malformed(" S 10401ab70401ab700,8", "up to 16 hexadecimal digits");
  check_malformed(" S 0401ab70,", "a size of 1 to 65536");
  check_malformed(" S 0401ab70,0", "a size of 1 to 65536");
  check_malformed(" S 0401ab70,65537", "a size of 1 to 65536");
  check_malformed(" S 0401ab70,99999999999999999999999", "a size of 1 to 65536");
  check_malformed(" S 0401ab70,-8", "a size");
  check_malformed(" M 0401ab70,8x", "the end of the line");
  check_malformed(" M 0401ab70,8 ", "the end of the line");
  check_malformed(" L ffffffffffffffff,2", "within the address space");
  CHECK(read(" L ffffffffffffffff,1\n").records.size() == 1);
}

TEST_CASE("lackey: lines of no form point at output of the program") {
  for (const char* line : {"garbage", " X 0401ab70,8", "I 0401ab70,8", "L 0401ab70,8", "  L 0401ab70,8", "total 12",
                           "helloI  0401ab70,8", "== 42 ==", "==x42== text", " ==42== text", "SYSCALL 42"}) {
    CAPTURE(line);
    check_malformed(line, "--log-file=FILE");
  }
}

TEST_CASE("lackey: malformed calls") {
  check_malformed("SYSCALL[42](9) sys_mmap ( 0x0 )", "SYSCALL[PID,THREAD](NUMBER)");
  check_malformed("SYSCALL[42,1] sys_mmap ( 0x0 )", "SYSCALL[PID,THREAD](NUMBER)");
  check_malformed("SYSCALL[42,1](9) sys_mmap ( 0x0, 8192, 3, 34, 4294967295 ) --> [pre-success] Success(0x1000) ",
                  "sys_mmap ( ADDRESS, LENGTH, PROT, FLAGS, FD, OFFSET )");
  check_malformed("SYSCALL[42,1](9) sys_mmap ( 0x0, 8192, 3, 34", "sys_mmap ( ADDRESS");
  check_malformed("SYSCALL[42,1](12) sys_brk ( zero ) --> [pre-success] Success(0x1000) ", "sys_brk ( ADDRESS )");
  check_malformed("SYSCALL[42,1](25) sys_mremap ( 0x1, 2, 3 ) --> [pre-success] Success(0x1000) ", "NEW_LENGTH");
  check_malformed("SYSCALL[42,1](11) sys_munmap ( 0x1000, 4096 )", "the call's result");
  check_malformed("SYSCALL[42,1](11) sys_munmap ( 0x1000, 4096 ) --> Maybe(0x0)", "the call's result");
  check_malformed("SYSCALL[42,1](11) sys_munmap ( 0x1000, 4096 )[sync] --> Success(0xzz)", "the call's result");
  check_malformed("SYSCALL[42,1](28) sys_madvise ( 0x1000, 99999999999999999999999, 4 ) --> [async] ... ",
                  "sys_madvise");
}

TEST_CASE("lackey: a malformed line is shown cut to 80 characters and escaped") {
  const Reading reading = read("\x01\t\\\xff" + std::string(100, 'x') + '\n');
  CHECK(reading.error.starts_with("1: malformed line '\\x01\\t\\\\\\xff" + std::string(76, 'x') + "...': expected "));
}

TEST_CASE("lackey: a malformed line of a program with children says how to leave them out") {
  const Reading reading = read("SYSCALL[42,1](58) sys_fork ( )   fork: process 42 created child 43\n L 0400I  04,8\n");
  CHECK(reading.error_line == 2);
  CHECK(reading.error.find("--child-silent-after-fork=yes") != std::string::npos);
}

TEST_CASE("lackey: a crash of valgrind while recording is said") {
  const Reading in_call = read(
      "SYSCALL[42,1](25) sys_mremap ( 0x30000000, 4096, 8192, 0x1 )--42-- VALGRIND INTERNAL ERROR: Valgrind received a "
      "signal 11 (SIGSEGV) - exiting\n");
  CHECK(in_call.error.starts_with("1: valgrind itself gave up here"));
  const Reading after_call = read(kBanner + "\nvalgrind: the 'impossible' happened:\n");
  CHECK(after_call.error.starts_with("6: valgrind itself gave up here"));
}

TEST_CASE("lackey: files that are none") {
  CHECK(read_file("no/such/recording.gz").error.find("cannot be opened: No such file") != std::string::npos);
  CHECK(read_file(std::filesystem::temp_directory_path().string()).error.find("cannot be read: ") != std::string::npos);
  CHECK(read("").error.find("is empty") != std::string::npos);
}

TEST_CASE("lackey: compressed, truncated and damaged files") {
  std::string text = kBanner;
  for (unsigned i = 0; i < 100000; ++i) text += " L 0" + std::to_string(10000000 + i * 2654435761U % 80000000) + ",8\n";
  const std::string packed = gzipped(text);
  CHECK(read(packed).records.size() == 100000);
  CHECK(read(text).records.size() == 100000);

  for (const std::size_t cut : {packed.size() - 1, packed.size() - 8, packed.size() / 2, std::size_t{40}}) {
    CAPTURE(cut);
    CHECK(read(packed.substr(0, cut)).error.find("truncated: the compressed data ends too early, after line ") !=
          std::string::npos);
  }
  std::string damaged = packed;
  for (std::size_t i = 0; i < 16; ++i) damaged[packed.size() / 2 + i] ^= '\x5a';
  // What is damaged inside may unpack to a malformed line before zlib notices.
  INFO(read(damaged).error);
  CHECK_FALSE(read(damaged).error.empty());
  std::string bad_sum = packed;
  bad_sum[packed.size() - 6] ^= '\x5a';
  CHECK(read(bad_sum).error.find("damaged: the compressed data cannot be unpacked, after line ") != std::string::npos);
}

TEST_CASE("lackey: lines meet the ends of the buffer at every offset") {
  // A mixture whose lines are all of another length, read from start offsets that differ by one.
  const std::string unit =
      "SYSCALL[42,1](9) sys_mmap ( 0x0, 8192, 3, 34, 4294967295, 0 ) --> [pre-success] Success(0x4835000) \n"
      "I  0401ab70,3\n"
      "SYSCALL[42,1](257) sys_openat ( 1, 0x4034bb0(/a\nb), 524288 ) --> [async] ... \n"
      " S 1fff000708,16\n";
  std::string many;
  for (int i = 0; i < 6000; ++i) many += unit;
  for (std::size_t pad = 0; pad < unit.size(); pad += 7) {
    CAPTURE(pad);
    const Reading reading = read("==42== " + std::string(pad, '.') + '\n' + many);
    CHECK(reading.error.empty());
    CHECK(reading.records.size() == 18000);
    CHECK(reading.counts.lines == 30001);
    CHECK(reading.counts.of(LackeyKind::mmap) == 6000);
  }
}

TEST_CASE("lackey: a line without an end is refused, not held in memory") {
  CHECK(read(std::string(300UL * 1024, 'x')).error.find("a line of less than 256 KiB") != std::string::npos);
}

TEST_CASE("lackey: the recording of ls has what grep and awk count in it") {
  LackeyReader reader("scenarios/workloads/ls.lackey.gz");
  LackeyRecord record;
  std::uint64_t bytes = 0;
  VirtAddr first_map;
  while (reader.next(record)) {
    if (record.kind < LackeyKind::mmap) bytes += record.bytes;
    if (record.kind == LackeyKind::mmap && first_map.value == 0) first_map = record.result;
  }
  const LackeyCounts& counts = reader.counts();
  CHECK(reader.bytes_total() == 601259);
  CHECK(reader.bytes_read() == 601259);
  CHECK(reader.line() == 778948);
  CHECK(bytes == 3573594);
  CHECK(first_map == VirtAddr{0x4835000});
  CHECK(to_text(counts) ==
        "lines 778948\nfetch 573829\nload 142626\nstore 59916\nmodify 2333\nmmap 34\nmunmap 1\nmprotect 6\nbrk 3\n"
        "skipped.access 2\nskipped.arch_prctl 1\nskipped.close 24\nskipped.exit_group 1\nskipped.futex 1\n"
        "skipped.getdents64 2\nskipped.getrandom 1\nskipped.ioctl 1\nskipped.newfstatat 33\nskipped.openat 47\n"
        "skipped.pread64 2\nskipped.prlimit64 1\nskipped.read 8\nskipped.set_robust_list 1\n"
        "skipped.set_tid_address 1\nskipped.statfs 2\nskipped.statx 1\nskipped.syscall_334 1\nskipped.write 1\n"
        "skipped.failed 40\nmessages 6\n");
}

}  // namespace
}  // namespace secmmu
