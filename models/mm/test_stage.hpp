// A stage on which one operation at a time is played, for tests of what it says and does.
#pragma once

#include <doctest/doctest.h>

#include <functional>
#include <string>
#include <string_view>

#include "models/mm/test_world.hpp"

namespace secmmu::testing {

using namespace secmmu::literals;

inline constexpr Rights kRead{true, false, false};
inline constexpr Rights kReadWrite{true, true, false};
inline constexpr VirtAddr kBase{0x10'0000'0000};

// One process that runs on core 0 and has run on core 1, so that a flush is seen. `play` puts a buffer of
// pages at kBase, lets `before` prepare, then writes down what `act` does.
struct Stage {
  Mm* mm = nullptr;
  Mm* child = nullptr;
  Log log;

  Core& core() { return hardware().core(0); }
  PageRange pages(std::uint64_t first, std::uint64_t end) { return {kBase.page() + first, kBase.page() + end}; }
  VirtAddr at(std::uint64_t page) { return kBase + page * kPageSize; }
  bool write(std::uint64_t page, std::uint64_t value) { return core().write(at(page), 8, value) == AccessResult::ok; }
  std::uint64_t read(std::uint64_t page) {
    std::uint64_t value = 0xbad;
    return core().read(at(page), 8, value) == AccessResult::ok ? value : 0xfa17;
  }
  Errno map(std::uint64_t first, std::uint64_t count, Rights rights = kReadWrite, bool shared = false) {
    VirtAddr where;
    return mmap(*mm, {at(first), true, count, rights, shared}, where);
  }
  Errno map_file(std::uint64_t first, std::uint64_t count) {
    VirtAddr where;
    return mmap(*mm, {at(first), true, count, kReadWrite, true, true}, where);
  }
  void fork_child() {
    child = &mm->system.create("child");
    CHECK(fork(*mm, *child) == Errno::ok);
  }
};
using Act = std::function<void(Stage&)>;

// `walks`: a device that only hears of invalidate_range listens too.
inline std::string play(std::string_view kernel, const Act& before, const Act& act, bool walks = false) {
  machine().reset();
  Stage stage;
  stage.log.base = kBase.page();
  Watcher ranges(stage.log,
                 {Callback::release, Callback::change_pte, Callback::invalidate_page, Callback::start, Callback::end});
  Watcher tlbs(stage.log, {Callback::secondary_tlbs});
  Watcher walker(stage.log, {Callback::invalidate_range});
  MmWorld& world = mm_world();
  bool played = false;
  const RunEnd end = world.run(kernel,
                               {{"elsewhere", 1, [&] { load_on(*stage.mm, hardware().core(1)); }},
                                {"app", 0,
                                 [&] {
                                   Mm& mm = *stage.mm;
                                   load_on(mm, stage.core());
                                   CHECK(world.notifier.register_subscription(ranges, mm) == Errno::ok);
                                   if (world.notifier.behaviour().secondary_tlbs)
                                     CHECK(world.notifier.register_subscription(tlbs, mm) == Errno::ok);
                                   if (walks && world.notifier.behaviour().invalidate_range)
                                     CHECK(world.notifier.register_subscription(walker, mm) == Errno::ok);
                                   CHECK(stage.map(0, 8) == Errno::ok);
                                   before(stage);
                                   stage.log.text.clear();
                                   act(stage);
                                   played = true;
                                 },
                                 1_ms}},
                               [&] {
                                 stage.mm = &world.system->create("app");
                                 stage.log.listen(stage.mm->id());
                               });
  CHECK(end == RunEnd::quiet);
  CHECK(played);
  const std::string text = stage.log.text;
  CHECK(audit(*world.system) == "");
  machine().reset();
  return text;
}

inline void touch_four(Stage& stage) {
  for (std::uint64_t page = 1; page < 5; ++page) CHECK(stage.write(page, page));
}

}  // namespace secmmu::testing
