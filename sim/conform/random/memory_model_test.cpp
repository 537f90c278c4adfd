#include "sim/conform/random/memory_model.hpp"

#include <doctest/doctest.h>

#include "sim/conform/reader.hpp"

namespace secmmu::conform {
namespace {

// Tells the model a program, as if each operation had succeeded, and asks it what the last access of it must see.
class Told {
 public:
  explicit Told(const std::string& operations) {
    std::string text = "case told\n" + operations;
    const ReadRecording read = read_recording(text, "told.txt");
    std::string errors;
    for (const Diagnostic& error : read.errors) errors += to_text(error);
    INFO(errors);
    REQUIRE(read.recording.has_value());
    for (const Block& block : read.recording->blocks) tell(block.operation);
  }

  std::string sees(const std::string& process, std::uint64_t page, bool write = false,
                   const std::string& buffer = "a") {
    MemoryModel::Access access = at(process, buffer, page);
    access.write = write;
    access.result = "SIGSEGV";
    if (model.expected(access) == "SIGBUS/SEGV") return "fault";
    return write ? "may" : model.expected(access);
  }
  // What is wrong with a value that was seen.
  std::string judged(const std::string& process, std::uint64_t page, std::uint64_t value) {
    MemoryModel::Access access = at(process, "a", page);
    access.value = value;
    access.result = "ok";
    return model.accessed(access);
  }

  MemoryModel model;

 private:
  MemoryModel::Access at(const std::string& process, const std::string& buffer, std::uint64_t page) const {
    MemoryModel::Access access;
    access.process = process;
    access.buffer = buffer;
    access.page = page;
    for (const MemoryModel::Buffer& one : model.buffers())
      if (one.name == buffer) access.at = one.at + page;
    return access;
  }
  void tell(const Operation& operation) {
    if (operation.name != "cw" && operation.name != "kw") return model.assume(operation);
    for (std::uint64_t i = 0; i < operation.pages; ++i) {
      MemoryModel::Access access = at(operation.name == "kw" ? "child1" : "app", operation.buffer, operation.first + i);
      access.write = true;
      access.value = operation.value + i;
      access.result = "ok";
      CHECK(model.accessed(access) == "");
    }
  }
};

const std::string kStart = "setup anon a 8\nsetup cw a 0 8 1\n> watch a\n= ok\n";
std::string then(const std::string& operation) { return "> " + operation + "\n= ok\n"; }

}  // namespace

TEST_CASE("the model: what a process sees of its own memory") {
  CHECK(Told(kStart).sees("app", 3) == "4");
  CHECK(Told(kStart + then("munmap a 2 2")).sees("app", 3) == "fault");
  CHECK(Told(kStart + then("dontneed a 2 2")).sees("app", 3) == "0");
  CHECK(Told(kStart + then("mprotect a 3 1 r")).sees("app", 3) == "4");
  CHECK(Told(kStart + then("mprotect a 3 1 r")).sees("app", 3, true) == "fault");
  CHECK(Told(kStart + then("mprotect a 3 1 none")).sees("app", 3) == "fault");
  CHECK(Told(kStart + then("mmap_fixed a 3 1 r")).sees("app", 3) == "0");
  CHECK(Told(kStart + then("mremap_to a 3 2 b")).sees("app", 3) == "fault");
  CHECK(Told(kStart + then("mremap_to a 3 2 b")).sees("app", 1, false, "b") == "5");
  CHECK(Told(kStart + then("mremap_onto a 6 1 a 3")).sees("app", 3) == "7");
  CHECK(Told(kStart + then("mremap_size a 8 3")).sees("app", 3) == "fault");
  CHECK(Told(kStart + then("pageout a 0 8")).sees("app", 3) == "4");
}

TEST_CASE("the model: parent and child have their own copies, and share what is shared") {
  Told forked(kStart + then("fork a") + then("cw a 3 1 50") + then("kw a 4 1 60"));
  CHECK(forked.sees("app", 3) == "50");
  CHECK(forked.sees("child1", 3) == "4");
  CHECK(forked.sees("app", 4) == "5");
  CHECK(forked.sees("child1", 4) == "60");
  Told shared("setup shared a 8\nsetup cw a 0 8 1\n> watch a\n= ok\n" + then("fork a") + then("kw a 4 1 60"));
  CHECK(shared.sees("app", 4) == "60");
  CHECK(Told(kStart + then("fork a") + then("child_exit a")).sees("child1", 4) == "fault");
  CHECK(Told(kStart + then("fork a") + then("exit a")).sees("app", 4) == "fault");
}

TEST_CASE("the model: memory that need not be kept may be zero until it is written again") {
  Told freed(kStart + then("free a 0 8"));
  CHECK(freed.judged("app", 3, 4) == "");
  CHECK(freed.judged("app", 3, 0) == "");
  CHECK(freed.judged("app", 3, 4) != "");  // gone is gone
  CHECK(freed.judged("app", 2, 9) != "");
  Told written(kStart + then("free a 0 8") + then("cw a 3 1 70"));
  CHECK(written.judged("app", 3, 0) == "app reads page 3 of a: it sees 0, expected 70");
}

TEST_CASE("the model: how an operation ends is judged, too") {
  Told told(kStart + then("munmap a 2 2"));
  Operation operation;
  operation.name = "mprotect";
  operation.text = "mprotect a 0 8 r";
  operation.buffer = "a";
  operation.pages = 8;
  operation.word = "r";
  const Places places = {{"a", told.model.buffers().front().at}};
  CHECK(told.model.done(operation, "ok", places) == "mprotect a 0 8 r: ok over a hole, expected ENOMEM");
  CHECK(told.sees("app", 1, true) == "fault");
  CHECK(told.sees("app", 5, true) == "may");
  operation.name = "cold";
  CHECK(told.model.done(operation, "ENOMEM", places) == "");
  CHECK(told.model.done(operation, "ok", places) != "");
}

}  // namespace secmmu::conform
