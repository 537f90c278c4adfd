// mlock, and advice about children.
#include <doctest/doctest.h>

#include "models/mm/test_stage.hpp"

using namespace secmmu;
using namespace secmmu::literals;
using namespace secmmu::testing;

TEST_CASE("mlock brings pages in as writes do where that is allowed, and merges VMAs when it ends") {
  CHECK(play(
            "v6.1",
            [](Stage& stage) {
              CHECK(stage.read(1) == 0);
              CHECK(stage.write(2, 2));
              CHECK(stage.map(20, 2, kRead) == Errno::ok);
            },
            [](Stage& stage) {
              Mm& mm = *stage.mm;
              CHECK(mlock(mm, stage.pages(1, 4)) == Errno::ok);
              CHECK(mm.vmas_in(kWholeSpace).size() == 4);
              CHECK(mlock(mm, stage.pages(20, 22)) == Errno::ok);
              CHECK(munlock(mm, stage.pages(0, 8)) == Errno::ok);
              CHECK(mm.vmas_in(kWholeSpace).size() == 2);
            }) == "S CLEAR 1-2, 1:ro>-, F 1-2, C 1, 1:->rw, E 1-2, 3:->rw, 20:->ro, 21:->ro");
}

TEST_CASE("locked pages are not discarded, reclaimed or freed lazily, and holes and forbidden memory are told") {
  play("v6.1", touch_four, [](Stage& stage) {
    Mm& mm = *stage.mm;
    CHECK(mlock(mm, stage.pages(1, 3)) == Errno::ok);
    const PageRange all = stage.pages(0, 8);
    CHECK(madvise_dontneed(mm, all) == Errno::einval);
    CHECK(madvise_free(mm, all) == Errno::einval);
    CHECK(madvise_cold(mm, all) == Errno::einval);
    CHECK(madvise_pageout(mm, all) == Errno::einval);
    CHECK(stage.read(1) == 1);
    CHECK(mlock(mm, stage.pages(6, 10)) == Errno::enomem);
    CHECK(mm.vma_at(stage.pages(7, 8).first).attributes.locked);  // what lies before the hole is done
    CHECK(stage.map(20, 2, Rights{}) == Errno::ok);
    CHECK(mlock(mm, stage.pages(20, 22)) == Errno::enomem);
    CHECK(munlock(mm, stage.pages(0, 9)) == Errno::enomem);
  });
}

TEST_CASE("what grows of locked memory is brought in, and a child's memory is not locked") {
  play("v6.1", touch_four, [](Stage& stage) {
    Mm& mm = *stage.mm;
    CHECK(mlock(mm, stage.pages(0, 8)) == Errno::ok);
    VirtAddr at{};
    CHECK(mremap(mm, {stage.pages(0, 8), 10}, at) == Errno::ok);
    CHECK(mm.counters.resident == 10);
    stage.fork_child();
    CHECK_FALSE(stage.child->vma_at(stage.pages(0, 1).first).attributes.locked);
  });
}

TEST_CASE("a child gets no DONTFORK memory, and fresh memory for WIPEONFORK") {
  CHECK(play("v6.1", touch_four, [](Stage& stage) {
          Mm& mm = *stage.mm;
          CHECK(madvise_fork(mm, stage.pages(0, 2), ForkAdvice::dont_fork) == Errno::ok);
          CHECK(madvise_fork(mm, stage.pages(2, 4), ForkAdvice::wipe) == Errno::ok);
          stage.fork_child();
          load_on(*stage.child, stage.core());
          CHECK(stage.read(1) == 0xfa17);
          CHECK(stage.read(2) == 0);
          CHECK(stage.write(3, 9));
          CHECK(stage.read(4) == 4);
          load_on(mm, stage.core());
          CHECK(stage.read(3) == 3);
        }) == "S PROTECTION_PAGE 4-8, 4:rw>ro, E 4-8, F all");
  play("v6.1", touch_four, [](Stage& stage) {
    Mm& mm = *stage.mm;
    CHECK(madvise_fork(mm, stage.pages(0, 10), ForkAdvice::wipe) == Errno::enomem);
    CHECK(madvise_fork(mm, stage.pages(0, 8), ForkAdvice::keep) == Errno::ok);
    CHECK(stage.map(20, 2, kReadWrite, true) == Errno::ok);
    CHECK(madvise_fork(mm, stage.pages(20, 22), ForkAdvice::wipe) == Errno::einval);
    CHECK(madvise_fork(mm, stage.pages(20, 22), ForkAdvice::dont_fork) == Errno::ok);
    stage.fork_child();
    load_on(*stage.child, stage.core());
    CHECK(stage.read(1) == 1);
    CHECK(stage.read(20) == 0xfa17);
    load_on(mm, stage.core());
  });
}
