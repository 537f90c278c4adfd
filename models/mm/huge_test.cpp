// Huge pages: what subscribers are told when they come, are split, moved and made from small ones, as it was recorded
// of Linux 6.1; and that memory holds what was written whatever happens to them.
#include <doctest/doctest.h>

#include <optional>

#include "models/mm/test_world.hpp"
#include "notifier/events.hpp"

using namespace secmmu;
using namespace secmmu::literals;
using namespace secmmu::testing;

namespace {

constexpr Rights kRead{true, false, false};
constexpr Rights kReadWrite{true, true, false};
constexpr VirtAddr kBase{0x10'0000'0000};
constexpr std::uint64_t kBlock = kTableEntries;

// A process on core 0 that has run on core 1, with a buffer of one block that asks for huge pages, and a watcher of
// every callback of v6.1. Changes of neighbouring entries are written as one: "0-512:rw>-". A flush of so many pages is
// one of all ("F all").
struct Stage {
  Mm* mm = nullptr;
  Mm* child = nullptr;
  Log log;
  std::string run;  // the change that was seen last
  PageRange changed;

  Core& core() { return hardware().core(0); }
  PageRange pages(std::uint64_t first, std::uint64_t end) { return {kBase.page() + first, kBase.page() + end}; }
  VirtAddr at(std::uint64_t page) { return kBase + page * kPageSize; }
  bool write(std::uint64_t page, std::uint64_t value) { return core().write(at(page), 8, value) == AccessResult::ok; }
  std::uint64_t read(std::uint64_t page) {
    std::uint64_t value = 0xbad;
    return core().read(at(page), 8, value) == AccessResult::ok ? value : 0xfa17;
  }
  bool child_writes(std::uint64_t page, std::uint64_t value) {
    load_on(*child, core());
    const bool ok = write(page, value);
    load_on(*mm, core());
    return ok;
  }
  Errno map(std::uint64_t first, std::uint64_t count) {
    VirtAddr where;
    return mmap(*mm, {at(first), true, count, kReadWrite, false}, where);
  }
  Errno move(PageRange from, std::uint64_t to) {
    VirtAddr where;
    return mremap(*mm, {from, from.pages(), true, true, at(to)}, where);
  }
  void touch_all() {
    for (std::uint64_t page = 0; page < kBlock; ++page) CHECK(write(page, page + 1));
  }
  bool all_there(std::uint64_t first = 0) {
    for (std::uint64_t page = first; page < kBlock; ++page)
      if (read(page) != page + 1) return false;
    return true;
  }
  std::string state(std::uint64_t page) {
    const Pte entry = mm->peek(at(page).page());
    if (!entry.present()) return entry.none() ? "none" : "protnone";
    return std::string(entry.huge() ? "huge-" : "") + (entry.writable() ? "rw" : "ro");
  }

  void end_run() {
    if (!run.empty()) log.add(log.pages(changed) + run);
    run.clear();
  }
  void listen() {
    Bus& bus = machine().arbiter().bus();
    bus.listen<PteChanged>([this](const PteChanged& event, const Stamp&) {
      if (event.mm_id != mm->id()) return;
      const auto rights = [](Pfn frame, bool writable) { return frame == kNoPfn ? "-" : (writable ? "rw" : "ro"); };
      const std::string word =
          fmt::format(":{}>{}", rights(event.old_pfn, event.old_writable), rights(event.new_pfn, event.new_writable));
      if (word != run || event.page != changed.end) {
        end_run();
        changed.first = event.page;
      }
      run = word;
      changed.end = event.page + event.pages;
    });
    bus.listen<HugeSplit>([this](const HugeSplit& event, const Stamp&) {
      end_run();
      log.add("split " + log.pages(event.pages));
    });
    bus.listen<ShootdownSent>([this](const ShootdownSent& event, const Stamp&) {
      end_run();
      log.add("F " + log.pages(event.pages));
    });
    bus.listen<CallbackBegin>([this](const CallbackBegin&, const Stamp&) { end_run(); });
    bus.listen<FrameFreed>([this](const FrameFreed& event, const Stamp&) {
      end_run();
      if (event.use != "page_table") log.add(event.pages == 1 ? "free" : "free huge");
    });
  }
};
using Act = std::function<void(Stage&)>;

std::string play(std::string_view kernel, const Act& before, const Act& act) {
  machine().reset();
  Stage stage;
  stage.log.base = kBase.page();
  MmWorld& world = mm_world();
  CallbackSet callbacks{Callback::release, Callback::start, Callback::end};
  std::optional<Watcher> watcher;
  bool played = false;
  const RunEnd end = world.run(kernel,
                               {{"elsewhere", 1, [&] { load_on(*stage.mm, hardware().core(1)); }},
                                {"app", 0,
                                 [&] {
                                   load_on(*stage.mm, stage.core());
                                   const NotifierBehaviour& has = world.notifier.behaviour();
                                   if (has.change_pte) callbacks.add(Callback::change_pte);
                                   if (has.invalidate_range) callbacks.add(Callback::invalidate_range);
                                   watcher.emplace(stage.log, callbacks);
                                   CHECK(world.notifier.register_subscription(*watcher, *stage.mm) == Errno::ok);
                                   CHECK(stage.map(0, kBlock) == Errno::ok);
                                   Errno advised = Errno::ok;
                                   if (world.system->behaviour.huge_pages)
                                     advised = madvise_huge(*stage.mm, stage.pages(0, kBlock), HugeAdvice::always);
                                   CHECK(advised == Errno::ok);
                                   before(stage);
                                   stage.end_run();
                                   stage.log.text.clear();
                                   act(stage);
                                   stage.end_run();
                                   played = true;
                                 },
                                 1_ms}},
                               [&] {
                                 stage.mm = &world.system->create("app");
                                 stage.listen();
                               });
  CHECK(end == RunEnd::quiet);
  CHECK(played);
  CHECK(audit(*world.system) == "");
  machine().reset();
  return stage.log.text;
}

void huge(Stage& stage) {
  CHECK(stage.write(0, 1));
  CHECK(stage.state(300) == "huge-rw");
}
void forked(Stage& stage) {
  huge(stage);
  stage.child = &stage.mm->system.create("child");
  const Errno result = fork(*stage.mm, *stage.child);
  CHECK(result == Errno::ok);
}
void nothing(Stage&) {}
// Frames enough, but nowhere 512 together.
void leave_no_block(Stage& stage) {
  PhysicalMemory& memory = stage.mm->system.memory;
  memory.allocate(FrameUse::kernel, "hog");
  while (memory.allocate_huge(FrameUse::kernel, "hog") != kNoPfn) {
  }
}

}  // namespace

TEST_CASE("huge page: one fault maps the block, a read maps zeroes, without advice or room pages are small") {
  const Act write = [](Stage& stage) {
    CHECK(stage.write(7, 1));
    CHECK(stage.mm->counters.huge_faults == 1);
    CHECK(stage.mm->counters.resident == 512);
    CHECK(stage.read(8) == 0);
    CHECK(stage.mm->counters.faults == 1);
  };
  CHECK(play("v6.1", nothing, write) == "0-512:->rw");
  CHECK(play("v2.6.38", nothing, write) == "0-512:->rw");
  const Act read = [](Stage& stage) {
    CHECK(stage.read(7) == 0);
    CHECK(stage.state(0) == "huge-ro");
    CHECK(stage.mm->vma_at(kBase.page()).attributes.anon_vma != 0);
  };
  CHECK(play("v6.1", nothing, read) == "0-512:->ro");
  CHECK(play("v3.7", nothing, [](Stage& stage) { CHECK(stage.read(7) == 0); }) == "0-512:->rw");
  // A table stands there already; the VMA is too short; the advice is taken back; the memory is short.
  const auto small = [](const Act& before) {
    return play("v6.1", before, [](Stage& stage) { CHECK(stage.write(7, 1)); });
  };
  CHECK(small([](Stage& stage) {
          CHECK(madvise_huge(*stage.mm, stage.pages(0, 512), HugeAdvice::never) == Errno::ok);
          CHECK(stage.write(6, 1));
          CHECK(madvise_huge(*stage.mm, stage.pages(0, 512), HugeAdvice::always) == Errno::ok);
        }) == "7-8:->rw");
  CHECK(small([](Stage& stage) { CHECK(munmap(*stage.mm, stage.pages(511, 512)) == Errno::ok); }) == "7-8:->rw");
  CHECK(small([](Stage& stage) { stage.mm->system.config.huge_pages = "never"; }) == "7-8:->rw");
  CHECK(small([](Stage& stage) { leave_no_block(stage); }) == "7-8:->rw");
  CHECK(play(
            "v2.6.37", [](Stage&) {}, nothing) == "");
}

TEST_CASE("huge page: DONTNEED of all and of a part") {
  CHECK(play("v6.1", huge, [](Stage& stage) {
          CHECK(madvise_dontneed(*stage.mm, stage.pages(0, 512)) == Errno::ok);
        }) == "S CLEAR 0-512, 0-512:rw>-, V 0-512, E 0-512, F all, V 0-512, free huge");
  CHECK(play(
            "v6.1", [](Stage& stage) { stage.touch_all(); },
            [](Stage& stage) {
              CHECK(madvise_dontneed(*stage.mm, stage.pages(8, 16)) == Errno::ok);
              CHECK(stage.all_there(16));
            }) ==
        "S CLEAR 8-16, S CLEAR 0-512, F all, split 0-512, E 0-512, 8-16:rw>-, V 8-16, E 8-16, F 8-16, V 8-16");
  // All small parts gone: so is the folio.
  CHECK(play(
            "v6.1",
            [](Stage& stage) {
              huge(stage);
              CHECK(madvise_dontneed(*stage.mm, stage.pages(0, 511)) == Errno::ok);
            },
            [](Stage& stage) { CHECK(madvise_dontneed(*stage.mm, stage.pages(511, 512)) == Errno::ok); }) ==
        "S CLEAR 511-512, 511-512:rw>-, V 511-512, E 511-512, F 511-512, V 511-512, free huge");
}

TEST_CASE("huge page: munmap and mprotect of a part cut the VMA, and split first") {
  CHECK(play("v6.1", huge, [](Stage& stage) { CHECK(munmap(*stage.mm, stage.pages(0, 8)) == Errno::ok); }) ==
        "S CLEAR 0-512, F all, split 0-512, E 0-512, S UNMAP 0-8, 0-8:rw>-, V 0-8, E 0-8, F 0-8, V 0-8");
  CHECK(play("v6.1", huge, [](Stage& stage) { CHECK(mprotect(*stage.mm, stage.pages(0, 8), kRead) == Errno::ok); }) ==
        "S CLEAR 0-512, F all, split 0-512, E 0-512, S PROTECTION_VMA 0-8, 0-8:rw>ro, V 0-8, E 0-8, F 0-8, V 0-8");
  const Act back = [](Stage& stage) {
    CHECK(mprotect(*stage.mm, stage.pages(0, 512), kRead) == Errno::ok);
    stage.end_run();
    stage.log.add("back");
    CHECK(mprotect(*stage.mm, stage.pages(0, 512), kReadWrite) == Errno::ok);
    CHECK(stage.write(9, 1));
  };
  CHECK(play("v6.1", huge, back) ==
        "S PROTECTION_VMA 0-512, 0-512:rw>ro, V 0-512, E 0-512, F all, V 0-512, back, "
        "S PROTECTION_VMA 0-512, V 0-512, E 0-512, 0-512:ro>rw");
  CHECK(play("v6.2", huge, back) ==
        "S PROTECTION_VMA 0-512, 0-512:rw>ro, V 0-512, E 0-512, F all, V 0-512, back, "
        "S PROTECTION_VMA 0-512, 0-512:ro>rw, V 0-512, E 0-512, F all, V 0-512");
  CHECK(play("v6.1", huge,
             [](Stage& stage) {
               CHECK(mprotect(*stage.mm, stage.pages(0, 512), {}) == Errno::ok);
               CHECK(stage.state(5) == "protnone");
               CHECK(stage.read(5) == 0xfa17);
               CHECK(mprotect(*stage.mm, stage.pages(0, 512), kReadWrite) == Errno::ok);
               CHECK(stage.state(5) == "huge-ro");
               CHECK(stage.read(0) == 1);
             }) ==
        "S PROTECTION_VMA 0-512, 0-512:rw>-, V 0-512, E 0-512, F all, V 0-512, "
        "S PROTECTION_VMA 0-512, 0-512:->ro, V 0-512, E 0-512");
  // Kernels up to v4.5 look before they announce a cut.
  CHECK(play(
            "v4.5",
            [](Stage& stage) { CHECK(madvise_huge(*stage.mm, stage.pages(0, 512), HugeAdvice::never) == Errno::ok); },
            [](Stage& stage) { CHECK(munmap(*stage.mm, stage.pages(0, 8)) == Errno::ok); }) ==
        "S UNMAP 0-8, V 0-8, E 0-8");
}

TEST_CASE("huge page: after a fork a write splits it and copies one page, or takes it over") {
  CHECK(play("v6.1", huge, [](Stage& stage) { forked(stage); }) ==
        "S PROTECTION_PAGE 0-512, 0-512:rw>ro, V 0-512, E 0-512, F all");
  const Act write = [](Stage& stage) { CHECK(stage.write(3, 9)); };
  CHECK(play("v6.1", forked, write) ==
        "S CLEAR 0-512, F all, split 0-512, E 0-512, S CLEAR 3-4, 3-4:ro>-, F 3-4, V 3-4, C 3, 3-4:->rw, E 3-4");
  CHECK(play(
            "v6.1",
            [](Stage& stage) {
              forked(stage);
              mmput(*stage.child);
            },
            write) == "0-512:ro>rw");
  // The child writes first: the page is shared with the rest of the child's table, until that goes.
  CHECK(play(
            "v6.1",
            [](Stage& stage) {
              forked(stage);
              CHECK(stage.child_writes(3, 5));
              CHECK(stage.read(3) == 0);
              mmput(*stage.child);
            },
            write) == "0-512:ro>rw");
  // Up to v5.7 all of it is copied.
  CHECK(play("v5.7", forked, write) == "S CLEAR 0-512, 0-512:ro>-, F all, V 0-512, 0-512:->rw, E 0-512");
  CHECK(play("v3.2", forked, write) == "S CLEAR 0-512, 0-512:ro>-, F all, 0-512:->rw, E 0-512");
}

TEST_CASE("huge page: the zero page is split for a write") {
  CHECK(play(
            "v6.1", [](Stage& stage) { CHECK(stage.read(3) == 0); },
            [](Stage& stage) {
              CHECK(stage.write(3, 9));
              CHECK(stage.read(2) == 0);
              CHECK(stage.read(3) == 9);
            }) ==
        "S CLEAR 0-512, F all, 0-512:ro>ro, split 0-512, E 0-512, "
        "S CLEAR 3-4, 3-4:ro>-, F 3-4, V 3-4, C 3, 3-4:->rw, E 3-4");
  CHECK(play(
            "v6.1", [](Stage& stage) { CHECK(stage.read(3) == 0); },
            [](Stage& stage) { CHECK(madvise_dontneed(*stage.mm, stage.pages(0, 512)) == Errno::ok); }) ==
        "S CLEAR 0-512, 0-512:ro>-, V 0-512, E 0-512, F all, V 0-512");
}

TEST_CASE("huge page: mremap moves a block whole from border to border, and splits it for any other place") {
  CHECK(play("v6.1", huge, [](Stage& stage) {
          CHECK(stage.move(stage.pages(0, 512), 1024) == Errno::ok);
          CHECK(stage.state(1024) == "huge-rw");
          CHECK(stage.read(1024) == 1);
        }) == "S UNMAP 0-512, 0-512:rw>-, 1024-1536:->rw, F all, V 0-512, E 0-512, S UNMAP 0-512, V 0-512, E 0-512");
  CHECK(play("v6.1", huge, [](Stage& stage) {
          CHECK(stage.move(stage.pages(0, 512), 1025) == Errno::ok);
          CHECK(stage.state(1025) == "rw");
          CHECK(stage.read(1025) == 1);
        }).starts_with("S UNMAP 0-512, S CLEAR 0-512, F all, split 0-512, E 0-512, 0-1:rw>-, 1025-1026:->rw, "));
  CHECK(play("v6.1", huge, [](Stage& stage) {
          CHECK(stage.move(stage.pages(510, 512), 1534) == Errno::ok);
          CHECK(stage.state(1535) == "rw");
          CHECK(stage.state(509) == "rw");
        }).starts_with("S UNMAP 510-512, S CLEAR 0-512, F all, split 0-512, E 0-512, 510-511:rw>-"));
}

TEST_CASE("collapse: announced while the table goes, over before the huge page comes") {
  const Act small = [](Stage& stage) {
    CHECK(madvise_huge(*stage.mm, stage.pages(0, 512), HugeAdvice::never) == Errno::ok);
    stage.touch_all();
    CHECK(madvise_dontneed(*stage.mm, stage.pages(511, 512)) == Errno::ok);
    CHECK(madvise_huge(*stage.mm, stage.pages(0, 512), HugeAdvice::always) == Errno::ok);
  };
  const auto once = [&](const Act& before, const Act& act) {
    std::string text = play("v6.1", before, act);
    for (std::size_t at = text.find(", free"); at != std::string::npos; at = text.find(", free")) text.erase(at, 6);
    return text;
  };
  const std::string told = "S CLEAR 0-512, 0-511:rw>-, F all, V 0-512, E 0-512, 0-512:->rw";
  CHECK(once(small, [](Stage& stage) {
          CHECK(madvise_collapse(*stage.mm, stage.pages(0, 512)) == Errno::ok);
          CHECK(stage.read(10) == 11);
          CHECK(stage.read(511) == 0);
          CHECK(stage.mm->counters.resident == 512);
        }) == told);
  CHECK(once(small, [](Stage& stage) { CHECK(khugepaged_scan(*stage.mm) == 1); }) == told);
  // Again what a fork split: the child keeps its own.
  CHECK(once(
            [](Stage& stage) {
              forked(stage);
              CHECK(stage.write(3, 9));
            },
            [](Stage& stage) {
              CHECK(madvise_collapse(*stage.mm, stage.pages(0, 512)) == Errno::ok);
              CHECK(stage.read(3) == 9);
              CHECK(stage.child_writes(3, 5));
              CHECK(stage.read(3) == 9);
            }) == "S CLEAR 0-512, 0-3:ro>-, 3-4:rw>-, 4-512:ro>-, F all, V 0-512, E 0-512, 0-512:->rw");
}

TEST_CASE("huge page: PAGEOUT takes all of it, part by part, and it comes back in small pages") {
  std::string parts;
  for (int page = 0; page < 512; ++page) parts += fmt::format("{0}-{1}:rw>-, V {0}-{1}, ", page, page + 1);
  CHECK(play(
            "v6.1", [](Stage& stage) { stage.touch_all(); },
            [](Stage& stage) {
              CHECK(madvise_pageout(*stage.mm, stage.pages(0, 512)) == Errno::ok);
              stage.end_run();
              CHECK(stage.mm->counters.swapped == 512);
              const std::string told = stage.log.text;
              CHECK(stage.all_there());
              CHECK(stage.mm->counters.resident == 512);
              stage.run.clear();
              stage.log.text = told;
            }) == "S CLEAR 0-512, F all, split 0-512, E 0-512, S CLEAR 0-512, " + parts +
                      "V 0-512, E 0-512, F all, free huge, F all, V 0-512");
  // What another process maps is left alone; a part is split off first, and the rest stays.
  CHECK(play("v6.1", forked, [](Stage& stage) {
          CHECK(madvise_pageout(*stage.mm, stage.pages(0, 512)) == Errno::ok);
          CHECK(madvise_free(*stage.mm, stage.pages(3, 6)) == Errno::ok);
        }) == "S CLEAR 3-6, V 3-6, E 3-6");
  CHECK(play(
            "v6.1", [](Stage& stage) { stage.touch_all(); },
            [](Stage& stage) {
              CHECK(madvise_pageout(*stage.mm, stage.pages(3, 4)) == Errno::ok);
              CHECK(stage.mm->counters.swapped == 1);
              CHECK(stage.mm->system.memory.folio_frames(stage.mm->peek(stage.at(9).page()).frame()) == 1);
            }) ==
        "S CLEAR 0-512, F all, 0-512:rw>-, split 0-512, E 0-512, S CLEAR 0-512, V 0-512, E 0-512, 0-512:->rw, "
        "S CLEAR 3-4, 3-4:rw>-, V 3-4, V 3-4, E 3-4, F 3-4, free, F 3-4, V 3-4");
}

TEST_CASE("huge page: FREE of all leaves it huge, FREE of a part splits the page itself") {
  CHECK(play("v6.1", huge, [](Stage& stage) {
          CHECK(madvise_free(*stage.mm, stage.pages(0, 512)) == Errno::ok);
          CHECK(stage.state(5) == "huge-rw");
          CHECK(!stage.mm->peek(stage.at(5).page()).dirty());
        }) == "S CLEAR 0-512, V 0-512, E 0-512, F all, V 0-512");
  const std::string split =
      "S CLEAR 1-3, S CLEAR 0-512, F all, 0-512:rw>-, split 0-512, E 0-512, S CLEAR 0-512, V 0-512, E 0-512, "
      "0-512:->rw, ";
  CHECK(play(
            "v6.1", [](Stage& stage) { stage.touch_all(); },
            [](Stage& stage) {
              CHECK(madvise_free(*stage.mm, stage.pages(1, 3)) == Errno::ok);
              CHECK(stage.all_there(3));
            }) == split + "V 1-3, E 1-3, F 1-3, V 1-3");
  // Somebody holds a part of it: it stays huge.
  CHECK(play("v6.1", huge, [](Stage& stage) {
          const Pfn held = stage.mm->peek(stage.at(7).page()).frame();
          stage.mm->system.memory.get(held);
          CHECK(madvise_free(*stage.mm, stage.pages(1, 3)) == Errno::ok);
          CHECK(stage.state(1) == "huge-rw");
          stage.mm->system.memory.put(held);
        }) == "S CLEAR 1-3, V 1-3, E 1-3");
  // Freed lazily and not written since: thrown away without a slot.
  CHECK(play("v6.1", huge, [](Stage& stage) {
          CHECK(madvise_free(*stage.mm, stage.pages(0, 512)) == Errno::ok);
          CHECK(madvise_pageout(*stage.mm, stage.pages(0, 512)) == Errno::ok);
          CHECK(stage.mm->counters.swapped == 0);
          CHECK(stage.mm->counters.resident == 0);
        }).ends_with("E 0-512, F all, free huge"));
}

TEST_CASE("huge page: soft-dirty looks at the whole block, idle tracking at its first page for all") {
  CHECK(play("v6.1", huge, [](Stage& stage) {
          CHECK(clear_soft_dirty(*stage.mm) == Errno::ok);
          CHECK(stage.state(9) == "huge-ro");
          CHECK(stage.write(9, 1));
        }) == "S SOFT_DIRTY all, 0-512:rw>ro, V all, E all, F all, 0-512:ro>rw");
  CHECK(play("v6.1", huge, [](Stage& stage) {
          mark_idle(*stage.mm, stage.pages(1, 512));
          CHECK(idleness(*stage.mm, stage.at(0).page()) == Idleness::used);
          CHECK(idleness(*stage.mm, stage.at(500).page()) == Idleness::used);
          mark_idle(*stage.mm, stage.pages(0, 1));
          CHECK(idleness(*stage.mm, stage.at(500).page()) == Idleness::used);
          CHECK(idleness(*stage.mm, stage.at(0).page()) == Idleness::idle);
          CHECK(stage.write(500, 1));
          CHECK(idleness(*stage.mm, stage.at(0).page()) == Idleness::used);
        }) == "");
}

TEST_CASE("collapse: pages that are swapped out come back first") {
  CHECK(play(
            "v6.1",
            [](Stage& stage) {
              stage.mm->system.config.huge_pages = "never";
              stage.touch_all();
              CHECK(madvise_pageout(*stage.mm, stage.pages(5, 10)) == Errno::ok);
              stage.mm->system.config.huge_pages = "madvise";
              CHECK(stage.mm->counters.swapped == 5);
            },
            [](Stage& stage) {
              CHECK(madvise_collapse(*stage.mm, stage.pages(0, 512)) == Errno::ok);
              CHECK(stage.all_there());
            })
            .starts_with("5-10:->ro, S CLEAR 0-512, 0-5:rw>-, 5-10:ro>-, 10-512:rw>-, F all, V 0-512, E 0-512"));
}

TEST_CASE("collapse: a range inside one block is refused unless its ends meet when they are rounded inwards") {
  const auto answer = [](std::uint64_t first, std::uint64_t end) {
    Errno got = Errno::ok;
    const std::string text = play(
        "v6.1",
        [](Stage& stage) {
          stage.mm->system.config.huge_pages = "never";
          CHECK(stage.map(0, 1024) == Errno::ok);
          CHECK(stage.write(1, 1));
          stage.mm->system.config.huge_pages = "madvise";
        },
        [&](Stage& stage) { got = madvise_collapse(*stage.mm, stage.pages(first, end)); });
    CHECK(text == "");
    return got;
  };
  CHECK(answer(600, 610) == Errno::einval);
  CHECK(answer(1, 10) == Errno::einval);
  CHECK(answer(0, 10) == Errno::ok);
  CHECK(answer(10, 520) == Errno::ok);
  CHECK(answer(10, 512) == Errno::ok);
}

TEST_CASE("collapse: what is refused, and why") {
  const auto refused = [](const Act& before, Errno wanted, const std::string& told = "") {
    const std::string text = play("v6.1", before, [&](Stage& stage) {
      const Errno got = madvise_collapse(*stage.mm, stage.pages(0, 512));
      CHECK(got == wanted);
      if (wanted == Errno::eagain) stage.mm->system.memory.put(stage.mm->peek(stage.at(1).page()).frame());
    });
    CHECK(text == told);
  };
  const auto no_fault_is_huge = [](Stage& stage) { stage.mm->system.config.huge_pages = "never"; };
  refused(huge, Errno::ok);         // it is huge
  refused(nothing, Errno::einval);  // no page was ever there
  refused(
      [&](Stage& stage) {
        no_fault_is_huge(stage);
        CHECK(stage.write(1, 1));
        CHECK(madvise_huge(*stage.mm, stage.pages(0, 512), HugeAdvice::never) == Errno::ok);
      },
      Errno::einval);
  refused(
      [&](Stage& stage) {  // nothing may be written
        no_fault_is_huge(stage);
        CHECK(stage.write(1, 1));
        CHECK(mprotect(*stage.mm, stage.pages(0, 512), kRead) == Errno::ok);
      },
      Errno::einval);
  refused(
      [&](Stage& stage) {
        no_fault_is_huge(stage);
        CHECK(stage.write(1, 1));
        stage.mm->system.memory.get(stage.mm->peek(stage.at(1).page()).frame());
      },
      Errno::eagain);
  refused(
      [&](Stage& stage) {
        no_fault_is_huge(stage);
        CHECK(stage.write(1, 1));
        leave_no_block(stage);
      },
      Errno::enomem);
  refused(
      [&](Stage& stage) {  // a block that the VMA holds only a part of is passed over: nothing is left to do
        no_fault_is_huge(stage);
        CHECK(stage.write(1, 1));
        CHECK(stage.map(512, 512) == Errno::ok);
        CHECK(munmap(*stage.mm, stage.pages(0, 1)) == Errno::ok);
      },
      Errno::einval);
  CHECK(play("v6.0", huge, [](Stage& stage) {
          CHECK_THROWS_AS(madvise_collapse(*stage.mm, stage.pages(0, 512)), AbsentInKernel);
        }) == "");
}
