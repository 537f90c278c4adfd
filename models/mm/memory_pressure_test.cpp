// Reclaim when frames run short: who has to go, who may stay, and that nothing is lost.
#include "models/mm/memory_pressure.hpp"

#include <doctest/doctest.h>

#include "models/mm/test_stage.hpp"

using namespace secmmu;
using namespace secmmu::testing;

namespace {

// So few frames are left to users.
void leave_frames(Stage& stage, std::uint64_t count) {
  MmSystem& system = stage.mm->system;
  system.config.reclaim = "direct";
  system.config.lowest_free = system.memory.free_frames() - count;
}
std::string states(Stage& stage, std::uint64_t first, std::uint64_t end) {
  std::string text;
  for (std::uint64_t page = first; page < end; ++page) {
    const Pte entry = stage.mm->peek(stage.pages(page, page + 1).first);
    text += entry.swap() ? 's' : entry.present() ? 'p' : '-';
  }
  return text;
}
// Tables exist, and some frames are left to users.
void prepare(Stage& stage, std::uint64_t frames) {
  CHECK(stage.map(0, 400) == Errno::ok);
  CHECK(stage.write(399, 1));
  leave_frames(stage, frames);
}

// Answers for all pages, or for one, that they were used.
class Keen final : public ListSubscription {
 public:
  const std::string& name() const override { return name_; }
  CallbackSet callbacks() const override { return {Callback::clear_flush_young}; }
  bool clear_flush_young(AddressSpace&, PageRange pages) override {
    ++asked;
    return only == Vpn{} || pages.contains(only);
  }
  unsigned asked = 0;
  Vpn only{};

 private:
  std::string name_ = "keen";
};

}  // namespace

TEST_CASE("memory pressure: pages go in the order in which they came, and come back with what they held") {
  play(
      "v6.1", [](Stage& stage) { prepare(stage, 20); },
      [](Stage& stage) {
        for (std::uint64_t page = 0; page < 60; ++page) CHECK(stage.write(page, 100 + page));
        const std::string seen = states(stage, 0, 60);
        CHECK(seen.front() == 's');
        CHECK(seen.back() == 'p');
        CHECK(seen.find("ps") == std::string::npos);  // the oldest first
        CHECK(stage.mm->counters.resident <= 22);
        for (std::uint64_t page = 0; page < 60; ++page) CHECK(stage.read(page) == 100 + page);
        CHECK(stage.mm->system.pressure->counters.direct > 1);
      });
}

TEST_CASE("memory pressure: a page that is used again and again stays") {
  Keen keen;
  keen.only = kBase.page();
  play(
      "v6.1",
      [&keen](Stage& stage) {
        prepare(stage, 40);
        CHECK(stage.mm->system.notifier.register_subscription(keen, *stage.mm) == Errno::ok);
      },
      [](Stage& stage) {
        for (std::uint64_t page = 0; page < 200; ++page) CHECK(stage.write(page, page + 1));
        CHECK(states(stage, 0, 2) == "ps");
        CHECK(stage.mm->system.pressure->counters.activated == 1);
      });
}

TEST_CASE("memory pressure: what a device uses stays, although no CPU does") {
  Keen keen;
  play(
      "v6.1",
      [&keen](Stage& stage) {
        prepare(stage, 40);
        CHECK(stage.mm->system.notifier.register_subscription(keen, *stage.mm) == Errno::ok);
      },
      [&keen](Stage& stage) {
        bool refused = false;
        for (std::uint64_t page = 0; page < 60 && !refused; ++page) refused = !stage.write(page, 1);
        CHECK(refused);  // everything is in use, it says: so there is no memory for one more
        CHECK(keen.asked > 80);
        CHECK(states(stage, 0, 30) == std::string(30, 'p'));
      });
}

TEST_CASE("memory pressure: without a swap area private pages cannot go") {
  play(
      "v6.1",
      [](Stage& stage) {
        prepare(stage, 20);
        stage.mm->system.config.swap_slots = 0;
      },
      [](Stage& stage) {
        std::uint64_t written = 0;
        while (written < 60 && stage.write(written, 1)) ++written;
        CHECK(written == 20);
        CHECK(stage.read(0) == 1);
      });
}

TEST_CASE("memory pressure: pages of a file are written to it before they go") {
  play(
      "v6.1",
      [](Stage& stage) {
        CHECK(stage.map_file(0, 100) == Errno::ok);
        CHECK(stage.write(99, 1));
        leave_frames(stage, 20);
        stage.mm->system.config.swap_slots = 0;
      },
      [](Stage& stage) {
        for (std::uint64_t page = 0; page < 99; ++page) CHECK(stage.write(page, 7 + page));
        CHECK(stage.mm->counters.resident < 60);  // some had been read ahead before
        for (std::uint64_t page = 0; page < 99; ++page) CHECK(stage.read(page) == 7 + page);
      });
}

TEST_CASE("memory pressure: until v5.8 fresh pages were taken for pages in use") {
  const auto deactivated = [](std::string_view kernel) {
    std::uint64_t count = 0;
    play(
        kernel, [](Stage& stage) { prepare(stage, 40); },
        [&count](Stage& stage) {
          for (std::uint64_t page = 0; page < 60; ++page) CHECK(stage.write(page, 1));
          count = stage.mm->system.pressure->counters.deactivated;
        });
    return count;
  };
  CHECK(deactivated("v5.9") == 0);
  CHECK(deactivated("v4.14") > 0);
}

TEST_CASE("memory pressure: kswapd works until enough is free, and sleeps") {
  machine().reset();
  Mm* mm = nullptr;
  MmWorld& world = mm_world();
  const RunEnd end = world.run("v6.1",
                               {{"kswapd", -1, [&] { world.system->pressure->run_kswapd(); }},
                                {"app", 0,
                                 [&] {
                                   Core& core = hardware().core(0);
                                   load_on(*mm, core);
                                   VirtAddr area;
                                   mmap(*mm, {kBase, true, 100, kReadWrite}, area);
                                   core.write(area, 8, 1);
                                   MmSystem& system = *world.system;
                                   system.config.reclaim = "kswapd";
                                   system.config.lowest_free = 200;
                                   std::vector<Pfn> taken;  // all but a few
                                   while (system.memory.free_frames() > 260)
                                     taken.push_back(system.memory.allocate(FrameUse::kernel, "test"));
                                   for (std::uint64_t page = 0; page < 100; ++page) {
                                     core.write(area + page * kPageSize, 8, page);
                                     machine().arbiter().step(Time{20'000'000});
                                   }
                                   for (const Pfn frame : taken) system.memory.put(frame);
                                 },
                                 Time{1'000'000}}},
                               [&] { mm = &world.system->create("app"); });
  CHECK(end == RunEnd::quiet);
  const MemoryPressure::Counters& counters = world.system->pressure->counters;
  CHECK(counters.kswapd > 0);
  CHECK(counters.direct == 0);
  CHECK(counters.reclaimed > 30);
  CHECK(audit(*world.system) == "");
  machine().reset();
}
