// lost-dirty and lost-young: histories that break them, and histories that look alike and are legal.
#include <doctest/doctest.h>

#include "models/mm/page_events.hpp"
#include "sim/oracle/history.hpp"

namespace secmmu::testing {
namespace {

constexpr PageRange kPage{{5}, {6}};

// A page of app with a frame, a subscriber, and a translation of the page in it.
struct Mapped : History {
  Mapped() {
    bus.emit(MmCreated{"app", 1});
    enroll("gru0");
    alloc(0x12);
    map(5, 0x12);
    entry = &fill(5, 0x12);
  }
  void saved(std::string_view why) { bus.emit(PageSaved{{0x12}, why}); }
  // Reclaim takes the page, the device drops its entry.
  void reclaim() {
    const auto id = start(5, 6, "gru0", {entry});
    clear(5);
    finish_range(id);
    bus.emit(PageGivenUp{{0x12}, "reclaim"});
    free(0x12);
  }
  void ask(bool young, Callback question = Callback::clear_flush_young) {
    begin("gru0", question, kPage);
    bus.emit(CallbackEnd{"app", 1, "gru0", serials["gru0"], question, kPage, 0, Errno::ok, young});
  }
  Entry* entry;
};

TEST_CASE("oracle: lost-dirty: a device writes to a clean page, and reclaim lets go of it") {
  Mapped h;
  h.saved("free");
  h.by(2).use(*h.entry, true);
  h.by(0);
  h.reclaim();
  REQUIRE(h.broken() == "lost-dirty");
  const Violation& v = h.oracle.violations()[0];
  CHECK(v.device == "gru0");
  CHECK(v.mm == "app");
  CHECK(v.pages == kPage);
  CHECK(v.summary ==
        "what gru0 wrote to 0x5000 of app is lost: the kernel took frame 0x12 for clean and let go of it (reclaim)");
  std::string story;
  for (const std::string& line : v.story) story += line + "\n";
  INFO(story);
  std::size_t at = 0;
  for (const char* part : {"was put into app's list", "frame 0x12 was clean from here on (free)", "gru0.ctx0",
                           "gru0 wrote 0x2a at 0x5000", "let go of frame 0x12 (reclaim)"}) {
    CAPTURE(part);
    at = story.find(part, at);
    CHECK(at != std::string::npos);
  }
}

TEST_CASE("oracle: lost-dirty: an entry that comes after the page was saved is noticed, too") {
  Mapped h;
  h.drop(*h.entry);
  h.saved("swap");
  h.entry = &h.fill(5, 0x12);
  h.use(*h.entry, true);
  h.reclaim();
  CHECK(h.broken() == "lost-dirty");
}

TEST_CASE("oracle: lost-dirty: what is saved, read, or thrown away on purpose is no loss") {
  Mapped h;
  SUBCASE("written before the page was saved") {
    h.use(*h.entry, true);
    h.saved("swap");
    h.reclaim();
  }
  SUBCASE("saved again") {
    h.saved("swap");
    h.use(*h.entry, true);
    h.saved("swap");
    h.reclaim();
  }
  SUBCASE("only read") {
    h.saved("free");
    h.use(*h.entry, false);
    h.reclaim();
  }
  SUBCASE("unmapped by the process") {
    h.saved("free");
    h.use(*h.entry, true);
    const auto id = h.start(5, 6, "gru0", {h.entry});
    h.clear(5);
    h.free(0x12);
    h.finish_range(id);
  }
  SUBCASE("another page in the same frame") {
    h.saved("free");
    h.use(*h.entry, true);
    const auto id = h.start(5, 6, "gru0", {h.entry});
    h.clear(5);
    h.free(0x12);
    h.finish_range(id);
    h.alloc(0x12);
    h.map(5, 0x12);
    h.entry = &h.fill(5, 0x12);
    h.reclaim();
  }
  h.over();
  CHECK(h.broken() == "");
}

TEST_CASE("oracle: lost-young: a device that used a page between two questions says no to the second") {
  for (const Callback first : {Callback::clear_flush_young, Callback::clear_young}) {
    Mapped h;
    h.ask(true, first);
    h.by(2).use(*h.entry, false);
    h.by(0);
    h.ask(false);
    REQUIRE(h.broken() == "lost-young");
    CHECK(h.oracle.violations()[0].summary.find(
              "gru0 answered clear_flush_young that 0x5000 of app was not used; it had been, at") == 0);
    CHECK(h.oracle.violations()[0].device == "gru0");
  }
}

TEST_CASE("oracle: lost-young: unused pages, first questions, and what is gone by then may be old") {
  Mapped h;
  SUBCASE("nobody used it") {
    h.ask(true);
    h.ask(false);
  }
  SUBCASE("the first question") {
    h.use(*h.entry, false);
    h.ask(false);
  }
  SUBCASE("used, and said so") {
    h.ask(false);
    h.use(*h.entry, false);
    h.ask(true);
    h.ask(false);
  }
  SUBCASE("the translation was dropped") {
    h.ask(false);
    h.use(*h.entry, false);
    h.drop(*h.entry);
    h.ask(false);
  }
  SUBCASE("used while it is asked") {
    h.ask(false);
    h.begin("gru0", Callback::clear_flush_young, kPage);
    h.use(*h.entry, false);
    h.end("gru0", Callback::clear_flush_young, kPage);
    h.ask(false);
  }
  SUBCASE("used through a copy of the entry, in a TLB") {
    Entry& copy = h.fill(5, 0x12);
    h.ask(true, Callback::clear_young);
    h.use(copy, false);
    h.ask(false);
  }
  h.over();
  CHECK(h.broken() == "");
}

}  // namespace
}  // namespace secmmu::testing
