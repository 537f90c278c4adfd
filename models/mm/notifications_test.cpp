// What each operation tells subscribers, and when it changes entries, flushes CPUs and frees pages: once in
// a kernel near either end of the history.
#include <doctest/doctest.h>

#include "models/mm/test_stage.hpp"

using namespace secmmu;
using namespace secmmu::literals;
using namespace secmmu::testing;

TEST_CASE("munmap: one announcement for the span, the last pages are freed behind its end") {
  const Act act = [](Stage& stage) { CHECK(munmap(*stage.mm, stage.pages(0, 12)) == Errno::ok); };
  const Act before = [](Stage& stage) {
    CHECK(stage.write(2, 1));
    CHECK(stage.write(5, 1));
    CHECK(stage.read(6) == 0);
    CHECK(stage.map(64, 1) == Errno::ok);  // the table stays
  };
  CHECK(play("v6.10", before, act) == "S UNMAP 0-12, 2:rw>-, 5:rw>-, 6:ro>-, E 0-12, F 2-7, T 2-7, free, free");
  CHECK(play("v3.2", before, act) == "S UNMAP 0-12, 2:rw>-, 5:rw>-, 6:ro>-, E 0-12, F all, free, free");
  // A table that goes widens the flush by the first page in it.
  CHECK(play(
            "v6.10", [](Stage& stage) { CHECK(stage.write(2, 1)); }, act) ==
        "S UNMAP 0-12, 2:rw>-, E 0-12, F 0-3, T 0-3, free");
  // Never touched: announced all the same. Nothing there at all: nothing.
  CHECK(play(
            "v6.10", [](Stage&) {}, act) == "S UNMAP 0-12, E 0-12");
  CHECK(play(
            "v6.10", [](Stage&) {}, [](Stage& stage) { CHECK(munmap(*stage.mm, stage.pages(8, 12)) == Errno::ok); }) ==
        "");
}

TEST_CASE("mmap at a fixed place unmaps first") {
  const Act act = [](Stage& stage) { CHECK(stage.map(2, 8) == Errno::ok); };
  const Act before = [](Stage& stage) { touch_four(stage); };
  CHECK(play("v6.10", before, act) == "S UNMAP 2-10, 2:rw>-, 3:rw>-, 4:rw>-, E 2-10, F 2-5, T 2-5, free, free, free");
}

TEST_CASE("DONTNEED: each VMA by itself, holes are passed over") {
  const Act before = [](Stage& stage) {
    CHECK(stage.map(10, 4, kReadWrite, true) == Errno::ok);
    CHECK(stage.write(3, 1));
    CHECK(stage.write(11, 1));
  };
  const Act act = [](Stage& stage) {
    CHECK(madvise_dontneed(*stage.mm, stage.pages(2, 13)) == Errno::enomem);
    stage.log.add("then");
    CHECK(stage.read(3) == 0);
    CHECK(stage.read(11) == 1);  // the shared page was only unmapped
  };
  CHECK(play("v6.10", before, act) ==
        "S CLEAR 2-8, 3:rw>-, E 2-8, F 3-4, T 3-4, free, "
        // A dirty shared page forces the flush inside the announcement.
        "S CLEAR 10-13, 11:rw>-, F 11-12, T 11-12, E 10-13, "
        "then, 3:->ro, 11:->rw");
  CHECK(play("v3.2", before, act) ==
        "S CLEAR 2-8, 3:rw>-, E 2-8, F all, free, S CLEAR 10-13, 11:rw>-, E 10-13, F all, then, 3:->ro, 11:->rw");
}

TEST_CASE("a full batch is flushed and freed inside the announcement") {
  const Act before = [](Stage& stage) {
    CHECK(stage.map(64, 1) == Errno::ok);
    touch_four(stage);
    stage.mm->system.config.gather_pages = 3;
  };
  const Act act = [](Stage& stage) { CHECK(munmap(*stage.mm, stage.pages(0, 8)) == Errno::ok); };
  CHECK(play("v6.10", before, act) ==
        "S UNMAP 0-8, 1:rw>-, 2:rw>-, 3:rw>-, F 1-4, T 1-4, free, free, free, 4:rw>-, E 0-8, F 4-5, T 4-5, free");
  CHECK(play("v3.2", before, act) ==
        "S UNMAP 0-8, 1:rw>-, 2:rw>-, 3:rw>-, F all, free, free, free, 4:rw>-, E 0-8, F all, free");
}

TEST_CASE("mprotect: read-only, and back") {
  const Act before = [](Stage& stage) { touch_four(stage); };
  const Act act = [](Stage& stage) {
    CHECK(mprotect(*stage.mm, stage.pages(2, 6), kRead) == Errno::ok);
    stage.log.add("back");
    CHECK(mprotect(*stage.mm, stage.pages(2, 6), kReadWrite) == Errno::ok);
    stage.log.add("write");
    CHECK(stage.write(2, 7));
  };
  CHECK(play("v6.10", before, act) ==
        "S PROTECTION_VMA 2-6, 2:rw>ro, 3:rw>ro, 4:rw>ro, E 2-6, F 2-5, T 2-5, back, "
        "S PROTECTION_VMA 2-6, 2:ro>rw, 3:ro>rw, 4:ro>rw, E 2-6, F 2-5, T 2-5, write");
  CHECK(play("v3.2", before, act) ==
        "S PROTECTION_VMA 2-6, 2:rw>ro, 3:rw>ro, 4:rw>ro, F 2-6, E 2-6, back, "
        "S PROTECTION_VMA 2-6, F 2-6, E 2-6, write, 2:ro>rw");
}

TEST_CASE("mprotect announces from the first table on, per GiB, and only to the first hole") {
  constexpr std::uint64_t kGib = 1ULL << 18;
  const Act before = [](Stage& stage) {
    CHECK(munmap(*stage.mm, stage.pages(0, 8)) == Errno::ok);
    CHECK(stage.map(0, 2 * kGib + 8) == Errno::ok);
    CHECK(stage.write(512 + 3, 1));
    CHECK(stage.write(2 * kGib + 1, 1));
  };
  const Act act = [](Stage& stage) {
    CHECK(mprotect(*stage.mm, stage.pages(1, 2 * kGib + 9), kRead) == Errno::enomem);
  };
  // The cut at page 1 lies in a block of 2 MiB that may hold a huge page: that is told first.
  CHECK(play("v6.10", before, act) == fmt::format("S CLEAR 0-512, E 0-512, S PROTECTION_VMA 512-{0}, 515:rw>ro, E "
                                                  "512-{0}, S PROTECTION_VMA {1}-{2}, {3}:rw>ro, E {1}-{2}, "
                                                  "F all, T 515-{4}",
                                                  kGib, 2 * kGib, 2 * kGib + 8, 2 * kGib + 1, 2 * kGib + 2));
  CHECK(play("v3.2", before, act) ==
        fmt::format("S PROTECTION_VMA 1-{0}, 515:rw>ro, {1}:rw>ro, F all, E 1-{0}", 2 * kGib + 8, 2 * kGib + 1));
  // Nothing was ever touched: nothing is said, nothing flushed; and equal rights are no change.
  CHECK(play(
            "v6.10", [](Stage&) {},
            [](Stage& stage) { CHECK(mprotect(*stage.mm, stage.pages(0, 8), kRead) == Errno::ok); }) == "");
  CHECK(play(
            "v6.10", [](Stage& stage) { touch_four(stage); },
            [](Stage& stage) {
              CHECK(mprotect(*stage.mm, stage.pages(0, 8), kReadWrite) == Errno::ok);
              CHECK(mprotect(*stage.mm, stage.pages(8, 9), kRead) == Errno::enomem);
            }) == "");
}

TEST_CASE("mprotect: one flush for all pieces of a call where gathers exist, one each where not") {
  const Act before = [](Stage& stage) {
    touch_four(stage);
    CHECK(mprotect(*stage.mm, stage.pages(3, 4), {true, false, true}) == Errno::ok);
  };
  const Act act = [](Stage& stage) { CHECK(mprotect(*stage.mm, stage.pages(0, 8), kRead) == Errno::ok); };
  CHECK(play("v6.10", before, act) ==
        "S PROTECTION_VMA 0-3, 1:rw>ro, 2:rw>ro, E 0-3, S PROTECTION_VMA 3-4, 3:ro>ro, E 3-4, "
        "S PROTECTION_VMA 4-8, 4:rw>ro, E 4-8, F 1-5, T 1-5");
  CHECK(play("v3.2", before, act) ==
        "S PROTECTION_VMA 0-3, 1:rw>ro, 2:rw>ro, F 0-3, E 0-3, S PROTECTION_VMA 3-4, 3:ro>ro, F 3-4, E 3-4, "
        "S PROTECTION_VMA 4-8, 4:rw>ro, F 4-8, E 4-8");
}

TEST_CASE("PROT_NONE keeps the page, hides it, and needs no flush on the way back") {
  const Act act = [](Stage& stage) {
    CHECK(mprotect(*stage.mm, stage.pages(1, 2), Rights{}) == Errno::ok);
    CHECK(stage.read(1) == 0xfa17);
    CHECK_FALSE(stage.write(1, 5));
    stage.log.add("back");
    CHECK(mprotect(*stage.mm, stage.pages(1, 2), kRead) == Errno::ok);
    CHECK(stage.read(1) == 1);
    CHECK_FALSE(stage.write(1, 5));
  };
  CHECK(play(
            "v6.10", [](Stage& stage) { touch_four(stage); }, act) ==
        "S PROTECTION_VMA 1-2, 1:rw>-, E 1-2, F 1-2, T 1-2, back, S PROTECTION_VMA 1-2, 1:->ro, E 1-2");
}

TEST_CASE("fork announces private VMAs that have private pages, and flushes once") {
  const Act before = [](Stage& stage) {
    touch_four(stage);
    CHECK(stage.map(20, 4) == Errno::ok);  // only read: needs no copy
    CHECK(stage.read(21) == 0);
    CHECK(stage.map(30, 4, kReadWrite, true) == Errno::ok);
    CHECK(stage.write(30, 5));
  };
  const Act act = [](Stage& stage) { stage.fork_child(); };
  CHECK(play("v6.10", before, act) == "S PROTECTION_PAGE 0-8, 1:rw>ro, 2:rw>ro, 3:rw>ro, 4:rw>ro, E 0-8, F all, T all");
  CHECK(play("v3.2", before, act) == "S PROTECTION_PAGE 0-8, 1:rw>ro, 2:rw>ro, 3:rw>ro, 4:rw>ro, E 0-8, F all");
}

TEST_CASE("a write to a shared private page copies, and the last owner keeps it") {
  const Act before = [](Stage& stage) {
    touch_four(stage);
    stage.fork_child();
  };
  const Act act = [](Stage& stage) {
    CHECK(stage.write(2, 77));
    stage.log.add("alone");
    mmput(*stage.child);
    CHECK(stage.write(3, 78));
    CHECK(stage.read(2) == 77);
    CHECK(stage.mm->counters.cow_copies == 1);
    CHECK(stage.mm->counters.cow_reuses == 1);
  };
  CHECK(play("v6.10", before, act) == "S CLEAR 2-3, 2:ro>-, F 2-3, T 2-3, 2:->rw, E 2-3, alone, free, 3:ro>rw");
  // v3.2: the new entry is in use before the device hears of it.
  CHECK(play("v3.2", before, act) == "2:ro>-, F 2-3, 2:->rw, C 2, alone, free, 3:ro>rw");
  CHECK(play("v2.6.27", before, act) == "2:ro>-, F 2-3, I 2, 2:->rw, alone, free, 3:ro>rw");
  CHECK(play("v3.7", before, act) == "S CLEAR 2-3, 2:ro>-, F 2-3, C 2, 2:->rw, E 2-3, alone, free, 3:ro>rw");
}

TEST_CASE("the zero page is copied away like any other") {
  const Act before = [](Stage& stage) { CHECK(stage.read(1) == 0); };
  const Act act = [](Stage& stage) {
    CHECK(stage.write(1, 5));
    CHECK(stage.read(1) == 5);
    CHECK(stage.mm->counters.zero_pages == 1);
  };
  CHECK(play("v6.10", before, act) == "S CLEAR 1-2, 1:ro>-, F 1-2, T 1-2, 1:->rw, E 1-2");
  CHECK(play("v3.2", before, act) == "1:ro>-, F 1-2, 1:->rw, C 1");
}

TEST_CASE("first touches and write faults that keep the page say nothing") {
  CHECK(play(
            "v6.10", [](Stage&) {},
            [](Stage& stage) {
              CHECK(stage.write(0, 1));
              CHECK(stage.read(1) == 0);
            }) == "0:->rw, 1:->ro");
}

TEST_CASE("mremap: a move announces the old place twice and the new one never") {
  const Act before = [](Stage& stage) {
    touch_four(stage);
    CHECK(stage.map(64, 1) == Errno::ok);
    CHECK(stage.map(40, 2) == Errno::ok);
    CHECK(stage.write(40, 9));
  };
  const Act act = [](Stage& stage) {
    VirtAddr where;
    CHECK(mremap(*stage.mm, {stage.pages(2, 4), 2, true, true, stage.at(40)}, where) == Errno::ok);
    CHECK(where == stage.at(40));
    CHECK(stage.read(40) == 2);
    CHECK(stage.read(41) == 3);
    CHECK(stage.read(2) == 0xfa17);
    CHECK(stage.read(1) == 1);
  };
  CHECK(play("v6.10", before, act) ==
        "S UNMAP 40-42, 40:rw>-, E 40-42, F 40-41, T 40-41, free, "
        "S UNMAP 2-4, 2:rw>-, 40:->rw, 3:rw>-, 41:->rw, F 2-4, T 2-4, E 2-4, S UNMAP 2-4, E 2-4");
  CHECK(play("v3.2", before, act) ==
        "S UNMAP 40-42, 40:rw>-, E 40-42, F all, free, "
        "S UNMAP 2-4, 2:rw>-, 40:->rw, 3:rw>-, 41:->rw, F 2-4, E 2-4, S UNMAP 2-4, E 2-4");
}

TEST_CASE("mremap flushes page by page, then once for all tables, then dirty ones, then each table in its lock") {
  const auto moves = [](std::string_view kernel, bool dirty) {
    return play(
        kernel,
        [dirty](Stage& stage) {
          CHECK(stage.map(511, 2, kReadWrite, true) == Errno::ok);  // the border of two tables lies between
          for (const std::uint64_t page : {511, 512}) CHECK((dirty ? stage.write(page, 1) : stage.read(page) == 0));
        },
        [](Stage& stage) {
          VirtAddr where;
          CHECK(mremap(*stage.mm, {stage.pages(511, 513), 2, true, true, stage.at(1024)}, where) == Errno::ok);
        });
  };
  const std::string before = "S UNMAP 511-513, 511:rw>-, ";
  CHECK(moves("v2.6.27", false).starts_with(before + "F 511-512, 1024:->rw, 512:rw>-, F 512-513, 1025:->rw, E "));
  for (const char* kernel : {"v3.2", "v4.16"})
    CHECK(moves(kernel, false).starts_with(before + "1024:->rw, 512:rw>-, 1025:->rw, F 511-513, E "));
  const std::string by_table = before + "1024:->rw, F 511-512, 512:rw>-, 1025:->rw, F 512-513, E ";
  CHECK(moves("v4.16", true).starts_with(by_table));
  CHECK(moves("v4.19", false).starts_with(by_table));
}

TEST_CASE("mremap: a whole block that goes to a whole block takes its page table along, from v5.0 on") {
  struct Moved {
    std::string told;
    bool soft_dirty = false;
  };
  const auto moves = [](std::string_view kernel, std::uint64_t from, std::uint64_t pages, std::uint64_t to) {
    Moved moved;
    moved.told = play(
        kernel,
        [](Stage& stage) {
          CHECK(stage.map(0, 1024, kReadWrite, true) == Errno::ok);
          CHECK(stage.write(1, 1));
          CHECK(stage.write(3, 3));
          CHECK(clear_soft_dirty(*stage.mm) == Errno::ok);
        },
        [&](Stage& stage) {
          VirtAddr where;
          const MremapRequest request{stage.pages(from, from + pages), pages, true, true, stage.at(to)};
          CHECK(mremap(*stage.mm, request, where) == Errno::ok);
          moved.soft_dirty = (stage.mm->peek(stage.at(to + 1 - from).page()).bits & Pte::kSoftDirty) != 0;
          CHECK(stage.read(to + 1 - from) == 1);
          CHECK(stage.read(to + 3 - from) == 3);
          CHECK(stage.read(1) == 0xfa17);
        });
    return moved;
  };
  const Moved whole = moves("v6.1", 0, 512, 2048);
  CHECK(whole.told == "S UNMAP 0-512, 1:ro>-, 3:ro>-, 2049:->ro, 2051:->ro, F all, E 0-512, S UNMAP 0-512, E 0-512");
  CHECK_FALSE(whole.soft_dirty);
  CHECK(moves("v5.5", 0, 512, 2048).told == whole.told);
  const std::string by_entry = "S UNMAP 0-512, 1:ro>-, 2049:->ro, 3:ro>-, 2051:->ro, F 1-4, E 0-512";
  const Moved before = moves("v4.19", 0, 512, 2048);
  CHECK(before.told.starts_with(by_entry));
  CHECK(before.soft_dirty);
  // Not to the same place in a block, or not all of the block.
  CHECK(moves("v6.1", 0, 512, 2049).soft_dirty);
  CHECK(moves("v6.1", 1, 511, 2049).soft_dirty);
}

TEST_CASE("MADV_REMOVE: out of everyone who maps the object, then freed, nothing for private memory") {
  CHECK(play(
            "v4.19",
            [](Stage& stage) {
              CHECK(stage.map(16, 3, kReadWrite, true) == Errno::ok);
              for (const std::uint64_t page : {16, 17, 18}) CHECK(stage.write(page, page));
              stage.fork_child();
            },
            [](Stage& stage) {
              CHECK(madvise_remove(*stage.child, stage.pages(17, 19)) == Errno::ok);  // by who never touched it
              CHECK(stage.read(16) == 16);
              CHECK(madvise_remove(*stage.mm, stage.pages(0, 2)) == Errno::einval);
              CHECK(madvise_remove(*stage.mm, stage.pages(19, 20)) == Errno::enomem);
              stage.log.text += " |";
              CHECK(stage.read(17) == 0);
            }) == "S CLEAR 17-19, 17:rw>-, 18:rw>-, F 17-19, E 17-19, free, free |, 17:->rw");
}

TEST_CASE("msync: what was written becomes clean and read-only in everyone who maps the file") {
  const auto sync = [](std::string_view kernel) {
    return play(
        kernel,
        [](Stage& stage) {
          CHECK(stage.map_file(16, 4) == Errno::ok);
          CHECK(stage.write(16, 7));
          CHECK(stage.read(17) == 0);
          CHECK(stage.write(18, 8));
        },
        [](Stage& stage) {
          CHECK(msync(*stage.mm, stage.pages(16, 20)) == Errno::ok);
          stage.log.text += " |";
          CHECK(stage.write(16, 9));  // the file learns of it
          CHECK(stage.write(17, 9));
          CHECK(msync(*stage.mm, stage.pages(16, 17)) == Errno::ok);
          CHECK(msync(*stage.mm, stage.pages(16, 17)) == Errno::ok);  // clean: nothing
        },
        true);
  };
  // One page: what stands around it, in the lock, and after the lock.
  const auto text = [](std::string_view before, std::string_view flush, std::string_view after) {
    const auto one = [&](unsigned page) {
      const auto at = [&](std::string_view form) { return fmt::format(fmt::runtime(form), page, page + 1); };
      return at(before) + at("{0}:rw>-, F {0}-{1}") + at(flush) + at(", {0}:->ro") + at(after);
    };
    return fmt::format("{}, {} |, 16:ro>rw, 17:ro>rw, {}", one(16), one(18), one(16));
  };
  CHECK(sync("v2.6.27") == text("", ", I {0}", ""));
  CHECK(sync("v3.15") == text("", "", ", I {0}"));
  CHECK(sync("v4.13-rc") == text("", "", ", V {0}-{1}"));
  CHECK(sync("v4.14") == text("S PROTECTION_PAGE {0}-{1}, ", ", V {0}-{1}", ", V {0}-{1}, E {0}-{1}"));
  CHECK(sync("v6.1") == text("S PROTECTION_PAGE {0}-{1}, ", "", ", V {0}-{1}, E {0}-{1}"));
  CHECK(sync("v6.10") == text("S PROTECTION_PAGE {0}-{1}, ", ", T {0}-{1}", ", E {0}-{1}"));
}

TEST_CASE("a file page takes no write that its file does not know of") {
  const Act before = [](Stage& stage) {
    CHECK(stage.map_file(16, 2) == Errno::ok);
    CHECK(stage.read(16) == 0);
    CHECK(stage.write(17, 1));
  };
  const Act act = [](Stage& stage) {
    CHECK(mprotect(*stage.mm, stage.pages(16, 18), {true, false, false}) == Errno::ok);
    CHECK(mprotect(*stage.mm, stage.pages(16, 18), kReadWrite) == Errno::ok);
    stage.log.text += " |";
    CHECK(stage.write(16, 2));
    CHECK(stage.write(17, 2));
  };
  CHECK(
      play("v6.10", before, act).ends_with("S PROTECTION_VMA 16-18, 17:ro>rw, E 16-18, F 17-18, T 17-18 |, 16:ro>rw"));
}

TEST_CASE("msync of memory that is no file says nothing, of a hole that it is one") {
  const Act before = [](Stage& stage) {
    CHECK(stage.map(16, 1, kReadWrite, true) == Errno::ok);
    CHECK(stage.write(16, 1));
  };
  const Act act = [](Stage& stage) {
    CHECK(msync(*stage.mm, stage.pages(16, 17)) == Errno::ok);
    CHECK(msync(*stage.mm, stage.pages(16, 18)) == Errno::enomem);
  };
  CHECK(play("v6.10", before, act) == "");
}

TEST_CASE("mremap in place: growing says nothing, shrinking unmaps the tail") {
  const Act act = [](Stage& stage) {
    VirtAddr where;
    CHECK(mremap(*stage.mm, {stage.pages(0, 8), 10, false}, where) == Errno::ok);
    CHECK(stage.write(9, 9));
    CHECK(mremap(*stage.mm, {stage.pages(0, 10), 4}, where) == Errno::ok);
    CHECK(stage.read(9) == 0xfa17);
    CHECK(stage.map(4, 1, kRead) == Errno::ok);
    CHECK(mremap(*stage.mm, {stage.pages(0, 4), 5, false}, where) == Errno::enomem);
    CHECK(mremap(*stage.mm, {stage.pages(0, 5), 6}, where) == Errno::efault);  // two VMAs
    CHECK(mremap(*stage.mm, {stage.pages(20, 21), 2}, where) == Errno::efault);
    CHECK(mremap(*stage.mm, {stage.pages(0, 2), 2, true, true, stage.at(1)}, where) == Errno::einval);
  };
  CHECK(play(
            "v6.10", [](Stage& stage) { CHECK(stage.write(1, 1)); }, act) ==
        "9:->rw, S UNMAP 4-10, 9:rw>-, E 4-10, F 9-10, T 9-10, free");
}

TEST_CASE("exit: subscribers are released first, and hear no more") {
  const Act before = [](Stage& stage) { touch_four(stage); };
  const Act act = [](Stage& stage) {
    mmput(*stage.mm);
    CHECK(stage.mm->torn_down);
    CHECK_FALSE(stage.mm->freed);  // in neither kernel: the watcher still holds the structure
    CHECK(stage.read(1) == 0xfa17);
  };
  CHECK(play("v6.10", before, act) == "R, 1:rw>-, 2:rw>-, 3:rw>-, 4:rw>-, F all, free, free, free, free");
  CHECK(play("v3.2", before, act) == "R, 1:rw>-, 2:rw>-, 3:rw>-, 4:rw>-, F all, free, free, free, free");
}

TEST_CASE("brk grows and shrinks the heap") {
  const Act act = [](Stage& stage) {
    Mm& mm = *stage.mm;
    mm.brk_start = mm.brk_end = stage.at(100) + 16;
    VirtAddr end;
    CHECK(brk(mm, {}, end) == Errno::ok);
    CHECK(end == stage.at(100) + 16);
    CHECK(brk(mm, stage.at(103) + 1, end) == Errno::ok);
    CHECK(stage.read(100) == 0xfa17);  // the start's own page belongs to what lies before the heap
    CHECK(stage.write(103, 3));
    CHECK(brk(mm, stage.at(102), end) == Errno::ok);
    CHECK(end == stage.at(102));
    CHECK(stage.read(103) == 0xfa17);
    CHECK(stage.map(105, 1) == Errno::ok);
    CHECK(brk(mm, stage.at(106), end) == Errno::enomem);
    CHECK(end == stage.at(102));
    CHECK(brk(mm, {UINT64_MAX}, end) == Errno::enomem);
  };
  CHECK(play(
            "v6.10", [](Stage& stage) { CHECK(stage.write(1, 1)); }, act) ==
        "103:->rw, S UNMAP 102-104, 103:rw>-, E 102-104, F 103-104, T 103-104, free");
}
