#include "sim/conform/random/hunt.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "models/devices/registry.hpp"
#include "sim/conform/comparison.hpp"
#include "sim/conform/devices.hpp"
#include "sim/conform/player.hpp"
#include "sim/conform/reader.hpp"
#include "sim/run/test_episode.hpp"
#include "sim/scenario/parser.hpp"
#include "sim/scenario/resolved.hpp"

namespace secmmu::conform {
namespace {

void check_sound(const std::string& kernel, std::uint64_t programs) {
  HuntOptions options;
  options.kernel = kernel;
  options.programs = programs;
  const std::optional<Found> found = hunt(options);
  std::string story;
  if (found)
    story = fmt::format("seed {}, {}, {}: {}\n{}\n{}", found->seed, found->device,
                        found->form == PlayForm::in_order ? "in order" : "crowded", found->trial.what,
                        to_text(found->program), scenario_yaml(found->scenario));
  INFO(kernel << ": " << story);
  CHECK_FALSE(found.has_value());
}

struct Bound {
  const char* rule;
  std::uint64_t programs;  // of which one shows that the rule is missing
};

// Every rule of the device but those that are named as out of reach.
void check_rules(const std::string& device, const std::vector<Bound>& bounds, const std::vector<std::string>& beyond) {
  const std::vector<ProtocolRule>& protocol = find_device_kind(find_recorded_device(device)->kind)->protocol;
  CHECK(protocol.size() == bounds.size() + beyond.size());
  std::string table;
  for (const Bound& bound : bounds) {
    HuntOptions options;
    options.devices = {device};
    options.without = {bound.rule};
    options.programs = bound.programs;
    options.shrink = false;
    const std::optional<Found> found = hunt(options);
    const std::string what = device + " without " + bound.rule;
    CAPTURE(what);
    CHECK(found.has_value());
    if (found)
      table +=
          fmt::format("  {} without {}: program {}, {}: {}\n", device, bound.rule, found->number,
                      found->form == PlayForm::in_order ? "in order" : "crowded", found->trial.what.substr(0, 120));
  }
  MESSAGE("caught by\n" << table);
}

}  // namespace

TEST_CASE("random programs: every device sees what a CPU would, and no rule is broken, on v6.1") {
  check_sound("v6.1", 250);
}

TEST_CASE("random programs: the same on kernels before and after") {
  check_sound("v5.5", 80);
  check_sound("v6.10", 400);
}

TEST_CASE("random programs: a kvm whose protocol lacks a rule is caught") {
  check_rules("kvm",
              {{"active-count-check", 80},
               {"hull-covers-all-open-ranges", 400},
               {"sequence-check", 40},
               {"sequence-before-gup", 40},
               {"bump-sequence-at-end", 40},
               {"retry-under-mmu-lock", 100},
               {"zap-in-start", 20},
               {"zap-every-slot", 40},
               {"flush-remote-tlbs", 20},
               {"flush-before-unlock", 2000},
               {"release-drops-all", 40},
               {"host-writable-check", 40},
               {"dirty-to-page", 6000},
               {"young-from-entry", 800}},
              // Programs have no huge pages.
              {"host-level-check"});
}

TEST_CASE("random programs: an hmm whose protocol lacks a rule is caught") {
  check_rules("hmm",
              {{"read-begin-before-walk", 40},
               {"wait-outside-lock", 40},
               {"fault-for-write", 20},
               {"retry-check", 200},
               {"retry-under-lock", 200},
               {"fill-under-lock", 1000},
               {"write-only-if-pte-writable", 20},
               {"set-sequence", 80},
               {"invalidate-under-lock", 1000},
               {"refuse-when-not-blockable", 40},
               {"drop-whole-range", 20},
               {"empty-before-remove", 3000},
               {"dirty-to-page", 1500}},
              {});
}

TEST_CASE("random programs: a gru whose protocol lacks a rule is caught") {
  check_rules("gru",
              {{"range-active-count", 200},
               {"range-active-check", 200},
               {"wait-for-range-end", 600},
               {"wake-at-range-end", 40},
               {"purge-at-start", 20},
               {"synchronous-purge", 40},
               {"purge-defeats-drop-in", 600},
               {"full-purge-at-limit", 80},
               {"write-check", 40},
               {"lazy-asid-flush", 2500},
               {"interrupt-trylock", 20}},
              {});
}

TEST_CASE("random programs: what failed in order is printed as a recording that fails when it is played") {
  HuntOptions options;
  options.devices = {"kvm"};
  options.without = {"zap-in-start"};
  options.forms = {PlayForm::in_order};
  const std::optional<Found> found = hunt(options);
  REQUIRE(found.has_value());
  CHECK(found->program.blocks.size() < 8);
  const ReadRecording read = read_recording(to_text(found->program), "again.txt");
  REQUIRE(read.errors.empty());
  for (const bool broken : {true, false}) {
    PlayOptions play;
    if (broken) play.without = options.without;
    perform({*read.recording}, play, [&](std::size_t, const Performance& performance) {
      CHECK(performance.fault == "");
      const bool wrong = !compare(*read.recording, performance.lines).identical() || !performance.remarks.empty();
      CHECK(wrong == broken);
    });
  }
}

TEST_CASE("random programs: what failed in a crowd is printed as a scenario that fails when it is run") {
  HuntOptions options;
  options.devices = {"hmm"};
  options.without = {"set-sequence"};
  options.forms = {PlayForm::crowded};
  const std::optional<Found> found = hunt(options);
  REQUIRE(found.has_value());
  Scenario again = testing::scenario_text(scenario_yaml(found->scenario));
  testing::play_in_child(
      again,
      [&](Platform&, const EpisodeResult& result) {
        REQUIRE_FALSE(result.verdict.violations.empty());
        CHECK(result.verdict.violations.front().rule == found->trial.kind);
        CHECK(result.verdict.failed.size() == 1);  // that rule, and no step ends in another way
      },
      "v6.1");
}

}  // namespace secmmu::conform
