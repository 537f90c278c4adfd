// The machine can be run again: whatever happened before a reset, and wherever it was cut, a run after it is
// the same to the byte, in this process and in another.
#include <doctest/doctest.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <vector>

#include "sim/output/scratch_directory.hpp"
#include "sim/run/test_episode.hpp"

using namespace secmmu;
using namespace secmmu::testing;

namespace {

const std::string kTour = "scenarios/tour/01-gru-races-munmap.yaml";

// The machine of the first tour scenario with other programs: fork, rights, discarding, exit.
constexpr std::string_view kOtherPrograms = R"(
scenario: 1
name: other-programs
machine: {cpus: 3, memory: {frames: 64}, stretch: 70}
processes:
  app:
    buffers:
      buf: {at: 0x7f00_0000_0000, pages: 8, prot: rw, populate: true}
  stranger:
    buffers:
      room: {pages: 3, backing: shared}
devices:
  gru0: {kind: gru, attach: app, tlb_entries: 8}
actors:
  reader:
    device: gru0
    process: app
    cpu: 1
    do:
      - {write: {buffer: buf, value: 1, count_up: true}, result: ok-or-fault}
      - {loop: {times: 3, do: [{access: {buffer: buf, pattern: random, count: 20, write_one_in: 3}, result: ok-or-fault}]}}
      - {barrier: over}
  unmapper:
    cpu: 2
    process: app
    do:
      - {delay: 3us}
      - {fork: child}
      - {write: {buffer: buf, pages: 0..3, value: 9}}
      - {mprotect: {buffer: buf, pages: 2..5, prot: r}}
      - {dontneed: {buffer: buf, pages: 5..8}}
      - {unload: gru0}
      - {mprotect: {buffer: buf, pages: 2..5, prot: rw}}
      - {barrier: over}
      - exit
  thief:
    cpu: 2
    process: stranger
    do:
      - {sleep: 10us}
      - {register: gru0}
      - {write: {buffer: room, value: 3}}
      - {unregister: gru0}
expect:
  violated: []
)";

// On the tour's machine and its tasks.
Scenario other_programs() {
  Scenario other = scenario_text(kOtherPrograms);
  const Scenario tour = scenario_file(kTour);
  REQUIRE(other.actors.size() == tour.actors.size());
  for (std::size_t i = 0; i < tour.actors.size(); ++i) {
    REQUIRE(other.actors[i].name == tour.actors[i].name);
    other.actors[i].cpu = tour.actors[i].cpu;
    other.actors[i].context = tour.actors[i].context;
  }
  return other;
}

std::map<std::string, std::string> files_below(const std::filesystem::path& top) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(top))
    if (entry.is_regular_file())
      files[std::filesystem::relative(entry.path(), top).string()] = contents_of(entry.path());
  return files;
}

// Runs the program as a user does. Every process has a layout of its own: nothing here switches ASLR off.
std::map<std::string, std::string> outputs_of(const std::string& arguments) {
  const char* program = std::getenv("SECMMU");
  REQUIRE_MESSAGE(program != nullptr, "SECMMU names no program");
  const ScratchDirectory scratch;
  const std::string command = fmt::format("'{}' run {} --out '{}' > '{}' 2>&1", program, arguments,
                                          (scratch.path() / "out").string(), (scratch.path() / "said").string());
  const int status = std::system(command.c_str());
  INFO(contents_of(scratch.path() / "said"));
  REQUIRE(WIFEXITED(status));
  REQUIRE(WEXITSTATUS(status) <= 1);  // another seed may miss an expectation; that is not the matter here
  return files_below(scratch.path() / "out");
}

void check_same(const std::map<std::string, std::string>& a, const std::map<std::string, std::string>& b) {
  CHECK(a.size() == b.size());
  for (const auto& [name, content] : a) {
    INFO(name);
    const auto other = b.find(name);
    CHECK(other != b.end());
    if (other != b.end()) CHECK((content == other->second));
  }
}

std::vector<std::string> tour_files() {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator("scenarios/tour"))
    if (entry.path().extension() == ".yaml") files.push_back(entry.path().string());
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

TEST_CASE("the first tour scenario played a thousand times in one process is the same run, and memory stays flat") {
  const Scenario scenario = scenario_file(kTour);
  in_child([&] {
    Platform platform(platform_config(scenario));
    Episode episode(platform, scenario);
    direct(platform, [&] {
      const std::string kernel = scenario.kernels.front();
      const Played first = play(episode, kernel, scenario.seed);
      CHECK(first.outcome == Outcome::passed);
      CHECK(first.events > 100);
      // What a run allocates has found its place after a few.
      std::uint64_t different = 0;
      for (int i = 0; i < 100; ++i) different += play(episode, kernel, scenario.seed) == first ? 0 : 1;
      const std::uint64_t before = resident_bytes();
      for (int i = 0; i < 900; ++i) different += play(episode, kernel, scenario.seed) == first ? 0 : 1;
      CHECK(different == 0);
      const std::uint64_t after = resident_bytes();
      INFO("resident before: " << before << ", after: " << after);
      CHECK(after <= before + 256 * 1024);
    });
  });
}

TEST_CASE("a run cut at any scheduling point and reset leaves nothing behind") {
  // The tour's with a shorter loop: its turns are all alike.
  const Scenario tour = scenario_file(kTour, {"actors.reader.do.1.loop.times=3"});
  const Scenario other = other_programs();
  in_child([&] {
    Platform platform(platform_config(tour));
    Episode plays_tour(platform, tour);
    Episode plays_other(platform, other);
    direct(platform, [&] {
      for (const std::string kernel : {"v6.10", "v3.2"}) {
        const Played whole_tour = play(plays_tour, kernel, 1);
        const Played whole_other = play(plays_other, kernel, 1);
        INFO(whole_other.verdict);
        CHECK(whole_other.outcome == Outcome::passed);
        CHECK(whole_tour.hash != whole_other.hash);
        std::uint64_t cuts = 0;
        std::uint64_t different = 0;
        for (std::uint64_t steps = 1;; ++steps) {
          const Played cut_tour = play(plays_tour, kernel, 1, steps);
          const bool other_is_whole = play(plays_other, kernel, 1) == whole_other;
          const Played cut_other = play(plays_other, kernel, 1, steps);
          const bool tour_is_whole = play(plays_tour, kernel, 1) == whole_tour;
          if (!other_is_whole || !tour_is_whole) {
            if (different == 0) MESSAGE(kernel << ": first different after a cut at step " << steps);
            ++different;
          }
          if (cut_tour.outcome != Outcome::inconclusive && cut_other.outcome != Outcome::inconclusive) {
            CHECK(cut_tour == whole_tour);
            CHECK(cut_other == whole_other);
            break;
          }
          ++cuts;
        }
        CHECK(different == 0);
        CHECK(cuts > 500);
      }
    });
  });
}

TEST_CASE("every tour scenario is cut at many points and plays the same afterwards") {
  for (const std::string& path : tour_files()) {
    CAPTURE(path);
    const Scenario scenario = scenario_file(path);
    in_child([&] {
      Platform platform(platform_config(scenario));
      Episode episode(platform, scenario);
      direct(platform, [&] {
        const std::string kernel = scenario.kernels.front();
        const Played whole = play(episode, kernel, scenario.seed);
        // Densely at first, where processes and subscriptions come to be, then wider and wider.
        for (std::uint64_t steps = 1;; steps += 1 + steps / 8) {
          const Played cut = play(episode, kernel, scenario.seed, steps);
          INFO("cut at step " << steps);
          CHECK(play(episode, kernel, scenario.seed) == whole);
          if (cut.outcome != Outcome::inconclusive || cut == whole) break;
        }
      });
    });
  }
}

TEST_CASE("kernels and seeds of one platform do not touch each other") {
  const Scenario scenario = other_programs();
  in_child([&] {
    Platform platform(platform_config(scenario));
    Episode episode(platform, scenario);
    direct(platform, [&] {
      std::map<std::pair<std::string, std::uint64_t>, Played> seen;
      for (int round = 0; round < 3; ++round)
        for (const std::string kernel : {"v6.10", "v3.2"})
          for (const std::uint64_t seed : {1, 2, 3}) {
            const Played played = play(episode, kernel, seed);
            const auto [known, fresh] = seen.try_emplace({kernel, seed}, played);
            CHECK(known->second == played);
          }
      // The seed decides how steps stretch and what is drawn.
      for (const std::string kernel : {"v6.10", "v3.2"}) {
        CHECK(seen.at({kernel, 1}).hash != seen.at({kernel, 2}).hash);
        CHECK(seen.at({kernel, 2}).hash != seen.at({kernel, 3}).hash);
      }
      CHECK(seen.at({"v6.10", 1}).hash != seen.at({"v3.2", 1}).hash);
    });
  });
}

TEST_CASE("without stretch or random draws the seed changes nothing but its own number") {
  const Scenario scenario = scenario_file(kTour, {"actors.reader.do.1.loop.times=12"});
  in_child([&] {
    Platform platform(platform_config(scenario));
    Episode episode(platform, scenario);
    direct(platform, [&] { CHECK(play(episode, "v6.10", 1).hash == play(episode, "v6.10", 2).hash); });
  });
}

TEST_CASE("two processes write the same files") {
  const auto first = outputs_of(kTour);
  const auto second = outputs_of(kTour);
  CHECK(first.size() >= 9);  // summary.json and what belongs to the run
  for (const auto& [name, content] : first) {
    INFO(name);
    CHECK_FALSE(content.empty());
  }
  check_same(first, second);
}

TEST_CASE("two processes write the same files with stretch, and another seed writes others") {
  const std::string stretched = kTour + " --set machine.stretch=100";
  const auto first = outputs_of(stretched + " --seed 7");
  check_same(first, outputs_of(stretched + " --seed 7"));
  const auto other = outputs_of(stretched + " --seed 8");
  for (const auto& [name, content] : first) {
    if (!name.ends_with("events.jsonl") && !name.ends_with("waves.vcd") && !name.ends_with("timeline.pftrace"))
      continue;
    INFO(name);
    CHECK((other.contains(name) && other.at(name) != content));
  }
}
