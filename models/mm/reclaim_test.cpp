// Reclaim of chosen pages, MADV_FREE and swap: what is said in which order, and that the pages come back.
#include <doctest/doctest.h>

#include "models/mm/reclaim.hpp"
#include "models/mm/test_stage.hpp"

using namespace secmmu;
using namespace secmmu::literals;
using namespace secmmu::testing;

namespace {

std::string page_out(std::string_view kernel, const Act& before) {
  return play(
      kernel, before, [](Stage& stage) { CHECK(madvise_pageout(*stage.mm, stage.pages(0, 8)) == Errno::ok); }, true);
}

// As reclaim itself does it, which looks twice: the first time it finds that the pages were used.
std::string reclaim_two(std::string_view kernel) {
  return play(
      kernel,
      [](Stage& stage) {
        CHECK(stage.write(1, 1));
        CHECK(stage.write(2, 2));
      },
      [](Stage& stage) {
        MmSystem& system = stage.mm->system;
        for (const int look : {1, 2})
          for (const std::uint64_t page : {1, 2}) {
            const Pfn frame = stage.mm->peek(stage.pages(page, page + 1).first).frame();
            system.memory.get(frame);
            const bool gone = reclaim_page(system, frame);
            CHECK(gone == (look == 2));
            if (!gone) system.memory.put(frame);
          }
      },
      true);
}

}  // namespace

TEST_CASE("PAGEOUT: page by page to the swap area, then one flush of what was made old") {
  const auto two = [](Stage& stage) {
    CHECK(stage.write(1, 1));
    CHECK(stage.write(2, 2));
    CHECK(stage.read(5) == 0);  // the zero page is nobody's
  };
  CHECK(page_out("v6.1", two) ==
        "S CLEAR 1-2, 1:rw>-, V 1-2, V 1-2, E 1-2, F 1-2, free, S CLEAR 2-3, 2:rw>-, V 2-3, V 2-3, E 2-3, F 2-3, free, "
        "F 1-3, V 1-3");
  CHECK(page_out("v6.10", two) ==
        "S CLEAR 1-2, 1:rw>-, E 1-2, F 1-2, T 1-2, free, S CLEAR 2-3, 2:rw>-, E 2-3, F 2-3, T 2-3, free, F 1-3, T 1-3");
}

TEST_CASE("reclaim tells of each page: by invalidate_page, then by invalidate_range, then by ranges") {
  const std::string one_by_one = "1:rw>-, F 1-2, I 1, free, 2:rw>-, F 2-3, I 2, free";
  CHECK(reclaim_two("v2.6.27") == one_by_one);
  CHECK(reclaim_two("v3.15") == one_by_one);
  CHECK(reclaim_two("v4.13-rc") == "1:rw>-, V 1-2, F 1-2, free, 2:rw>-, V 2-3, F 2-3, free");
  CHECK(reclaim_two("v6.1") ==
        "S CLEAR 1-2, 1:rw>-, V 1-2, V 1-2, E 1-2, F 1-2, free, S CLEAR 2-3, 2:rw>-, V 2-3, V 2-3, E 2-3, F 2-3, free");
}

TEST_CASE("advice that came later is absent before, and never a success") {
  const auto absent = [](std::string_view kernel, auto call) {
    bool thrown = false;
    play(
        kernel, [](Stage&) {},
        [&](Stage& stage) {
          try {
            call(*stage.mm, stage.pages(0, 8));
          } catch (const AbsentInKernel&) {
            thrown = true;
          }
        });
    return thrown;
  };
  const auto pageout = [](Mm& mm, PageRange pages) { return madvise_pageout(mm, pages); };
  const auto lazy = [](Mm& mm, PageRange pages) { return madvise_free(mm, pages); };
  const auto populate = [](Mm& mm, PageRange pages) { return madvise_populate(mm, pages, true); };
  const auto soft_dirty = [](Mm& mm, PageRange) { return clear_soft_dirty(mm); };
  CHECK(absent("v4.19", pageout));
  CHECK_FALSE(absent("v5.5", pageout));
  CHECK(absent("v3.15", lazy));
  CHECK_FALSE(absent("v4.14", lazy));
  CHECK(absent("v5.5", populate));
  CHECK_FALSE(absent("v6.1", populate));
  CHECK(absent("v3.9", soft_dirty));
  CHECK_FALSE(absent("v3.15", soft_dirty));
}

TEST_CASE("PAGEOUT leaves pages that another process maps, and reclaims shared ones without a word under the lock") {
  CHECK(page_out("v6.1", [](Stage& stage) {
          CHECK(stage.write(1, 1));
          stage.fork_child();
        }) == "");
  CHECK(page_out("v6.1", [](Stage& stage) {
          CHECK(munmap(*stage.mm, stage.pages(0, 8)) == Errno::ok);
          CHECK(stage.map(0, 8, kReadWrite, true) == Errno::ok);
          CHECK(stage.write(1, 1));
        }) == "S CLEAR 1-2, 1:rw>-, V 1-2, E 1-2, F 1-2, free, F 1-2, V 1-2");
}

TEST_CASE("a page comes back from the swap area with its content, silently, and as its owner's own") {
  const auto back = [](bool write) {
    return play(
        "v6.1",
        [](Stage& stage) {
          CHECK(stage.write(1, 77));
          CHECK(madvise_pageout(*stage.mm, stage.pages(0, 8)) == Errno::ok);
          CHECK(stage.mm->counters.swapped == 1);
        },
        [write](Stage& stage) {
          if (!write) CHECK(stage.read(1) == 77);
          CHECK(stage.write(1, 78));
          CHECK(stage.mm->counters.swapped == 0);
          CHECK(stage.mm->system.swap.used() == 0);
        });
  };
  CHECK(back(true) == "1:->rw");
  CHECK(back(false) == "1:->ro, 1:ro>rw");
}

TEST_CASE("a swapped page that fork shared: the first writer copies, the last one keeps") {
  CHECK(play(
            "v6.1",
            [](Stage& stage) {
              CHECK(stage.write(1, 77));
              CHECK(madvise_pageout(*stage.mm, stage.pages(0, 8)) == Errno::ok);
              stage.fork_child();
            },
            [](Stage& stage) {
              CHECK(stage.read(1) == 77);
              CHECK(stage.write(1, 78));
              load_on(*stage.child, stage.core());
              std::uint64_t value = 0;
              CHECK(stage.core().read(stage.at(1), 8, value) == AccessResult::ok);
              CHECK(value == 77);
              load_on(*stage.mm, stage.core());
            }) == "1:->ro, S CLEAR 1-2, 1:ro>-, F 1-2, C 1, 1:->rw, E 1-2");
}

TEST_CASE("MADV_FREE keeps the pages until reclaim comes, and those that were written since for good") {
  const auto run = [](bool write_again) {
    return play(
        "v6.1",
        [write_again](Stage& stage) {
          CHECK(stage.write(1, 77));
          CHECK(madvise_free(*stage.mm, stage.pages(0, 8)) == Errno::ok);
          if (write_again) CHECK(stage.write(1, 78));
        },
        [write_again](Stage& stage) {
          CHECK(madvise_pageout(*stage.mm, stage.pages(0, 8)) == Errno::ok);
          CHECK(stage.read(1) == (write_again ? 78 : 0));
        },
        true);
  };
  CHECK(run(false) == "S CLEAR 1-2, 1:rw>-, V 1-2, V 1-2, E 1-2, F 1-2, free, 1:->ro");
  CHECK(run(true) == "S CLEAR 1-2, 1:rw>-, 1:->rw, V 1-2, E 1-2, F 1-2, F 1-2, V 1-2");
}

TEST_CASE("MADV_FREE announces the piece and flushes what was young or dirty, COLD only flushes what was young") {
  const auto touched = [](Stage& stage) {
    CHECK(stage.write(1, 1));
    CHECK(stage.read(3) == 0);
    CHECK(stage.write(4, 4));
  };
  CHECK(play(
            "v6.1", touched, [](Stage& stage) { CHECK(madvise_free(*stage.mm, stage.pages(0, 8)) == Errno::ok); },
            true) == "S CLEAR 0-8, V 0-8, E 0-8, F 1-5, V 1-5");
  CHECK(play(
            "v6.1", touched,
            [](Stage& stage) {
              CHECK(madvise_cold(*stage.mm, stage.pages(0, 8)) == Errno::ok);
              CHECK(madvise_cold(*stage.mm, stage.pages(0, 8)) == Errno::ok);
            },
            true) == "F 1-5, V 1-5");
}

TEST_CASE("clearing soft-dirty forbids writing everywhere, the next write is silent, and seen") {
  CHECK(play("v6.1", touch_four, [](Stage& stage) {
          CHECK(clear_soft_dirty(*stage.mm) == Errno::ok);
          CHECK_FALSE(stage.mm->peek(stage.pages(1, 2).first).soft_dirty());
          stage.log.text += " |";
          CHECK(stage.write(1, 5));
          CHECK(stage.mm->peek(stage.pages(1, 2).first).soft_dirty());
        }) == "S SOFT_DIRTY all, 1:rw>ro, 2:rw>ro, 3:rw>ro, 4:rw>ro, E all, F all |, 1:ro>rw");
}

TEST_CASE("idle pages stay idle until somebody uses them") {
  CHECK(play("v6.1", touch_four, [](Stage& stage) {
          const auto state = [&stage](std::uint64_t page) {
            return idleness(*stage.mm, stage.pages(page, page + 1).first);
          };
          mark_idle(*stage.mm, stage.pages(1, 4));
          stage.core().flush(stage.mm->id(), kWholeSpace);
          CHECK(stage.read(2) == 2);
          CHECK(state(1) == Idleness::idle);
          CHECK(state(2) == Idleness::used);
          CHECK(state(3) == Idleness::idle);
          CHECK(state(4) == Idleness::used);  // never marked
          CHECK(state(6) == Idleness::absent);
        }) == "");
}

TEST_CASE("without room in the swap area private pages stay") {
  CHECK(play("v6.1", touch_four, [](Stage& stage) {
          stage.mm->system.config.swap_slots = 1;
          CHECK(madvise_pageout(*stage.mm, stage.pages(0, 8)) == Errno::ok);
          CHECK(stage.mm->counters.swapped == 1);
          CHECK(stage.mm->counters.resident == 3);
          CHECK(stage.read(3) == 3);
        }) == "S CLEAR 1-2, 1:rw>-, E 1-2, F 1-2, free, F 1-5");
}

TEST_CASE("a page that another process has in the swap area is copied when it is written, in every kernel") {
  for (const std::string_view kernel : {"v2.6.27", "v4.19", "v5.5", "v6.1", "v6.10"})
    play(
        kernel, [](Stage& stage) { CHECK(stage.write(1, 7)); },
        [](Stage& stage) {
          stage.fork_child();
          const Vpn page = stage.at(1).page();
          MmSystem& system = stage.mm->system;
          const Pfn frame = stage.mm->peek(page).frame();
          system.memory.get(frame);
          for (int look = 0; look < 2; ++look)
            if (reclaim_page(system, frame)) break;
          CHECK(stage.child->peek(page).swap());
          CHECK(stage.read(1) == 7);
          CHECK(stage.write(1, 8));
          Pfn theirs{};
          Pte entry;
          const Errno got = get_user_page(*stage.child, page, false, theirs, entry);
          CHECK(got == Errno::ok);
          CHECK(*system.memory.bytes(theirs) == 7);
          CHECK(stage.read(1) == 8);
          system.memory.put(theirs);
        });
}
