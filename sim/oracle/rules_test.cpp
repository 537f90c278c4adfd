// Each rule: a history that breaks it, and histories that look alike and are legal.
#include <doctest/doctest.h>

#include <malloc.h>

#include "sim/oracle/history.hpp"

namespace secmmu::testing {
namespace {

// A page of app with a frame, a subscriber, and a translation of the page in it.
struct Mapped : History {
  explicit Mapped(OracleOptions options = {}) : History(options) {
    bus.emit(MmCreated{"app", 1});
    enroll("gru0");
    alloc(0x12);
    map(5, 0x12);
    entry = &fill(5, 0x12);
  }
  Entry* entry;
};

TEST_CASE("oracle: a munmap that is told and zapped is clean") {
  Mapped h;
  h.enter("munmap");
  const auto id = h.start(4, 8, "gru0", {h.entry});
  h.clear(5);
  h.free(0x12);
  h.finish_range(id);
  h.leave("munmap");
  h.over();
  CHECK(h.broken() == "");
  CHECK(h.found() == "");
  CHECK(h.oracle.audit().empty());
}

TEST_CASE("oracle: use-after-free: a zap was forgotten and the frame got a new owner") {
  Mapped h;
  h.bus.emit(LockAcquired{"mmap_lock(app)", "rwsem", false});
  h.enter("munmap");
  const auto id = h.start(4, 8);
  h.clear(5);
  h.free(0x12);
  h.finish_range(id);
  h.alloc(0x12, "other");
  h.by(2).use(*h.entry, true);
  REQUIRE(h.broken() == "use-after-free");
  const Violation& v = h.oracle.violations()[0];
  CHECK(v.task == "gru0.ctx0");
  CHECK(v.device == "gru0");
  CHECK(v.mm == "app");
  CHECK(v.summary.find("gru0 wrote 0x5008 of app through a translation to frame 0x12, which was freed at") !=
        std::string::npos);
  CHECK(v.summary.find("has belonged to other (anon)") != std::string::npos);
  std::string story;
  for (const std::string& line : v.story) story += line + "\n";
  INFO(story);
  // In this order: fill, announcement, callback, the PTE, the free, the new owner, the use, the locks.
  std::size_t at = 0;
  for (const char* part : {"took the translation", "announced invalidation 1 of app", "in munmap",
                           "called gru0's start", "gru0's start returned ok", "changed the PTE", "gave frame 0x12 back",
                           "invalidation 1 was closed", "gave frame 0x12 to other",
                           "wrote 0x2a at 0x5008, which is in frame 0x12", "held then by t0: mmap_lock(app)"}) {
    const std::size_t next = story.find(part, at);
    CHECK_MESSAGE(next != std::string::npos, part);
    if (next != std::string::npos) at = next;
  }
  SUBCASE("again at the same place: counted, not repeated") {
    h.use(*h.entry, false);
    h.use(*h.entry, false);
    CHECK(h.oracle.violations().size() == 1);
    CHECK(h.oracle.violations()[0].more == 2);
    CHECK(h.oracle.count("use-after-free") == 3);
  }
}

TEST_CASE("oracle: an illegal translation that nobody uses is a finding, and in the strict form a violation") {
  for (const bool strict : {false, true}) {
    OracleOptions options;
    options.strict = strict;
    Mapped h(options);
    const auto id = h.start(4, 8);
    h.clear(5);
    h.finish_range(id);
    const bool dropped = strict;  // it may go, or be there at the end
    if (dropped) h.drop(*h.entry);
    h.over();
    CHECK(h.broken() == (strict ? "stale-mapping" : ""));
    CHECK(h.found() == (strict ? "" : "stale-mapping"));
  }
}

TEST_CASE("oracle: use-after-free: a core whose TLB was not flushed") {
  Mapped h;
  Entry& tlb = h.cpu_fill(1, 5, 0x12);
  const auto id = h.start(4, 8, "gru0", {h.entry});
  h.clear(5);
  h.by(1).use(tlb, true);
  CHECK(h.broken() == "");
  h.by(0).free(0x12);
  h.finish_range(id);
  h.by(1).use(tlb, true);
  CHECK(h.broken() == "use-after-free");
  CHECK(h.oracle.violations()[0].device == "cpu1");
}

TEST_CASE("oracle: use-after-free: a fill that looked before the invalidation and stores after it") {
  Mapped h;
  const auto id = h.start(4, 8, "gru0", {h.entry});
  h.clear(5);
  h.free(0x12);
  h.finish_range(id);
  SUBCASE("the frame is free") {}
  SUBCASE("the frame has a new owner") { h.alloc(0x12, "other"); }
  SUBCASE("the frame came back to another page of the same space") {
    h.alloc(0x12);
    h.map(6, 0x12);
  }
  Entry& late = h.by(2).fill(5, 0x12);
  h.use(late, false);
  CHECK(h.broken() == "use-after-free");
}

TEST_CASE("oracle: use-after-free: the kernel freed a frame that its page table still names") {
  Mapped h;
  h.drop(*h.entry);
  h.free(0x12);
  h.use(h.fill(5, 0x12), false);
  CHECK(h.broken() == "use-after-free");
}

TEST_CASE("oracle: a translation is owed for the last change only, and what an older one waited for says nothing") {
  Mapped h;
  h.enter("first");
  h.pte(5, {0x12}, false, "protect");  // outside every range, by t0
  h.pte(5, {0x12}, true, "protect");
  h.begin("gru0", Callback::invalidate_page, one_page({5}));
  h.end("gru0", Callback::invalidate_page, one_page({5}));
  CHECK(h.entry->ghost.word == 0);
  h.by(1).enter("second");
  h.pte(5, {0x12}, false, "protect");
  h.by(0).leave("first");
  CHECK(h.entry->ghost.word == 0);
  h.by(1).leave("second");
  CHECK(h.entry->ghost.word == Ghost::kIllegal);
}

TEST_CASE("oracle: a fill of the frame that the page has got anew is legal") {
  Mapped h;
  const auto id = h.start(4, 8, "gru0", {h.entry});
  h.clear(5);
  h.free(0x12);
  h.finish_range(id);
  h.alloc(0x12);
  h.map(5, 0x12);
  CHECK(h.fill(5, 0x12).ghost.word == 0);
  h.over();
  CHECK(h.broken() + h.found() == "");
}

TEST_CASE("oracle: stale-mapping: the PTE got another frame and the old one lives on") {
  Mapped h;
  h.alloc(0x13);
  SUBCASE("zapped in start: legal") {
    const auto id = h.start(5, 6, "gru0", {h.entry});
    h.map(5, 0x13);
    h.finish_range(id);
    Entry& fresh = h.fill(5, 0x13);
    h.use(fresh, true);
    CHECK(h.broken() == "");
  }
  SUBCASE("used before this device was called: legal") {
    const auto id = h.announce(5, 6);
    h.use(*h.entry, true);
    h.begin("gru0", Callback::start, {{5}, {6}}, id);
    h.use(*h.entry, true);
    h.drop(*h.entry);
    h.end("gru0", Callback::start, {{5}, {6}}, id);
    h.told(id);
    h.map(5, 0x13);
    h.finish_range(id);
    CHECK(h.broken() == "");
  }
  SUBCASE("not zapped: illegal as soon as the PTE has changed") {
    const auto id = h.start(5, 6);
    h.use(*h.entry, false);
    CHECK(h.broken() == "");
    h.map(5, 0x13);
    h.by(2).use(*h.entry, false);
    CHECK(h.broken() == "stale-mapping");
    h.by(0).finish_range(id);
  }
  SUBCASE("the same frame came back: its use is harmless, the finding stays") {
    const auto id = h.start(5, 6);
    h.clear(5);
    h.finish_range(id);
    h.map(5, 0x12);
    h.use(*h.entry, true);
    h.over();
    CHECK(h.broken() == "");
    CHECK(h.found() == "stale-mapping");
  }
  SUBCASE("another page is none of its business") {
    const auto id = h.start(6, 7);
    h.map(6, 0x13);
    h.clear(6);
    h.finish_range(id);
    CHECK(h.entry->ghost.word == 0);
  }
}

TEST_CASE("oracle: the anchor of a device without a start callback") {
  Mapped h;
  h.enroll("iommu0");
  Entry& entry = h.fill(5, 0x12, true, "iommu0");
  const auto id = h.start(5, 6, "gru0", {h.entry});
  h.clear(5);
  h.use(entry, true);
  CHECK(h.broken() == "");  // its callback is still to come
  SUBCASE("zapped in its TLB callback: legal") {
    h.begin("iommu0", Callback::secondary_tlbs, {{5}, {6}});
    h.use(entry, true);
    h.drop(entry);
    h.end("iommu0", Callback::secondary_tlbs, {{5}, {6}});
    h.free(0x12);
    h.finish_range(id);
    CHECK(h.broken() == "");
  }
  SUBCASE("its TLB callback returned") {
    h.begin("iommu0", Callback::secondary_tlbs, {{5}, {6}});
    h.end("iommu0", Callback::secondary_tlbs, {{5}, {6}});
    h.use(entry, true);
    CHECK(h.broken() == "stale-mapping");
  }
  SUBCASE("a callback for another page promises nothing") {
    h.begin("iommu0", Callback::secondary_tlbs, {{6}, {7}});
    h.end("iommu0", Callback::secondary_tlbs, {{6}, {7}});
    h.use(entry, true);
    CHECK(h.broken() == "");
  }
  SUBCASE("nor does an ageing callback") {
    h.begin("iommu0", Callback::clear_flush_young, {{5}, {6}});
    h.end("iommu0", Callback::clear_flush_young, {{5}, {6}});
    h.use(entry, true);
    CHECK(h.broken() == "");
  }
  SUBCASE("the range ended without it") {
    h.finish_range(id);
    h.use(entry, true);
    CHECK(h.broken() == "stale-mapping");
  }
  SUBCASE("its own end callback is the point") {
    h.ending(id);
    h.begin("iommu0", Callback::end, {{5}, {6}}, id);
    h.use(entry, true);
    CHECK(h.broken() == "");
    h.end("iommu0", Callback::end, {{5}, {6}}, id);
    h.use(entry, true);
    CHECK(h.broken() == "stale-mapping");
    h.ended(id);
  }
  SUBCASE("the frame was freed, whoever was still to be called") {
    h.free(0x12);
    h.use(entry, true);
    CHECK(h.broken() == "use-after-free");
  }
  SUBCASE("a fill inside the range with what the PTE said before: its callback will see it") {
    h.drop(entry);
    Entry& late = h.fill(5, 0x12, true, "iommu0");
    h.use(late, true);
    CHECK(h.broken() == "");
    h.begin("iommu0", Callback::secondary_tlbs, {{5}, {6}});
    h.end("iommu0", Callback::secondary_tlbs, {{5}, {6}});
    h.use(late, true);
    CHECK(h.broken() == "stale-mapping");
  }
}

TEST_CASE("oracle: the anchor of a change outside every range (copy-on-write before v3.7)") {
  Mapped h;
  h.alloc(0x13);
  h.map(5, 0x13);  // outside every range
  h.use(*h.entry, false);
  CHECK(h.broken() == "");
  SUBCASE("change_pte took it along: legal") {
    h.begin("gru0", Callback::change_pte, one_page({5}));
    h.drop(*h.entry);
    Entry& fresh = h.fill(5, 0x13);
    h.end("gru0", Callback::change_pte, one_page({5}));
    h.handled(5);
    h.use(fresh, true);
    h.over();
    CHECK(h.broken() + h.found() == "");
  }
  SUBCASE("change_pte returned and it is still there") {
    h.begin("gru0", Callback::change_pte, one_page({5}));
    h.end("gru0", Callback::change_pte, one_page({5}));
    h.use(*h.entry, false);
    CHECK(h.broken() == "stale-mapping");
  }
  SUBCASE("invalidate_page returned and it is still there") {
    h.begin("gru0", Callback::invalidate_page, one_page({5}));
    h.end("gru0", Callback::invalidate_page, one_page({5}));
    h.use(*h.entry, false);
    CHECK(h.broken() == "stale-mapping");
  }
  SUBCASE("nobody told it: the end of the fault is the last moment") {
    h.by(1).handled(5);  // somebody else's fault says nothing
    h.use(*h.entry, false);
    CHECK(h.broken() == "");
    h.by(0).handled(5);
    h.use(*h.entry, false);
    CHECK(h.broken() == "stale-mapping");
  }
  SUBCASE("a late fill: legal until the callback, illegal after") {
    h.drop(*h.entry);
    Entry& early = h.fill(5, 0x12);
    CHECK(early.ghost.word == 0);
    h.begin("gru0", Callback::invalidate_page, one_page({5}));
    h.drop(early);
    h.end("gru0", Callback::invalidate_page, one_page({5}));
    Entry& late = h.fill(5, 0x12);
    CHECK(late.ghost.word == Ghost::kIllegal);
    h.use(late, false);
    CHECK(h.broken() == "stale-mapping");
  }
}

TEST_CASE("oracle: a fill while a start is under way is owed until that returns, whoever changed the PTE") {
  Mapped h;
  h.drop(*h.entry);
  const std::uint64_t id = h.announce(5, 6);
  h.begin("gru0", Callback::start, {{5}, {6}}, id);
  h.alloc(0x13);
  h.by(1).map(5, 0x13);  // copy-on-write beside it, outside its own range
  Entry& late = h.fill(5, 0x12);
  CHECK(late.ghost.word == 0);
  SUBCASE("the start takes it out: legal") {
    h.use(late, false);
    h.drop(late);
    h.by(0).end("gru0", Callback::start, {{5}, {6}}, id);
    CHECK(h.broken() + h.found() == "");
  }
  SUBCASE("the start returns and it is still there") {
    h.by(0).end("gru0", Callback::start, {{5}, {6}}, id);
    h.use(late, false);
    CHECK(h.broken() == "stale-mapping");
  }
}

TEST_CASE("oracle: the anchor of a core is the end of the call or fault that changed the PTE") {
  Mapped h;
  Entry& tlb = h.cpu_fill(1, 5, 0x12);
  h.drop(*h.entry);
  SUBCASE("a call") {
    h.enter("mprotect");
    h.pte(5, {0x12}, false, "protect");
    h.by(1).use(tlb, true);
    h.leave("other");  // another task's call
    h.use(tlb, true);
    CHECK(h.broken() == "");
    h.by(0);
    SUBCASE("flushed: legal") {
      h.drop(tlb);
      h.leave("mprotect");
      h.over();
      CHECK(h.broken() + h.found() == "");
    }
    SUBCASE("not flushed") {
      h.leave("mprotect");
      h.by(1).use(tlb, false);
      CHECK(h.broken() == "");
      h.use(tlb, true);
      CHECK(h.broken() == "stale-write-permission");
    }
    SUBCASE("a walk that read before and fills after is flushed too: legal until then") {
      h.by(1);
      Entry& late = h.cpu_fill(0, 5, 0x12);
      CHECK(late.ghost.word == 0);
      h.by(0).drop(tlb);
      h.leave("mprotect");
      CHECK(late.ghost.word == Ghost::kIllegal);
      CHECK(h.cpu_fill(1, 5, 0x12).ghost.word == Ghost::kIllegal);
    }
  }
  SUBCASE("a call that flushes after its range ended, as munmap does: legal until the call ends") {
    h.enter("munmap");
    const auto id = h.start(5, 6);
    h.clear(5);
    h.finish_range(id);
    CHECK(tlb.ghost.word == 0);
    h.leave("munmap");
    CHECK(tlb.ghost.word == Ghost::kIllegal);
  }
  SUBCASE("a fault") {
    h.alloc(0x13);
    h.map(5, 0x13);
    h.use(tlb, false);
    CHECK(h.broken() == "");
    h.handled(6);
    h.use(tlb, false);
    CHECK(h.broken() == "");
    h.handled(5);
    h.use(tlb, false);
    CHECK(h.broken() == "stale-mapping");
  }
  SUBCASE("after the exit nobody runs there: no finding") {
    h.bus.emit(MmReleaseBegin{"app", 1});
    h.bus.emit(MmReleaseEnd{"app", 1});
    h.pte(5, kNoPfn, false, "exit");
    h.free(0x12);
    h.over();
    CHECK(h.broken() + h.found() == "");
  }
}

TEST_CASE("oracle: stale-write-permission") {
  Mapped h;
  Entry& read_only = h.fill(5, 0x12, false, "gru0");
  SUBCASE("zapped, and taken again as read only: legal") {
    const auto id = h.start(5, 6, "gru0", {h.entry, &read_only});
    h.pte(5, {0x12}, false, "protect");
    h.finish_range(id);
    h.fill(5, 0x12, false);
    h.over();
    CHECK(h.broken() + h.found() == "");
  }
  SUBCASE("not zapped: only a write through the writable one breaks it") {
    const auto id = h.start(5, 6);
    h.pte(5, {0x12}, false, "protect");
    h.finish_range(id);
    CHECK(read_only.ghost.word == 0);
    h.use(*h.entry, false);
    CHECK(h.broken() == "");
    h.use(*h.entry, true);
    CHECK(h.broken() == "stale-write-permission");
    h.pte(5, {0x12}, true, "protect");
    h.use(*h.entry, true);  // may write again
    CHECK(h.oracle.count("stale-write-permission") == 1);
  }
  SUBCASE("more rights never make anything illegal") {
    h.drop(*h.entry);
    const auto id = h.start(5, 6);
    h.pte(5, {0x12}, false, "protect");
    h.finish_range(id);
    h.pte(5, {0x12}, true, "protect");
    CHECK(read_only.ghost.word == 0);
  }
  SUBCASE("a late writable fill") {
    const auto id = h.start(5, 6, "gru0", {h.entry, &read_only});
    h.pte(5, {0x12}, false, "protect");
    h.finish_range(id);
    h.use(h.fill(5, 0x12, true), true);
    CHECK(h.broken() == "stale-write-permission");
  }
}

TEST_CASE("oracle: map-in-open-range") {
  Mapped h;
  SUBCASE("after start was announced, before this device was called: legal") {
    const auto id = h.announce(5, 6);
    Entry& early = h.fill(5, 0x12);
    h.begin("gru0", Callback::start, {{5}, {6}}, id);
    Entry& inside = h.fill(5, 0x12);
    h.drop(early);
    h.drop(inside);
    h.drop(*h.entry);
    h.end("gru0", Callback::start, {{5}, {6}}, id);
    h.told(id);
    h.clear(5);
    h.finish_range(id);
    CHECK(h.broken() == "");
  }
  SUBCASE("after it was called") {
    h.start(5, 6, "gru0", {h.entry});
    h.by(2).fill(5, 0x12);
    REQUIRE(h.broken() == "map-in-open-range");
    CHECK(h.oracle.violations()[0].task == "gru0.ctx0");
  }
  SUBCASE("after it was called, for a page outside: legal") {
    h.start(5, 6, "gru0", {h.entry});
    h.alloc(0x14);
    h.map(7, 0x14);
    h.fill(7, 0x14);
    CHECK(h.broken() == "");
  }
  SUBCASE("by a device that was not called: legal") {
    h.start(5, 6, "gru0", {h.entry});
    h.enroll("probe0");
    h.fill(5, 0x12, true, "probe0");
    CHECK(h.broken() == "");
  }
  SUBCASE("after its end began, while others are still told: legal") {
    const auto id = h.start(5, 6, "gru0", {h.entry});
    h.alloc(0x13);
    h.map(5, 0x13);
    h.ending(id);
    h.begin("gru0", Callback::end, {{5}, {6}}, id);
    h.fill(5, 0x13);
    h.end("gru0", Callback::end, {{5}, {6}}, id);
    h.ended(id);
    CHECK(h.broken() == "");
  }
  SUBCASE("it refused: it promised nothing") {
    const auto id = h.announce(5, 6, false);
    h.begin("gru0", Callback::start, {{5}, {6}}, id);
    h.end("gru0", Callback::start, {{5}, {6}}, id, Errno::eagain);
    h.fill(5, 0x12);
    h.told(id, Errno::eagain);
    h.fill(5, 0x12);
    h.over();
    CHECK(h.broken() == "");
  }
  SUBCASE("an inner range ended, the outer one is still open") {
    const auto outer = h.start(4, 8, "gru0", {h.entry});
    const auto inner = h.start(5, 6);
    h.finish_range(inner);
    h.fill(5, 0x12);
    CHECK(h.broken() == "map-in-open-range");
    h.finish_range(outer);
  }
}

TEST_CASE("oracle: release-leaves-translation") {
  Mapped h;
  SUBCASE("all dropped: legal, and a new registration may fill") {
    h.drop(*h.entry);
    h.bus.emit(DeviceDetached{"gru0", "app", 1});
    h.enroll("gru0");
    h.fill(5, 0x12);
    CHECK(h.broken() == "");
  }
  SUBCASE("another device's are not meant") {
    h.enroll("probe0");
    h.fill(5, 0x12, true, "probe0");
    h.drop(*h.entry);
    h.bus.emit(DeviceDetached{"gru0", "app", 1});
    CHECK(h.broken() == "");
  }
  SUBCASE("one is left") {
    h.bus.emit(DeviceDetached{"gru0", "app", 1});
    CHECK(h.broken() == "release-leaves-translation");
  }
  SUBCASE("one comes later") {
    h.drop(*h.entry);
    h.bus.emit(DeviceDetached{"gru0", "app", 1});
    h.fill(5, 0x12);
    CHECK(h.broken() == "release-leaves-translation");
  }
}

TEST_CASE("oracle: unbalanced-range") {
  Mapped h;
  h.drop(*h.entry);
  SUBCASE("nested, and ended in another order: legal") {
    const auto a = h.start(4, 8);
    const auto b = h.start(5, 6);
    h.finish_range(a);
    h.finish_range(b);
    h.bus.emit(DeviceRangeActive{"gru0", "app", 1, 0});
    h.bus.emit(UnregisterEnd{"app", 1, "gru0", h.serials["gru0"]});
    h.bus.emit(MmFreed{"app", 1, 0});
    h.over();
    CHECK(h.broken() == "");
  }
  SUBCASE("refused, and rolled back: legal") {
    const auto id = h.announce(4, 8, false);
    h.begin("gru0", Callback::start, {{4}, {8}}, id);
    h.end("gru0", Callback::start, {{4}, {8}}, id);
    h.begin("gru0", Callback::end, {{4}, {8}}, id);
    h.fill(5, 0x12);  // it has been told that nothing happens
    h.end("gru0", Callback::end, {{4}, {8}}, id);
    h.told(id, Errno::eagain);
    h.over();
    CHECK(h.broken() == "");
    SUBCASE("but its caller must not end it") {
      h.finish_range(id);
      CHECK(h.broken() == "unbalanced-range");
    }
  }
  SUBCASE("an end without a start") {
    h.bus.emit(InvalidateEnd{"app", 1, 0, {{4}, {8}}});
    h.bus.emit(InvalidateEnded{"app", 1, 0});
    CHECK(h.broken() == "unbalanced-range");
  }
  SUBCASE("two ends") {
    const auto id = h.start(4, 8);
    h.finish_range(id);
    h.finish_range(id);
    CHECK(h.broken() == "unbalanced-range");
  }
  SUBCASE("an end of another range") {
    const auto id = h.start(4, 8);
    h.ranges[id] = {{4}, {9}};
    h.finish_range(id);
    CHECK(h.broken() == "unbalanced-range");
  }
  SUBCASE("no end when the mm goes") {
    h.start(4, 8);
    h.bus.emit(UnregisterEnd{"app", 1, "gru0", h.serials["gru0"]});
    h.bus.emit(MmFreed{"app", 1, 0});
    CHECK(h.broken() == "unbalanced-range");
  }
  SUBCASE("no end when the run ends; a run that was cut short is not asked") {
    h.start(4, 8);
    SUBCASE("complete") {
      h.over();
      CHECK(h.broken() == "unbalanced-range");
    }
    SUBCASE("cut short") {
      h.over(false);
      CHECK(h.broken() == "");
    }
    SUBCASE("deadlocked") {
      h.bus.emit(Deadlock{"all wait"});
      h.over();
      CHECK(h.broken() == "deadlock");
    }
  }
  SUBCASE("the count falls below zero") {
    h.bus.emit(DeviceRangeActive{"gru0", "app", 1, 1});
    h.bus.emit(DeviceRangeActive{"gru0", "app", 1, 0});
    CHECK(h.broken() == "");
    h.bus.emit(DeviceRangeActive{"gru0", "app", 1, -1});
    CHECK(h.broken() == "unbalanced-range");
  }
  SUBCASE("registered between start and end") {
    const auto id = h.start(4, 8);
    h.enroll("gru1");
    h.ending(id);
    h.begin("gru1", Callback::end, {{4}, {8}}, id);
    CHECK(h.broken() == "unbalanced-range");
  }
  SUBCASE("a subscriber with an end callback only: legal") {
    h.enroll("xpmem0");
    const auto id = h.start(4, 8);
    h.ending(id);
    h.begin("xpmem0", Callback::end, {{4}, {8}}, id);
    h.end("xpmem0", Callback::end, {{4}, {8}}, id);
    h.ended(id);
    CHECK(h.broken() == "");
  }
}

TEST_CASE("oracle: callback-after-unregister") {
  Mapped h;
  h.drop(*h.entry);
  const std::uint64_t serial = h.serials["gru0"];
  h.bus.emit(UnregisterBegin{"app", 1, "gru0", serial});
  SUBCASE("while unregister runs, release twice: legal; a new registration too") {
    h.begin("gru0", Callback::release, kWholeSpace);
    h.by(1).begin("gru0", Callback::release, kWholeSpace);
    h.end("gru0", Callback::release, kWholeSpace);
    h.by(0).end("gru0", Callback::release, kWholeSpace);
    h.bus.emit(Unlinked{"app", 1, "gru0", serial, true});
    h.bus.emit(UnregisterEnd{"app", 1, "gru0", serial});
    h.bus.emit(SubscriptionFreed{"app", 1, "gru0", serial});
    h.enroll("gru0");
    h.start(4, 8);
    CHECK(h.broken() == "");
  }
  SUBCASE("still running") {
    h.by(1).begin("gru0", Callback::start, {{4}, {8}}, 1);
    h.by(0).bus.emit(UnregisterEnd{"app", 1, "gru0", serial});
    CHECK(h.broken() == "callback-after-unregister");
  }
  SUBCASE("begins later") {
    h.bus.emit(UnregisterEnd{"app", 1, "gru0", serial});
    h.begin("gru0", Callback::release, kWholeSpace);
    CHECK(h.broken() == "callback-after-unregister");
  }
  SUBCASE("free_notifier after its module was gone") {
    h.bus.emit(DriverGone{"gru0"});
    CHECK(h.broken() == "");
    h.begin("gru0", Callback::free_notifier, kWholeSpace);
    REQUIRE(h.broken() == "callback-after-unregister");
    CHECK(h.oracle.violations()[0].summary.find("after the module of its driver was gone") != std::string::npos);
  }
  SUBCASE("free_notifier before its module goes, and the module of another: legal") {
    h.bus.emit(DriverGone{"gru1"});
    h.begin("gru0", Callback::free_notifier, kWholeSpace);
    h.end("gru0", Callback::free_notifier, kWholeSpace);
    h.bus.emit(DriverGone{"gru0"});
    CHECK(h.broken() == "");
  }
  SUBCASE("begins after it was freed") {
    h.bus.emit(SubscriptionFreed{"app", 1, "gru0", serial});
    h.begin("gru0", Callback::end, {{4}, {8}});
    CHECK(h.broken() == "callback-after-unregister");
  }
  SUBCASE("taken out of the list after it was freed") {
    h.bus.emit(SubscriptionFreed{"app", 1, "gru0", serial});
    h.bus.emit(Unlinked{"app", 1, "gru0", serial, true});
    REQUIRE(h.broken() == "callback-after-unregister");
    CHECK(h.oracle.violations()[0].summary == "gru0 was taken out of app's list after its subscription had been freed");
  }
}

TEST_CASE("oracle: callback-after-unregister, of an interval") {
  Mapped h;
  h.drop(*h.entry);
  h.bus.emit(IntervalInserted{"app", 1, "gru0", 9, address_of(Vpn{4}), address_of(Vpn{8}), false});
  SUBCASE("removed, and another one called: legal") {
    h.bus.emit(IntervalRemoved{"app", 1, "gru0", 9});
    h.start(4, 8);
    CHECK(h.broken() == "");
  }
  SUBCASE("removed while its callback runs, or touched later") {
    SUBCASE("called") {
      h.bus.emit(CallbackBegin{"app", 1, "gru0", 9, Callback::interval_invalidate, {{4}, {8}}, 1});
      CHECK(h.broken() == "");
      h.bus.emit(IntervalRemoved{"app", 1, "gru0", 9});
    }
    SUBCASE("touched") {
      h.bus.emit(IntervalRemoved{"app", 1, "gru0", 9});
      CHECK(h.broken() == "");
      h.bus.emit(IntervalTouched{"app", 1, "gru0", 9});
    }
    CHECK(h.broken() == "callback-after-unregister");
  }
}

TEST_CASE("oracle: callback-after-release") {
  Mapped h;
  h.drop(*h.entry);
  h.bus.emit(MmReleaseBegin{"app", 1});
  h.begin("gru0", Callback::release, kWholeSpace);
  h.by(1).begin("gru0", Callback::invalidate_page, one_page({5}));
  h.end("gru0", Callback::invalidate_page, one_page({5}));
  h.by(0).end("gru0", Callback::release, kWholeSpace);
  h.bus.emit(MmReleaseEnd{"app", 1});
  h.begin("gru0", Callback::release, kWholeSpace);  // unregister looked before
  h.end("gru0", Callback::release, kWholeSpace);
  CHECK(h.broken() == "");
  h.by(1).begin("gru0", Callback::clear_young, one_page({5}));
  CHECK(h.broken() == "callback-after-release");
}

TEST_CASE("oracle: sleep-in-atomic, lock-order and deadlock tell what the event says") {
  History h;
  h.bus.emit(LockAcquired{"pt_lock", "spinlock", false});
  CHECK(h.broken() == "");
  h.bus.emit(SleptInAtomic{"mutex gru", "spinlock pt_lock is held"});
  h.bus.emit(LockOrderBroken{"a -> b -> a", "first ... then"});
  h.bus.emit(LockOrderBroken{"a -> c -> a", "first ... then"});
  h.bus.emit(Deadlock{"t0 waits for t1\n\nt1 waits for t0\n"});
  CHECK(h.broken() == "sleep-in-atomic lock-order lock-order deadlock");
  CHECK(h.oracle.violations()[0].summary == "mutex gru may sleep, and was called where spinlock pt_lock is held");
  CHECK(h.oracle.violations()[0].story.back() == "held then by t0: pt_lock");
  CHECK(h.oracle.violations()[3].story ==
        std::vector<std::string>{"t0 waits for t1", "t1 waits for t0", "held then by t0: pt_lock"});
}

TEST_CASE("oracle: no-progress") {
  OracleOptions options;
  options.most_retries = 3;
  History h(options);
  h.by(2).bus.emit(DeviceFaultBegin{"gru0", "app", 1, 9, {5}, true});
  for (int i = 0; i < 3; ++i) h.bus.emit(DeviceFaultRetry{"gru0", "app", 1, 9, {5}, "range_active"});
  CHECK(h.broken() == "");
  SUBCASE("ends: legal, and the next fault counts anew") {
    h.bus.emit(DeviceFaultEnd{"gru0", "app", 1, 9, {5}, Errno::efault});
    h.bus.emit(DeviceFaultBegin{"gru0", "app", 1, 10, {5}, true});
    for (int i = 0; i < 3; ++i) h.bus.emit(DeviceFaultRetry{"gru0", "app", 1, 10, {5}, "range_active"});
    h.bus.emit(DeviceFaultEnd{"gru0", "app", 1, 10, {5}, Errno::ok});
    h.over();
    CHECK(h.broken() == "");
  }
  SUBCASE("one retry too many, told once") {
    for (int i = 0; i < 5; ++i) h.bus.emit(DeviceFaultRetry{"gru0", "app", 1, 9, {5}, "range_active"});
    h.over();
    CHECK(h.broken() == "no-progress");
    CHECK(h.oracle.count("no-progress") == 1);
  }
  SUBCASE("open at the end") {
    h.over();
    CHECK(h.broken() == "no-progress");
  }
  SUBCASE("open at the end of a run that was cut short: says nothing") {
    h.over(false);
    CHECK(h.broken() == "");
  }
}

TEST_CASE("oracle: double-unlink") {
  Mapped h;
  const std::uint64_t first = h.serials["gru0"];
  h.bus.emit(Unlinked{"app", 1, "gru0", first, true});
  SUBCASE("the same entry again") {
    h.bus.emit(Unlinked{"app", 1, "gru0", first, false});
    CHECK(h.broken() == "double-unlink");
  }
  SUBCASE("a new registration of the same device: legal") {
    h.enroll("gru0");
    h.bus.emit(Unlinked{"app", 1, "gru0", h.serials["gru0"], true});
    CHECK(h.broken() == "");
  }
}

TEST_CASE("oracle: kernel-warning: each thing that the notifier's own checks see, told once") {
  Mapped h;
  h.bus.emit(NotifierWarning{"app", 1, "gru0", "registered twice"});
  h.bus.emit(NotifierWarning{"app", 1, "gru0", "registered twice"});
  CHECK(h.broken() == "kernel-warning");
  CHECK(h.oracle.violations()[0].summary == "gru0 on app: registered twice");
  h.bus.emit(NotifierWarning{"app", 1, "", "an interval was inserted"});
  CHECK(h.broken() == "kernel-warning kernel-warning");
}

TEST_CASE("oracle: reference-count: the subscriptions of a freed mm are used") {
  Mapped h;
  h.bus.emit(FreedMmUsed{"app", 1, "was asked for its sequence"});
  CHECK(h.broken() == "reference-count");
}

TEST_CASE("oracle: reference-count") {
  History h;
  h.bus.emit(MmCreated{"app", 1});
  h.bus.emit(MmFreed{"app", 1, 0});
  CHECK(h.broken() == "");
  h.bus.emit(MmFreed{"app", 1, 1});
  h.bus.emit(RefcountUnderflow{"mm_count(app)"});
  h.bus.emit(RefcountRevived{"mm_users(app)"});
  CHECK(h.broken() == "reference-count reference-count reference-count");
}

TEST_CASE("oracle: reference-count, an mm that is freed too early or never") {
  Mapped h;
  SUBCASE("ended, and freed when the subscriber left: legal") {
    h.bus.emit(MmReleaseEnd{"app", 1});
    h.bus.emit(UnregisterEnd{"app", 1, "gru0", h.serials["gru0"]});
    h.bus.emit(MmFreed{"app", 1, 0});
    h.over();
    CHECK(h.broken() == "");
  }
  SUBCASE("ended, and a subscriber still holds it: legal") {
    h.drop(*h.entry);
    h.bus.emit(MmReleaseEnd{"app", 1});
    h.over();
    CHECK(h.broken() == "");
  }
  SUBCASE("freed while it is subscribed to") {
    h.drop(*h.entry);
    h.bus.emit(MmReleaseEnd{"app", 1});
    h.bus.emit(MmFreed{"app", 1, 0});
    CHECK(h.broken() == "reference-count");
  }
  SUBCASE("nobody is left, and it is never freed") {
    h.drop(*h.entry);
    h.bus.emit(MmReleaseEnd{"app", 1});
    h.bus.emit(UnregisterEnd{"app", 1, "gru0", h.serials["gru0"]});
    SUBCASE("a run that was cut short says nothing") {
      h.over(false);
      CHECK(h.broken() == "");
    }
    SUBCASE("a whole one does") {
      h.over();
      CHECK(h.broken() == "reference-count");
    }
  }
}

TEST_CASE("oracle: every rule has a text, and the texts keep to their form") {
  CHECK(oracle_rules().size() == 17);
  for (const RuleInfo& rule : oracle_rules()) {
    CAPTURE(rule.name);
    CHECK(find_oracle_rule(rule.name) == &rule);
    CHECK(rule.sentence.ends_with("."));
    CHECK(rule.forbidden_by.ends_with("."));
    int lines = 1;
    std::size_t begin = 0;
    for (std::size_t at = 0; at < rule.explain.size(); ++at)
      if (rule.explain[at] == '\n') {
        CHECK(at - begin <= 104);
        begin = at + 1;
        ++lines;
      }
    CHECK(lines >= 10);
    for (const char* part :
         {"Where it comes from.", "Where it is checked.", "The typical bug.", "How to fix it.", "Legal, "})
      CHECK_MESSAGE(rule.explain.find(part) != std::string_view::npos, part);
  }
  CHECK(find_oracle_rule("no-such-rule") == nullptr);
}

TEST_CASE("oracle: a reset forgets everything, and violations are written out up to a limit") {
  OracleOptions options;
  options.most_violations = 2;
  Mapped h(options);
  for (std::uint64_t page = 20; page < 30; ++page) h.use(h.fill(page, page), false);
  CHECK(h.oracle.violations().size() == 2);
  CHECK(h.oracle.count("stale-mapping") == 10);
  h.oracle.reset();
  CHECK(h.oracle.clean());
  CHECK(h.oracle.snapshot().empty());
  CHECK(h.oracle.audit().empty());
  CHECK(h.oracle.count("stale-mapping") == 0);
}

TEST_CASE("oracle: who listens hears each violation at its event") {
  Mapped h;
  std::vector<std::string> heard;
  h.oracle.on_violation([&](const Violation& violation) { heard.push_back(violation.rule); });
  h.start(5, 6);
  h.fill(5, 0x12);
  CHECK(heard == std::vector<std::string>{"map-in-open-range"});
}

TEST_CASE("oracle: a name that stands where another stood is another name") {
  History h;
  char place[8] = "gru0";
  h.alloc(1);
  h.map(5, 1);
  h.fill(5, 1, true, std::string_view(place, 4));
  place[3] = '1';
  h.fill(5, 1, true, std::string_view(place, 4));
  const auto lines = h.oracle.snapshot();
  CHECK(lines[0].substr(0, 4) == "gru0");
  CHECK(lines[1].substr(0, 4) == "gru1");
}

// One round on a page of its own; what the oracle keeps must not grow with the rounds.
void round_on(Mapped& h, std::uint64_t page) {
  h.enter("munmap", one_page({page}));
  h.alloc(0x20);
  h.map(page, 0x20);
  Entry& entry = h.fill(page, 0x20);
  Entry& tlb = h.cpu_fill(0, page, 0x20);
  const auto id = h.start(page, page + 1, "gru0", {&entry});
  h.clear(page);
  h.drop(tlb);
  h.free(0x20);
  h.finish_range(id);
  h.leave("munmap");
  h.ranges.clear();
  h.table.clear();
  h.entries.clear();
}

TEST_CASE("oracle: memory stays flat over a long run and over many resets") {
  Mapped h;
  std::uint64_t page = 100;
  const auto rounds = [&](int count) {
    for (int i = 0; i < count; ++i) round_on(h, page++);
    return mallinfo2().uordblks;
  };
  rounds(10'000);
  const auto before = rounds(1);
  CHECK(rounds(50'000) <= before + 4096);
  CHECK(h.broken() + h.found() == "");
  CHECK(h.oracle.audit().empty());

  const auto resets = [&](int count) {
    for (int i = 0; i < count; ++i) {
      h.oracle.reset();
      for (int j = 0; j < 3; ++j) round_on(h, 5);
      Entry& late = h.fill(5, 0x20);
      h.use(late, true);
    }
    h.entries.clear();
    return mallinfo2().uordblks;
  };
  resets(100);
  const auto settled = resets(1);
  CHECK(resets(3'000) <= settled + 4096);
  CHECK(h.broken() == "use-after-free");
}

}  // namespace
}  // namespace secmmu::testing
