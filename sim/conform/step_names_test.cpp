#include "sim/conform/step_names.hpp"

#include <doctest/doctest.h>

#include "sim/conform/reader.hpp"
#include "sim/conform/translation.hpp"

namespace secmmu::conform {
namespace {

Step range(std::string_view verb, std::uint64_t first, std::uint64_t end) {
  Step step;
  step.verb = verb;
  step.buffer = "a";
  step.first_page = first;
  step.end_page = end;
  return step;
}

}  // namespace

TEST_CASE("a step is named as a recording would") {
  CHECK(operation_of(range("munmap", 2, 5), Player::process, "w").text == "munmap a 2 3");
  CHECK(operation_of(range("read", 0, 4), Player::process, "w").text == "cr a 0 4");
  CHECK(operation_of(range("move_pages", 1, 4), Player::process, "w").text == "move a 1 3");
  CHECK(operation_of(range("uffd_register", 0, 4), Player::process, "w").text == "uffd a");
  CHECK(operation_of(range("read", 0, 4), Player::device, "w").text == "dr a 0 4");
  CHECK(operation_of(range("read", 0, 4), Player::child, "w").text == "kr a 0 4");
  Step step = range("mprotect", 0, 4);
  step.protection = Protection::none;
  step.id = "a_name";
  step.after = {"other.step"};
  step.result = "ENOMEM";
  CHECK(operation_of(step, Player::process, "w").text == "mprotect a 0 4 none");
  step.protection = Protection::rx;
  CHECK(operation_of(step, Player::process, "w").text == "");  // no recording has that
  step = range("write", 3, 4);
  step.value = 0x1234;
  CHECK(operation_of(step, Player::process, "w").text == "cw a 3 1 52");
  step = range("write", 3, 5);
  step.value = 1;
  CHECK(operation_of(step, Player::process, "w").text == "");  // the same value in each page
  step.count_up = true;
  CHECK(operation_of(step, Player::process, "w").text == "cw a 3 2 1");
  step = Step{};
  step.verb = "exit";
  CHECK(operation_of(step, Player::process, "w").text == "exit w");
  CHECK(operation_of(step, Player::child, "w").text == "child_exit w");
  step.verb = "mremap";
  step.buffer = "a";
  step.end_page = 2;
  step.onto = "b";
  step.onto_page = 7;
  CHECK(operation_of(step, Player::process, "w").text == "mremap_onto a 0 2 b 7");
  step.verb = "barrier";
  CHECK(operation_of(step, Player::process, "w").text == "");
}

// The table of operations is read in both directions.
TEST_CASE("every operation that is played gets its own name back") {
  const ReadRecording read = read_recording(
      "case x\n"
      "setup anon a 8\n"
      "setup shared s 4\n"
      "setup file f 4\n"
      "> watch a\n= ok\n"
      "> cw a 0 2 7\n= ok\n"
      "> fork a\n= ok\n"
      "> kw a 0 2 7\n= ok\n"
      "> child_exit a\n= ok\n"
      "> mprotect a 0 1 r\n= ok\n"
      "> mmap_fixed a 0 1 rw\n= ok\n"
      "> dontneed a 0 2\n= ok\n"
      "> populate_read a 0 2\n= ok\n"
      "> remove s 0 2\n= ok\n"
      "> mremap_to a 0 2 b\n= ok\n"
      "> msync f 0 1\n= ok\n"
      "> unregister a\n= ok\n"
      "> exit a\n= ok\n",
      "x.txt");
  REQUIRE(read.errors.empty());
  const Scenario scenario = translate(*read.recording);
  std::size_t named = 0;
  for (const ActorSpec& actor : scenario.actors)
    for (const Step& step : actor.program) {
      const std::size_t block = block_of(step);
      if (block == SIZE_MAX) continue;  // something beside it
      if (step.id.find('_') != std::string::npos) continue;  // not the first of its operation
      const Player player = actor.name == "main" ? Player::process : Player::child;
      CHECK(operation_of(step, player, "a").text == read.recording->blocks.at(block).operation.text);
      ++named;
    }
  CHECK(named == read.recording->blocks.size());
}

}  // namespace secmmu::conform
