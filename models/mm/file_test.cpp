// Files: what faults map and read, private mappings, truncation, holes, and what subscribers hear of them.
#include <doctest/doctest.h>

#include "models/mm/memory_pressure.hpp"
#include "models/mm/test_stage.hpp"

using namespace secmmu;
using namespace secmmu::literals;
using namespace secmmu::testing;

namespace {

// A mapping at that page, over a fresh object or over that of a page that is mapped already.
Errno map_over(Stage& stage, std::uint64_t first, std::uint64_t count, bool shared, bool file,
               std::optional<std::uint64_t> of = {}, std::uint64_t offset = 0, Rights rights = kReadWrite) {
  MmapRequest request{stage.at(first), true, count, rights, shared, file};
  request.copies = !shared;
  request.offset = offset;
  if (of) request.object = stage.mm->vma_at(stage.at(*of).page()).attributes.object->id();
  VirtAddr where;
  return mmap(*stage.mm, request, where);
}
std::uint64_t file_at(Stage& stage, std::uint64_t page) {
  return stage.mm->vma_at(stage.at(page).page()).attributes.object->id();
}
// The pages of the file that is mapped from `page` on hold 100, 101, ...
void fill(Stage& stage, std::uint64_t page, std::uint64_t count) {
  const std::uint64_t file = file_at(stage, page);
  for (std::uint64_t i = 0; i < count; ++i) {
    const Errno written = write_file(*stage.mm, file, i * kPageSize, 100 + i);
    CHECK(written == Errno::ok);
  }
}
// "16 17 18": which pages have an entry that maps something; rw after those that may be written.
std::string mapped(Stage& stage, std::uint64_t first, std::uint64_t end) {
  std::string text;
  for (std::uint64_t page = first; page < end; ++page) {
    const Pte entry = stage.mm->peek(stage.at(page).page());
    if (entry.present()) text += fmt::format("{}{}{}", text.empty() ? "" : " ", page, entry.writable() ? "rw" : "");
  }
  return text;
}
std::string cached(Stage& stage, std::uint64_t page) {
  std::string text;
  for (const auto& [offset, frame] : stage.mm->vma_at(stage.at(page).page()).attributes.object->pages())
    text += fmt::format("{}{}", text.empty() ? "" : " ", offset);
  return text;
}
std::string map_by_reading(std::string_view kernel, const Act& before, std::uint64_t page) {
  std::string text;
  play(kernel, before, [&](Stage& stage) {
    stage.read(page);
    text = mapped(stage, 0, 600);
  });
  return text;
}

}  // namespace

TEST_CASE("a read fault maps what is in memory of its 64 KiB, and not what lies outside VMA, table or file") {
  const auto shared = [](std::uint64_t first, std::uint64_t count, std::uint64_t filled) {
    return [=](Stage& stage) {
      CHECK(map_over(stage, first, count, true, false) == Errno::ok);
      fill(stage, first, filled);
    };
  };
  CHECK(map_by_reading("v6.1", shared(16, 40, 40), 20) ==
        "16rw 17rw 18rw 19rw 20rw 21rw 22rw 23rw 24rw 25rw 26rw 27rw 28rw 29rw 30rw 31rw");
  CHECK(map_by_reading("v3.15", shared(16, 18, 18), 33) == "32rw 33rw");
  CHECK(map_by_reading("v3.9", shared(16, 40, 40), 20) == "20rw");
  // A window that begins with the VMA is 16 pages long from there on, up to the end of the table.
  CHECK(map_by_reading("v6.10", shared(26, 40, 40), 28) ==
        "26rw 27rw 28rw 29rw 30rw 31rw 32rw 33rw 34rw 35rw 36rw 37rw 38rw 39rw 40rw 41rw");
  CHECK(map_by_reading("v6.10", shared(507, 40, 40), 508) == "507rw 508rw 509rw 510rw 511rw");
  // What is not in memory is not brought there; the page itself is.
  CHECK(map_by_reading("v6.10", shared(16, 16, 3), 24) == "16rw 17rw 18rw 24rw");
  // A write maps its page only.
  play("v6.10", shared(16, 16, 16), [](Stage& stage) {
    CHECK(stage.write(20, 1));
    CHECK(mapped(stage, 0, 40) == "20rw");
  });
}

TEST_CASE("what a fault maps around is read-only for a private mapping, a file, and who follows writes") {
  const auto private_file = [](Stage& stage) {
    CHECK(map_over(stage, 16, 4, false, false) == Errno::ok);
    fill(stage, 16, 3);
  };
  CHECK(map_by_reading("v6.10", private_file, 16) == "16 17 18");
  const auto file = [](Stage& stage) {
    CHECK(map_over(stage, 16, 4, true, true) == Errno::ok);
    fill(stage, 16, 3);
  };
  CHECK(map_by_reading("v6.10", file, 16) == "16 17 18");
  const auto followed = [](Stage& stage) {
    CHECK(map_over(stage, 16, 4, true, false) == Errno::ok);
    fill(stage, 16, 3);
    CHECK(clear_soft_dirty(*stage.mm) == Errno::ok);
  };
  CHECK(map_by_reading("v6.10", followed, 16) == "16 17 18");
}

TEST_CASE("a fault that misses a page of a file reads 32 around it, and begins anew from v5.1 on") {
  const auto file = [](std::uint64_t pages) {
    return [=](Stage& stage) { CHECK(map_over(stage, 16, pages, true, true) == Errno::ok); };
  };
  const auto read_from = [&](std::string_view kernel, std::uint64_t pages, std::uint64_t page) {
    std::string text;
    play(kernel, file(pages), [&](Stage& stage) {
      stage.read(16 + page);
      text = cached(stage, 16) + " / " + mapped(stage, 0, 100);
    });
    return text;
  };
  CHECK(read_from("v6.1", 4, 1) == "0 1 2 3 / 16 17 18 19");
  CHECK(read_from("v4.19", 4, 1) == "0 1 2 3 / 17");
  CHECK(read_from("v6.1", 64, 30).starts_with("14 15 16 "));
  CHECK(read_from("v6.1", 64, 30).find(" 44 45 / ") != std::string::npos);
  // The page whose use lets reading go on waits for that; so it is not mapped for the sake of others.
  play("v6.1", file(96), [](Stage& stage) {
    stage.read(16 + 20);
    CHECK(stage.mm->peek(stage.at(16 + 27).page()).present());
    CHECK(cached(stage, 16).ends_with(" 35"));
    stage.read(16 + 29);
    CHECK(stage.mm->peek(stage.at(16 + 29).page()).present());
    CHECK_FALSE(stage.mm->peek(stage.at(16 + 28).page()).present());
    CHECK(cached(stage, 16).ends_with(" 35"));
    stage.read(16 + 28);
    CHECK(cached(stage, 16).ends_with(" 67"));
  });
}

TEST_CASE("a private mapping: a page that was read is copied and told of, one that was not becomes a copy in silence") {
  const auto mapping = [](Stage& stage) {
    CHECK(map_over(stage, 16, 4, false, false) == Errno::ok);
    fill(stage, 16, 4);
    CHECK(stage.read(16) == 100);
    CHECK(madvise_dontneed(*stage.mm, stage.pages(18, 20)) == Errno::ok);
  };
  CHECK(play("v6.1", mapping,
             [](Stage& stage) {
               CHECK(stage.write(16, 7));
               CHECK(stage.write(18, 8));
               CHECK(stage.read(16) == 7);
               CHECK(write_file(*stage.mm, file_at(stage, 16), 0, 1) == Errno::ok);
               CHECK(stage.read(16) == 7);
               CHECK(stage.read(18) == 8);
             }) == "S CLEAR 16-17, 16:ro>-, F 16-17, C 16, 16:->rw, E 16-17, 18:->rw");
  play("v6.1", mapping, [](Stage& stage) {
    CHECK(stage.write(16, 7));
    CHECK(madvise_free(*stage.mm, stage.pages(16, 17)) == Errno::einval);
    CHECK(madvise_dontneed(*stage.mm, stage.pages(16, 17)) == Errno::ok);
    CHECK(stage.read(16) == 100);
  });
}

TEST_CASE("a private mapping is forked, protected and paged out as private memory is") {
  play("v6.1",
       [](Stage& stage) {
         CHECK(map_over(stage, 16, 4, false, false) == Errno::ok);
         fill(stage, 16, 4);
         CHECK(stage.read(16) == 100);
       },
       [](Stage& stage) {
         stage.log.text.clear();
         stage.fork_child();
         CHECK(stage.log.text == "F all");  // no page is its own yet
         CHECK(stage.write(17, 7));
         stage.log.text.clear();
         Mm& second = stage.mm->system.create("second");
         CHECK(fork(*stage.mm, second) == Errno::ok);
         CHECK(stage.log.text == "S PROTECTION_PAGE 16-20, 17:rw>ro, E 16-20, F all");
         CHECK(stage.write(17, 8));
         CHECK(mprotect(*stage.mm, stage.pages(16, 20), kRead) == Errno::ok);
         CHECK(mprotect(*stage.mm, stage.pages(16, 20), kReadWrite) == Errno::ok);
         CHECK(mapped(stage, 16, 20) == "16 17rw 18 19");
         CHECK(madvise_pageout(*stage.mm, stage.pages(17, 18)) == Errno::ok);
         CHECK(stage.mm->peek(stage.at(17).page()).swap());
         CHECK(stage.read(17) == 8);
         CHECK(stage.read(16) == 100);
         mmput(second);
       });
}

TEST_CASE("neighbours over one file are one VMA if the file goes on, and a write behind its end needs an anon_vma") {
  play("v6.1",
       [](Stage& stage) {
         CHECK(map_over(stage, 16, 4, false, false) == Errno::ok);
         CHECK(map_over(stage, 20, 2, false, false, 16, 4) == Errno::ok);
         CHECK(map_over(stage, 22, 2, false, false, 16, 4) == Errno::ok);
       },
       [](Stage& stage) {
         CHECK(stage.mm->vma_at(stage.at(16).page()).pages == stage.pages(16, 22));
         CHECK(stage.mm->vma_at(stage.at(22).page()).pages == stage.pages(22, 24));
         CHECK_FALSE(stage.write(20, 1));
         CHECK(stage.mm->vma_at(stage.at(16).page()).attributes.anon_vma != 0);
         CHECK(stage.mm->vma_at(stage.at(22).page()).attributes.anon_vma == 0);
         VirtAddr where;
         CHECK(mmap(*stage.mm, {stage.at(30), true, 1, kReadWrite, true, false, false, 12345}, where) == Errno::ebadf);
       });
}

TEST_CASE("truncation takes private copies too, in two rounds, and a hole leaves them, in one") {
  const auto mapping = [](Stage& stage) {
    CHECK(map_over(stage, 16, 4, false, false) == Errno::ok);
    fill(stage, 16, 4);
    CHECK(stage.write(18, 7));
    CHECK(stage.write(17, 6));
    CHECK(stage.read(19) == 103);
    CHECK(map_over(stage, 32, 4, true, false, 16) == Errno::ok);
    CHECK(stage.write(35, 9));
  };
  CHECK(play("v6.1", mapping,
             [](Stage& stage) {
               CHECK(truncate_file(*stage.mm, file_at(stage, 16), 2) == Errno::ok);
               stage.log.text += " |";
               CHECK(stage.read(17) == 6);
               CHECK(stage.read(33) == 101);
               CHECK(stage.read(18) == 0xfa17);
               CHECK_FALSE(stage.write(35, 1));
               CHECK(truncate_file(*stage.mm, file_at(stage, 16), 4) == Errno::ok);
               CHECK(stage.read(18) == 0);
               CHECK(stage.read(35) == 0);
             })
            .starts_with("S CLEAR 18-20, 18:rw>-, 19:ro>-, E 18-20, F 18-20, free, "
                         "S CLEAR 34-36, 35:rw>-, F 35-36, E 34-36, free, free, S CLEAR 18-20, E 18-20, "
                         "S CLEAR 34-36, E 34-36 |"));
  CHECK(play("v6.1", mapping,
             [](Stage& stage) {
               CHECK(punch_hole(*stage.mm, file_at(stage, 16), 2, 2) == Errno::ok);
               stage.log.text += " |";
               CHECK(stage.read(18) == 7);
               CHECK(stage.read(19) == 0);
               CHECK(stage.read(35) == 0);
               CHECK(punch_hole(*stage.mm, file_at(stage, 16), 2, 0) == Errno::einval);
               CHECK(punch_hole(*stage.mm, 0, 2, 1) == Errno::ebadf);
             })
            .starts_with("S CLEAR 18-20, 19:ro>-, E 18-20, F 19-20, S CLEAR 34-36, 35:rw>-, F 35-36, E 34-36, "));
}

TEST_CASE("before v3.5 MADV_REMOVE is a truncation in the middle, and knows memory only") {
  play("v3.2",
       [](Stage& stage) {
         CHECK(map_over(stage, 16, 2, true, false) == Errno::ok);
         CHECK(map_over(stage, 24, 2, false, false, 16) == Errno::ok);
         CHECK(map_over(stage, 32, 2, true, true) == Errno::ok);
         CHECK(stage.write(24, 7));
       },
       [](Stage& stage) {
         CHECK(madvise_remove(*stage.mm, stage.pages(16, 17)) == Errno::ok);
         CHECK(stage.log.text == "S CLEAR 16-17, E 16-17, S CLEAR 24-25, 24:rw>-, E 24-25, F all, free, free, "
                                 "S CLEAR 16-17, E 16-17, S CLEAR 24-25, E 24-25");
         CHECK(madvise_remove(*stage.mm, stage.pages(32, 33)) == Errno::enosys);
         CHECK(madvise_remove(*stage.mm, stage.pages(24, 25)) == Errno::eacces);
         bool absent = false;
         try {
           punch_hole(*stage.mm, file_at(stage, 16), 0, 1);
         } catch (const AbsentInKernel&) {
           absent = true;
         }
         CHECK(absent);
       });
}

TEST_CASE("a file on a disk: dirty pages of a hole are written back first, and growing unmaps too") {
  play("v6.1",
       [](Stage& stage) {
         CHECK(map_over(stage, 16, 4, true, true) == Errno::ok);
         CHECK(map_over(stage, 32, 6, false, false, 16) == Errno::ok);
         CHECK(stage.write(17, 1));
         CHECK(stage.write(18, 2));
         CHECK(stage.read(33) == 1);
       },
       [](Stage& stage) {
         CHECK(punch_hole(*stage.mm, file_at(stage, 16), 1, 1) == Errno::ok);
         CHECK(stage.log.text.starts_with("S PROTECTION_PAGE 17-18, 17:rw>-, F 17-18, 17:->ro, E 17-18, "
                                          "S CLEAR 17-18, 17:ro>-, E 17-18, F 17-18, S CLEAR 33-34, 33:ro>-"));
         CHECK(stage.read(17) == 0);
         CHECK(stage.read(18) == 2);
         stage.log.text.clear();
         CHECK(truncate_file(*stage.mm, file_at(stage, 16), 5) == Errno::ok);
         CHECK(stage.log.text == "S CLEAR 37-38, E 37-38, S CLEAR 37-38, E 37-38");
       });
}

namespace {

// One task touches pages, unmaps and maps them, another one cuts the file and lets it grow again.
std::string race(std::uint64_t seed, bool shared) {
  machine().reset();
  machine().arbiter().set_stretch(300, seed);
  Mm* mm = nullptr;
  std::string story;
  const auto area = [](std::uint64_t page) { return kBase + page * kPageSize; };
  const PageRange whole{area(0).page(), area(8).page()};
  std::uint64_t file = 0;
  const auto map = [&] {
    MmapRequest request{area(0), true, 8, kReadWrite, shared};
    request.copies = !shared;
    request.object = file;
    VirtAddr where;
    if (mmap(*mm, request, where) != Errno::ok) story += "mmap. ";
    file = mm->vma_at(area(0).page()).attributes.object->id();
  };
  const auto touch = [&] {
    Core& core = hardware().core(0);
    load_on(*mm, core);
    for (std::uint64_t round = 0; round < 24; ++round) {
      for (std::uint64_t page = 0; page < 8; ++page) {
        std::uint64_t value = 1;
        if (round % 4 == 3)
          core.read(area(page), 8, value);
        else
          core.write(area(page), 8, value);
      }
      if (round % 2 == 0)
        map();
      else
        madvise_dontneed(*mm, whole);
    }
  };
  const auto cut = [&] {
    load_on(*mm, hardware().core(1));
    for (int round = 0; round < 60; ++round) {
      truncate_file(*mm, file, 2);
      for (std::uint64_t page = 2; page < 8; ++page)
        if (!mm->peek(area(page).page()).none()) story += fmt::format("{} is mapped. ", page);
      truncate_file(*mm, file, 8);
    }
  };
  const RunEnd end = mm_world().run("v6.10",
                                    {{"first", 0, map}, {"toucher", 0, touch, 50_us}, {"cutter", 1, cut, 52_us}},
                                    [&] { mm = &mm_world().system->create("app"); });
  if (end != RunEnd::quiet) story += "it does not end";
  story += audit(*mm_world().system);
  machine().reset();
  return story;
}

}  // namespace

TEST_CASE("a file that is larger than memory can be read and written, shared and privately") {
  for (const std::string_view kernel : {"v4.19", "v6.1"})
    play(
        kernel,
        [](Stage& stage) {
          CHECK(map_over(stage, 16, 200, true, true) == Errno::ok);
          CHECK(map_over(stage, 300, 200, false, true) == Errno::ok);
          CHECK(stage.read(16) == 0);
          CHECK(stage.read(499) == 0);
          MmSystem& system = stage.mm->system;
          system.config.reclaim = "direct";
          system.config.lowest_free = system.memory.free_frames() - 20;
        },
        [](Stage& stage) {
          for (std::uint64_t page = 0; page < 200; ++page) CHECK(stage.read(16 + page) == 0);
          for (std::uint64_t page = 0; page < 200; ++page) {
            CHECK(stage.write(300 + page, page + 1));
            if (page % 16 == 0) CHECK(stage.write(16 + page, page + 1));
          }
          for (std::uint64_t page = 0; page < 200; ++page) {
            CHECK(stage.read(300 + page) == page + 1);
            CHECK(stage.read(16 + page) == (page % 16 == 0 ? page + 1 : 0));
          }
          CHECK(stage.mm->counters.swapped > 100);
          CHECK(stage.mm->system.pressure->counters.direct > 20);
        });
}

TEST_CASE("a fault, or an unmapping, at the same time as a truncation: behind the end nothing is left") {
  for (std::uint64_t seed = 1; seed <= 40; ++seed)
    for (const bool shared : {false, true}) {
      const std::string story = race(seed, shared);
      INFO("seed " << seed << " shared " << shared);
      CHECK(story == "");
    }
}
