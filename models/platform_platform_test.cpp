// The platform: what cannot be built says why, and what can is whole again after a reset.
#include "models/platform.hpp"

#include <doctest/doctest.h>

#include <string>

#include <fmt/format.h>

#include "models/test_platform.hpp"

using namespace secmmu;
using namespace secmmu::testing;

namespace {

// The sentence with which a configuration is refused; empty: it is not.
std::string refusal(const PlatformConfig& config) {
  try {
    const Platform platform(config);
  } catch (const std::runtime_error& error) {
    return error.what();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "";
}

PlatformConfig with_device(const std::string& kind, const std::map<std::string, ParameterValue>& settings) {
  PlatformConfig config;
  config.devices.emplace_back(kind, DeviceRequest{"device0", settings});
  return config;
}

void check_refused(const PlatformConfig& config, const std::string& words) {
  CAPTURE(words);
  in_child([&] {
    const std::string sentence = refusal(config);
    INFO(sentence);
    CHECK(sentence.find(words) != std::string::npos);
  });
}

}  // namespace

TEST_CASE("platform: shapes that no hardware has are refused with a sentence") {
  PlatformConfig config;
  config.tlb = {10, 4};
  check_refused(config, "10 entries are not a multiple of 4 ways");
  config.tlb = {24, 4};
  check_refused(config, "6 sets, which is no power of two");
  config.tlb = {4, 8};
  check_refused(config, "4 entries are not a multiple of 8 ways");
  check_refused(with_device("gru", {{"tlb_entries", std::uint64_t{12}}, {"tlb_ways", std::uint64_t{4}}}),
                "3 sets, which is no power of two");
  check_refused(with_device("gru", {{"tlb_entries", std::uint64_t{2}}, {"tlb_ways", std::uint64_t{4}}}),
                "cannot be divided into sets of 4");
  check_refused(with_device("gru", {{"asids", std::uint64_t{16}}}), "device0: 16 ASIDs are too few for 16 contexts");
  check_refused(with_device("grue", {}), "no device kind grue");
}

TEST_CASE("platform: every kind of device is built with its defaults and found by its name") {
  for (const DeviceKindRow& kind : device_kinds()) {
    CAPTURE(kind.name);
    in_child([&] {
      Platform platform(with_device(kind.name, {}));
      CHECK(platform.device("device0") != nullptr);
      CHECK(platform.device("device1") == nullptr);
      CHECK_THROWS_AS(platform.task("nobody"), std::logic_error);
      direct(platform, [&] {
        platform.set_kernel(*parse_kernel_version("v6.10"), {});
        platform.reset();
        CHECK(platform.arbiter.run({}) == RunEnd::quiet);
        CHECK(platform.arbiter.unfinished().empty());
        CHECK(platform.device("device0")->name() == "device0");
        CHECK(platform.device("device0")->contexts() > 0);
        CHECK(platform.memory.free_frames() == platform.memory.frames());
      });
    });
  }
}

TEST_CASE("platform: settings arrive where they belong") {
  PlatformConfig config;
  config.machine.cpus = 3;
  config.memory.frames = 77;
  config.costs.core.tlb_hit = Time{123};
  config.costs.substrate.lock_release = Time{456};
  config.tasks.push_back({"last", 2, TaskKind::actor});
  in_child([&] {
    Platform platform(config);
    CHECK(platform.cores.size() == 3);
    CHECK(platform.memory.frames() == 77);
    CHECK(platform.cores[2]->costs.tlb_hit == Time{123});
    CHECK(platform.arbiter.costs.lock_release == Time{456});
    CHECK(platform.task("last").processor_number() == 2);
  });
}

TEST_CASE("platform: the rows of all costs reach the struct that they stand for") {
  MachineCosts costs;
  std::uint64_t number = 1'000;
  for (const Parameter& row : machine_cost_rows().rows) row.set(&costs, Time{number++});
  number = 1'000;
  for (const Parameter& row : machine_cost_rows().rows) {
    INFO(row.name);
    CHECK(std::get<Time>(row.get(&costs)) == Time{number++});
  }
}

TEST_CASE("platform: a kernel is looked up in every room, and single behaviours are overridden") {
  in_child([&] {
    Platform platform(PlatformConfig{});
    platform.set_kernel(*parse_kernel_version("v3.2"), {});
    CHECK(platform.mms->behaviour.cow_notify != "start-end");
    platform.set_kernel(*parse_kernel_version("v6.10"),
                        {{"cow_notify", "invalidate-page"}, {"munmap_downgrades", "false"}});
    CHECK(platform.mms->behaviour.cow_notify == "invalidate-page");
    CHECK_FALSE(platform.mms->behaviour.munmap_downgrades);
    platform.set_kernel(*parse_kernel_version("v6.10"), {});
    CHECK(platform.mms->behaviour.cow_notify == "start-end");
    CHECK(platform.mms->behaviour.munmap_downgrades);
  });
}

TEST_CASE(
    "platform: memory of two nodes is handed out from the first, from one that is asked for, and comes back there") {
  in_child([] {
    PlatformConfig config;
    config.memory = {.frames = 2048, .nodes = 2};
    Platform platform(config);
    direct(platform, [&] {
      PhysicalMemory& memory = platform.memory;
      CHECK(memory.nodes() == 2);
      CHECK(memory.node_of({1023}) == 0);
      CHECK(memory.node_of({1024}) == 1);
      const Pfn near = memory.allocate(FrameUse::anonymous, "test");
      const Pfn far = memory.allocate_on(1, FrameUse::anonymous, "test");
      CHECK(near == Pfn{0});
      CHECK(far == Pfn{1024});
      memory.put(near);
      memory.put(far);
      CHECK(memory.allocate_on(1, FrameUse::anonymous, "test") == far);
      CHECK(memory.allocate(FrameUse::anonymous, "test") == near);
      CHECK(memory.allocate_huge_on(1, FrameUse::anonymous, "test") == Pfn{1536});
      CHECK(memory.allocate_huge(FrameUse::anonymous, "test") == Pfn{512});
      CHECK(memory.allocate_huge(FrameUse::anonymous, "test") == kNoPfn);  // a frame of each other block is in use
      for (int i = 0; i < 511; ++i) memory.allocate(FrameUse::anonymous, "test");
      CHECK(memory.node_of(memory.allocate(FrameUse::anonymous, "test")) == 1);  // the first one is full
      CHECK(memory.allocate_on(0, FrameUse::anonymous, "test") == kNoPfn);
      CHECK(memory.free_frames() == 510);
      platform.reset();
      CHECK(memory.free_frames() == 2048);
      CHECK(memory.allocate_on(1, FrameUse::anonymous, "test") == far);
    });
  });
}
