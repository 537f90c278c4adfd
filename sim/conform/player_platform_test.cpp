#include "sim/conform/player.hpp"

#include <algorithm>
#include <csignal>
#include <filesystem>

#include "sim/conform/comparison.hpp"
#include "sim/conform/devices.hpp"
#include "sim/conform/reader.hpp"
#include "sim/conform/translation.hpp"
#include "sim/run/test_episode.hpp"
#include "sim/scenario/resolved.hpp"

namespace secmmu::conform {
namespace {

using testing::direct;
using testing::in_child;

Recording recording(const std::string& text) {
  const ReadRecording read = read_recording(text, "test.txt");
  REQUIRE(read.errors.empty());
  return *read.recording;
}

std::vector<Recording> all_recordings() {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator("scenarios/linux-6.1"))
    if (entry.path().extension() == ".txt" && entry.path().filename() != "known-differences.txt")
      files.push_back(entry.path().string());
  std::sort(files.begin(), files.end());
  std::vector<Recording> recordings;
  for (const std::string& file : files) recordings.push_back(*read_recording_file(file).recording);
  return recordings;
}

// All lines, with their operations.
std::string text_of(Recording recorded, const Performance& performance) {
  for (std::size_t block = 0; block < recorded.blocks.size(); ++block)
    recorded.blocks[block].lines = performance.lines.at(block);
  return to_text(recorded);
}

// What the machine tells of it.
std::string played(const std::string& text) {
  const Recording recorded = recording(text);
  std::string told;
  perform({recorded}, {}, [&](std::size_t, const Performance& performance) {
    CHECK(performance.fault == "");
    CHECK(performance.remarks.empty());
    told = text_of(recorded, performance);
  });
  return told;
}

}  // namespace

TEST_CASE("each access of a device is told, those past the end of the buffer, too") {
  const std::string text =
      "case past-the-end\n"
      "setup anon a 4\n"
      "setup cw a 0 4 1\n"
      "> watch a\n"
      "= ok\n"
      "> device hmm\n"
      "= ok\n"
      "> dr a 3 3\n"
      "= ok\n"
      "d 3 r fault 4\n"
      "d 4 r error -14\n"
      "d 5 r error -14\n"
      "> dw a 6 1 1\n"
      "= ok\n"
      "d 6 w error -14\n";
  CHECK(played(text) == text);
}

TEST_CASE("a run is told in the form of a recording") {
  const std::string text =
      "case parent-and-child\n"
      "setup anon a 8\n"
      "setup cw a 0 4 254\n"
      "> watch a\n"
      "= ok\n"
      "> cr a 0 5\n"
      "= ok\n"
      "v 254 255 0 1 0\n"
      "> fork a\n"
      "= ok\n"
      "start PROTECTION_PAGE 0 8 blockable pte=rw\n"
      "invalidate_range 0 8\n"
      "end PROTECTION_PAGE 0 8 pte=ro\n"
      "> kw a 1 1 9\n"
      "= ok\n"
      "v 9\n"
      "> cw a 0 1 7\n"
      "= ok\n"
      "v 7\n"
      "start CLEAR 0 1 blockable pte=ro\n"
      "invalidate_range 0 1 ATOMIC\n"
      "change_pte 0 rw ATOMIC\n"
      "end CLEAR 0 1 pte=rw\n"
      "> kr a 0 2\n"
      "= ok\n"
      "v 254 9\n"
      "> child_exit a\n"
      "= ok\n"
      "> munmap a 2 2\n"
      "= ok\n"
      "start UNMAP 2 4 blockable pte=ro\n"
      "invalidate_range 2 4\n"
      "end UNMAP 2 4 pte=none\n"
      "invalidate_range 2 4\n"
      "> cr a 1 2\n"
      "= ok\n"
      "v 255 SIGBUS/SEGV\n"
      "> mprotect a 0 8 r\n"
      "= ENOMEM\n"
      "start PROTECTION_VMA 0 2 blockable pte=rw\n"
      "invalidate_range 0 2\n"
      "end PROTECTION_VMA 0 2 pte=ro\n"
      "invalidate_range 0 1\n"
      "> unregister a\n"
      "= ok\n"
      "# unregister\n"
      "release\n"
      "# unregistered\n"
      "> munmap a 0 8\n"
      "= ok\n";
  CHECK(played(text) == text);
}

// One engine: what `run` would play is what was compared.
TEST_CASE("a recording that is written as a scenario and read again gives the same lines") {
  in_child([] {
    const std::vector<Recording> recordings = all_recordings();
    std::vector<Scenario> scenarios;
    for (const Recording& recorded : recordings) scenarios.push_back(translate(recorded));
    Platform platform(platform_config(machine_for(scenarios)));
    direct(platform, [&] {
      for (std::size_t i = 0; i < recordings.size(); ++i) {
        if (scenarios[i].actors.empty()) continue;  // nothing of it can be played yet
        CAPTURE(recordings[i].path);
        const Performance at_once = perform(platform, recordings[i], scenarios[i], "v6.1");
        const ParseResult parsed = parse_scenario_text(scenario_yaml(scenarios[i]), scenarios[i].name + ".yaml");
        std::string errors;
        for (const Diagnostic& error : parsed.errors) errors += to_text(error);
        CHECK(errors == "");
        if (!parsed.scenario) continue;
        const Performance written = perform(platform, recordings[i], *parsed.scenario, "v6.1");
        const std::string first = text_of(recordings[i], at_once);
        const std::string second = text_of(recordings[i], written);
        CHECK(first == second);
      }
    });
  });
}

TEST_CASE("an operation without a row is a difference, and the rest is played all the same") {
  const Recording recorded =
      recording("case x\nsetup anon a 4\n> watch a\n= ok\n> idle a 0 1\n= ok\n> cw a 0 1 5\n= ok\nv 5\n");
  if (is_modelled(recorded.blocks[2].operation)) return;  // some day
  perform({recorded}, {}, [&](std::size_t, const Performance& performance) {
    REQUIRE(performance.lines.size() == 4);
    CHECK(performance.lines[2].at(0).text == "= not modelled");
    CHECK(performance.lines[3].at(1).text == "v 5");
    CHECK(compare(recorded, performance.lines).differences.size() == 1);
  });
}

TEST_CASE("a worker that crashes takes one recording with it") {
  const Recording sound = recording("case x\nsetup anon a 4\n> watch a\n= ok\n> cw a 0 1 5\n= ok\nv 5\n");
  for (const unsigned jobs : {1u, 2u}) {
    PlayOptions options;
    options.jobs = jobs;
    options.before_each = [](std::size_t index) {
      if (index == 1) raise(SIGKILL);
      if (index == 3) throw std::runtime_error("three is too many");
    };
    std::vector<std::string> faults;
    perform({sound, sound, sound, sound, sound}, options, [&](std::size_t index, const Performance& performance) {
      CHECK(index == faults.size());
      faults.push_back(performance.fault);
      if (performance.fault.empty()) CHECK(compare(sound, performance.lines).identical());
    });
    REQUIRE(faults.size() == 5);
    CHECK(faults[0] == "");
    CHECK(faults[1].find("signal 9") != std::string::npos);
    CHECK(faults[2] == "");
    CHECK(faults[3] == "three is too many");
    CHECK(faults[4] == "");
  }
}

}  // namespace secmmu::conform
