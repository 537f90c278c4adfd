// Pages that move: what is said, what waits, what is left alone, and that everything is found again.
#include <doctest/doctest.h>

#include "models/mm/migrate.hpp"
#include "models/mm/test_stage.hpp"

using namespace secmmu;
using namespace secmmu::literals;
using namespace secmmu::testing;

namespace {

// What moving the pages 1..5 to the other frames of the node says; soft offline needs no second node.
std::string move_away(std::string_view kernel, const Act& before, Errno expected = Errno::ok) {
  return play(
      kernel, before,
      [expected](Stage& stage) { CHECK(madvise_soft_offline(*stage.mm, stage.pages(1, 3)) == expected); }, true);
}

void touch_two(Stage& stage) {
  CHECK(stage.write(1, 11));
  CHECK(stage.write(2, 12));
}

}  // namespace

TEST_CASE("a page that moves is announced, its return is silent and its old frame is never used again") {
  CHECK(
      move_away("v6.1",
                [](Stage& stage) {
                  touch_two(stage);
                  stage.read(1);
                }) ==
      "S CLEAR 1-2, 1:rw>-, F 1-2, V 1-2, E 1-2, 1:->rw, free, S CLEAR 2-3, 2:rw>-, F 2-3, V 2-3, E 2-3, 2:->rw, free");
  CHECK(play("v6.1", touch_two, [](Stage& stage) {
          PhysicalMemory& memory = stage.mm->system.memory;
          const Pfn old = stage.mm->peek(stage.pages(1, 2).first).frame();
          const std::uint64_t free = memory.free_frames();
          CHECK(madvise_soft_offline(*stage.mm, stage.pages(1, 2)) == Errno::ok);
          CHECK(memory.frame(old).use == FrameUse::offline);
          CHECK(memory.free_frames() == free - 1);
          CHECK(stage.read(1) == 11);
          CHECK(stage.write(1, 13));
          CHECK(stage.mm->counters.migrated == 1);
          CHECK(stage.mm->counters.cow_reuses == 0);
        }) == "S CLEAR 1-2, 1:rw>-, F 1-2, E 1-2, 1:->rw, free");
}

TEST_CASE("a page that moves is told of as a reclaimed one, in every kernel") {
  CHECK(move_away("v3.2", touch_two) == "1:rw>-, F 1-2, I 1, 1:->rw, free, 2:rw>-, F 2-3, I 2, 2:->rw, free");
  CHECK(move_away("v4.14", touch_two) ==
        "S CLEAR 1-2, 1:rw>-, F 1-2, V 1-2, V 1-2, E 1-2, 1:->rw, free, "
        "S CLEAR 2-3, 2:rw>-, F 2-3, V 2-3, V 2-3, E 2-3, 2:->rw, free");
  CHECK(move_away("v6.10", touch_two) ==
        "S CLEAR 1-2, 1:rw>-, E 1-2, F 1-2, T 1-2, 1:->rw, free, "
        "S CLEAR 2-3, 2:rw>-, E 2-3, F 2-3, T 2-3, 2:->rw, free");
}

TEST_CASE("a page that somebody else holds stays, after as many attempts as the kernel makes") {
  // The frame that was meant for it is given back after each.
  const std::string once = "S CLEAR 1-2, 1:rw>-, F 1-2, E 1-2, 1:->rw, free";
  std::string ten = once;
  for (int i = 0; i < 9; ++i) ten += ", " + once;
  CHECK(play("v6.1", touch_two, [](Stage& stage) {
          Pfn frame{};
          Pte entry;
          CHECK(get_user_page(*stage.mm, stage.pages(1, 2).first, true, frame, entry) == Errno::ok);
          CHECK(madvise_soft_offline(*stage.mm, stage.pages(1, 2)) == Errno::ebusy);
          CHECK(stage.read(1) == 11);
          stage.mm->system.memory.put(frame);
        }) == ten);
}

TEST_CASE("the zero page cannot be taken out of use, and memory that is not mapped has no frame") {
  CHECK(move_away(
            "v6.1", [](Stage& stage) { CHECK(stage.read(1) == 0); }, Errno::eio) == "");
  CHECK(move_away(
            "v6.1", [](Stage& stage) { CHECK(munmap(*stage.mm, stage.pages(0, 8)) == Errno::ok); }, Errno::efault) ==
        "");
}

TEST_CASE("all mappings of a page move with it, and VMAs that do not map it are announced too") {
  CHECK(play(
            "v6.1",
            [](Stage& stage) {
              touch_two(stage);
              stage.fork_child();
              CHECK(madvise_dontneed(*stage.mm, stage.pages(1, 2)) == Errno::ok);
            },
            [](Stage& stage) {
              // The parent maps it no more, but who comes from the page's side cannot know.
              CHECK(madvise_soft_offline(*stage.child, stage.pages(1, 3)) == Errno::ok);
              CHECK(stage.child->counters.migrated == 2);
              CHECK(stage.mm->counters.migrated == 1);
              CHECK(stage.read(2) == 12);
            }) == "S CLEAR 1-2, E 1-2, free, S CLEAR 2-3, 2:ro>-, F 2-3, E 2-3, 2:->ro, free");
}

TEST_CASE("a shared page moves, and those who did not map it find it") {
  play(
      "v6.1",
      [](Stage& stage) {
        CHECK(munmap(*stage.mm, stage.pages(0, 8)) == Errno::ok);
        CHECK(stage.map(0, 8, kReadWrite, true) == Errno::ok);
        touch_two(stage);
        stage.fork_child();
      },
      [](Stage& stage) {
        CHECK(madvise_soft_offline(*stage.mm, stage.pages(1, 3)) == Errno::ok);
        load_on(*stage.child, stage.core());
        CHECK(stage.read(1) == 11);
        CHECK(stage.read(2) == 12);
        load_on(*stage.mm, stage.core());
      });
}

TEST_CASE("move_pages says of each page what became of it") {
  play("v6.1", touch_two, [](Stage& stage) {
    std::vector<Errno> status;
    CHECK(move_pages(*stage.mm, stage.pages(0, 4), 1, false, &status) == Errno::enodev);  // there is one node only
    CHECK(stage.read(3) == 0);
    CHECK(move_pages(*stage.mm, stage.pages(0, 9), 0, false, &status) == Errno::ok);
    CHECK(status == std::vector<Errno>{Errno::efault, Errno::ok, Errno::ok, Errno::efault, Errno::efault, Errno::efault,
                                       Errno::efault, Errno::efault, Errno::efault});
  });
}

TEST_CASE("a swapped page that is in memory still takes its place in the swap cache along") {
  play(
      "v6.1",
      [](Stage& stage) {
        touch_two(stage);
        CHECK(madvise_pageout(*stage.mm, stage.pages(1, 3)) == Errno::ok);
        stage.fork_child();
        CHECK(stage.read(1) == 11);  // the child's entry names the slot still
      },
      [](Stage& stage) {
        CHECK(madvise_soft_offline(*stage.mm, stage.pages(1, 2)) == Errno::ok);
        load_on(*stage.child, stage.core());
        CHECK(stage.read(1) == 11);
        load_on(*stage.mm, stage.core());
      });
}

TEST_CASE("advice that came later for moving pages is absent before") {
  bool thrown = false;
  play("v2.6.27", touch_two, [&](Stage& stage) {
    try {
      madvise_soft_offline(*stage.mm, stage.pages(1, 2));
    } catch (const AbsentInKernel&) {
      thrown = true;
    }
  });
  CHECK(thrown);
}
