// KSM: who is told what when pages are merged and parted, and that everybody sees the same bytes as before.
#include <doctest/doctest.h>

#include "models/mm/ksm.hpp"
#include "models/mm/migrate.hpp"
#include "models/mm/reclaim.hpp"
#include "models/mm/test_stage.hpp"

using namespace secmmu;
using namespace secmmu::literals;
using namespace secmmu::testing;

namespace {

void equal_pages(Stage& stage, std::uint64_t count) {
  for (std::uint64_t page = 0; page < count; ++page) CHECK(stage.write(page, 7));
  CHECK(madvise_merge(*stage.mm, stage.pages(0, 8), true) == Errno::ok);
}

std::string merge_two(std::string_view kernel) {
  return play(
      kernel, [](Stage& stage) { equal_pages(stage, 2); },
      [](Stage& stage) {
        CHECK(ksmd_run(stage.mm->system) == 2);
        CHECK(stage.mm->peek(stage.pages(0, 1).first).frame() == stage.mm->peek(stage.pages(1, 2).first).frame());
      },
      true);
}

Frame& frame_of(Stage& stage, std::uint64_t page) {
  return stage.mm->system.memory.frame(stage.mm->peek(stage.pages(page, page + 1).first).frame());
}

}  // namespace

TEST_CASE("of two equal pages the second becomes the merged one, the first is replaced by it") {
  CHECK(merge_two("v6.1") ==
        "S CLEAR 1-2, 1:rw>-, F 1-2, C 1, 1:->ro, V 1-2, E 1-2, S CLEAR 0-1, 0:rw>-, F 0-1, C 0, 0:->ro, V 0-1, E 0-1, "
        "S CLEAR 0-1, 0:ro>-, F 0-1, C 0, 0:->ro, V 0-1, E 0-1, free");
}

TEST_CASE("merging is told as copy-on-write is, kernel by kernel") {
  CHECK(merge_two("v3.2") ==
        "1:rw>-, F 1-2, 1:->ro, C 1, 0:rw>-, F 0-1, 0:->ro, C 0, 0:ro>-, F 0-1, 0:->ro, C 0, free");
  CHECK(merge_two("v4.14") ==
        "S CLEAR 1-2, 1:rw>-, F 1-2, V 1-2, C 1, 1:->ro, V 1-2, E 1-2, S CLEAR 0-1, 0:rw>-, F 0-1, V 0-1, C 0, 0:->ro, "
        "V 0-1, E 0-1, S CLEAR 0-1, 0:ro>-, F 0-1, V 0-1, C 0, 0:->ro, V 0-1, E 0-1, free");
  CHECK(merge_two("v6.10") ==
        "S CLEAR 1-2, 1:rw>-, F 1-2, T 1-2, 1:->ro, E 1-2, S CLEAR 0-1, 0:rw>-, F 0-1, T 0-1, 0:->ro, E 0-1, "
        "S CLEAR 0-1, 0:ro>-, F 0-1, T 0-1, 0:->ro, E 0-1, free");
}

TEST_CASE("a merged page is copied when it is written, by its last owner, too") {
  play(
      "v6.1", [](Stage& stage) { equal_pages(stage, 3); },
      [](Stage& stage) {
        CHECK(ksmd_run(stage.mm->system) == 3);
        CHECK(frame_of(stage, 0).use == FrameUse::merged);
        CHECK(frame_of(stage, 0).mappings == 3);
        for (std::uint64_t page = 0; page < 3; ++page) CHECK(stage.write(page, 20 + page));
        for (std::uint64_t page = 0; page < 3; ++page) CHECK(stage.read(page) == 20 + page);
        CHECK(stage.mm->counters.cow_copies == 3);
        CHECK(frame_of(stage, 2).use == FrameUse::anonymous);
      });
}

TEST_CASE("what is not mergeable, changes, or differs is left alone") {
  CHECK(play(
            "v6.1",
            [](Stage& stage) {
              for (std::uint64_t page = 0; page < 4; ++page) CHECK(stage.write(page, page < 2 ? 7 : page));
              CHECK(madvise_merge(*stage.mm, stage.pages(1, 8), true) == Errno::ok);
            },
            [](Stage& stage) { CHECK(ksmd_run(stage.mm->system) == 0); }) == "");
}

TEST_CASE("unmergeable gives each its own page again, those that were written are passed over") {
  CHECK(play(
            "v6.1",
            [](Stage& stage) {
              equal_pages(stage, 3);
              CHECK(ksmd_run(stage.mm->system) == 3);
              CHECK(stage.write(1, 8));
            },
            [](Stage& stage) { CHECK(madvise_merge(*stage.mm, stage.pages(0, 8), false) == Errno::ok); }) ==
        "S CLEAR 0-1, 0:ro>-, F 0-1, C 0, 0:->rw, E 0-1, S CLEAR 2-3, 2:ro>-, F 2-3, C 2, 2:->rw, E 2-3, free");
}

TEST_CASE("unmergeable copies for those who may only read, with no more rights than they have") {
  CHECK(play(
            "v6.1",
            [](Stage& stage) {
              equal_pages(stage, 2);
              CHECK(ksmd_run(stage.mm->system) == 2);
              CHECK(mprotect(*stage.mm, stage.pages(0, 1), kRead) == Errno::ok);
              CHECK(mprotect(*stage.mm, stage.pages(1, 2), Rights{}) == Errno::ok);
            },
            [](Stage& stage) {
              CHECK(madvise_merge(*stage.mm, stage.pages(0, 8), false) == Errno::ok);
              CHECK(stage.read(0) == 7);
              CHECK(mprotect(*stage.mm, stage.pages(1, 2), kRead) == Errno::ok);
              CHECK(stage.read(1) == 7);
            }) ==
        "S CLEAR 0-1, 0:ro>-, F 0-1, C 0, 0:->ro, E 0-1, S CLEAR 1-2, F 1-2, C 1, E 1-2, free, S PROTECTION_VMA 1-2, "
        "1:->ro, E 1-2");
}

TEST_CASE("children share merged pages, and their entries are found from the side of the page") {
  play(
      "v6.1",
      [](Stage& stage) {
        equal_pages(stage, 2);
        CHECK(ksmd_run(stage.mm->system) == 2);
        stage.fork_child();
      },
      [](Stage& stage) {
        CHECK(frame_of(stage, 0).mappings == 4);
        CHECK(madvise_soft_offline(*stage.mm, stage.pages(0, 1)) == Errno::ok);
        CHECK(stage.mm->counters.migrated == 2);
        CHECK(stage.child->counters.migrated == 2);
        CHECK(frame_of(stage, 1).use == FrameUse::merged);
        CHECK(ksmd_run(stage.mm->system) == 2);  // the child's places become known
        load_on(*stage.child, stage.core());
        CHECK(stage.read(1) == 7);
        CHECK(stage.write(1, 9));
        load_on(*stage.mm, stage.core());
        CHECK(stage.read(1) == 7);
        CHECK(frame_of(stage, 0).mappings == 3);
      });
}

TEST_CASE("a merged page that is reclaimed comes back as a page of each of its places") {
  play(
      "v6.1",
      [](Stage& stage) {
        equal_pages(stage, 3);
        CHECK(ksmd_run(stage.mm->system) == 3);
      },
      [](Stage& stage) {
        MmSystem& system = stage.mm->system;
        const Pfn frame = stage.mm->peek(stage.pages(0, 1).first).frame();
        bool gone = false;
        for (int look = 0; look < 2 && !gone; ++look) {
          system.memory.get(frame);
          gone = reclaim_page(system, frame);
          if (!gone) system.memory.put(frame);
        }
        CHECK(gone);
        CHECK(stage.mm->counters.swapped == 3);
        for (std::uint64_t page = 0; page < 3; ++page) CHECK(stage.read(page) == 7);
        CHECK(stage.mm->counters.swapped == 0);
        for (std::uint64_t page = 0; page < 3; ++page) CHECK(stage.write(page, 30 + page));
        for (std::uint64_t page = 0; page < 3; ++page) CHECK(stage.read(page) == 30 + page);
      });
}

TEST_CASE("mremap parts merged pages before it moves them") {
  CHECK(play(
            "v6.1",
            [](Stage& stage) {
              equal_pages(stage, 2);
              CHECK(ksmd_run(stage.mm->system) == 2);
            },
            [](Stage& stage) {
              VirtAddr to{};
              CHECK(mremap(*stage.mm, {stage.pages(0, 1), 1, true, true, stage.at(100)}, to) == Errno::ok);
              CHECK(stage.read(100) == 7);
              CHECK(stage.read(1) == 7);
            }) ==
        "S CLEAR 0-1, 0:ro>-, F 0-1, C 0, 0:->rw, E 0-1, S UNMAP 0-1, 0:rw>-, 100:->rw, F 0-1, E 0-1, S UNMAP 0-1, E "
        "0-1");
}

TEST_CASE("a page that somebody holds is not merged, and stays writable") {
  CHECK(play(
            "v6.1", [](Stage& stage) { equal_pages(stage, 2); },
            [](Stage& stage) {
              Pfn frame{};
              Pte entry;
              CHECK(get_user_page(*stage.mm, stage.pages(1, 2).first, true, frame, entry) == Errno::ok);
              CHECK(ksmd_run(stage.mm->system) == 0);
              stage.mm->system.memory.put(frame);
            }) == "S CLEAR 1-2, 1:rw>-, F 1-2, 1:->rw, E 1-2");
}

TEST_CASE("the last who maps a merged page writes it in place in v5.5, and copies it before and after") {
  const auto copies = [](std::string_view kernel) {
    std::uint64_t counted = 0;
    play(
        kernel,
        [](Stage& stage) {
          equal_pages(stage, 2);
          CHECK(ksmd_run(stage.mm->system) == 2);
        },
        [&](Stage& stage) {
          CHECK(madvise_dontneed(*stage.mm, stage.pages(0, 1)) == Errno::ok);
          CHECK(stage.write(1, 9));
          CHECK(frame_of(stage, 1).use == FrameUse::anonymous);
          counted = stage.mm->counters.cow_copies;
        });
    return counted;
  };
  CHECK(copies("v4.19") == 1);
  CHECK(copies("v5.5") == 0);
  CHECK(copies("v6.1") == 1);
}
