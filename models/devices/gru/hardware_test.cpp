// The GRU's hardware alone: its TLB, its purges, and the rule that a purge defeats a drop-in.
#include "models/devices/gru/hardware.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include <fmt/format.h>

#include "models/cpu/test_hardware.hpp"
#include "models/devices/events.hpp"

using namespace secmmu;

namespace {

constexpr std::uint32_t kAsid = 3;
constexpr std::uint32_t kOther = 4;
constexpr Vpn kBase{0x7f000};

GruConfig small() {
  GruConfig config;
  config.contexts = 2;
  config.tlb_entries = 8;
  config.tlb_ways = 2;
  config.purge_limit = 4;
  return config;
}
const GruConfig config = small();
GruHardware* gru = nullptr;  // never destroyed: SystemC is gone before static objects are
const bool built = at_elaboration([] {
  gru = new GruHardware("lone_gru", machine().arbiter(), config);
  gru->port.socket.bind(hardware().memory().socket);
});

// One task that is software and engine at once, with what the hardware said.
class Bench {
 public:
  Bench() {
    machine().reset();
    gru->purge_defeats_drop_in = true;
    gru->full_purge_at_limit = true;
    Bus& bus = machine().arbiter().bus();
    bus.listen<DeviceFill>([this](const DeviceFill& e, const Stamp&) {
      say(fmt::format("fill {} {}", page(e.page), e.writable ? "rw" : "ro"));
      last_ghost = e.ghost;
    });
    bus.listen<DeviceDrop>([this](const DeviceDrop& e, const Stamp&) {
      if (e.device == gru->label()) say(fmt::format("drop {} {}", page(e.page), e.why));
    });
    bus.listen<DevicePurgeBegin>(
        [this](const DevicePurgeBegin& e, const Stamp&) { say(fmt::format("purge {}", e.id)); });
    bus.listen<DevicePurgeEnd>([this](const DevicePurgeEnd& e, const Stamp&) { say(fmt::format("done {}", e.id)); });
    bus.listen<DeviceMarkedAccess>([this](const DeviceMarkedAccess& e, const Stamp&) {
      say(fmt::format("{} {}+{} {:#x} of {}", e.write ? "write" : "read", page(e.address.page()), e.address.offset(),
                      e.value, e.mm));
    });
  }
  ~Bench() { machine().reset(); }

  void run(const std::function<void()>& body) {
    bool ended = false;
    machine().run({{"software", 0,
                    [&] {
                      body();
                      ended = true;
                    }}},
                  [] {
                    hardware().reset();
                    gru->reset();
                    gru->own(kAsid, {"app", 1});
                    gru->own(kOther, {"other", 2});
                  });
    CHECK(ended);
  }

  // A frame that holds its own number in its first bytes.
  Pfn frame(std::uint64_t value) {
    const Pfn pfn = hardware().memory().allocate(FrameUse::anonymous, "test");
    __builtin_memcpy(hardware().memory().bytes(pfn), &value, sizeof value);
    return pfn;
  }
  GruHardware::FaultHandle& miss(std::uint64_t page, std::uint32_t asid = kAsid) {
    GruHardware::FaultHandle& fault = gru->context(0).fault;
    fault = {};
    fault.state = GruHardware::Fault::interrupt;
    fault.page = kBase + page;
    fault.asid = asid;
    fault.read = true;
    return fault;
  }
  void fill(std::uint64_t page, Pfn pfn, std::uint32_t asid = kAsid, bool writable = true) {
    miss(page, asid);
    gru->drop_in(gru->context(0), pfn, writable);
  }
  // What a read finds: the value, or -1 for a miss.
  std::int64_t look(std::uint64_t page, std::uint32_t asid = kAsid) {
    GruHardware::Context& context = gru->context(1);
    context.asid = asid;
    std::uint64_t value = 0;
    return gru->access(context, address_of(kBase + page), 8, false, value) ? static_cast<std::int64_t>(value) : -1;
  }
  std::string said() {
    std::string text;
    text.swap(said_);
    return text;
  }
  static PageRange pages(std::uint64_t first, std::uint64_t end) { return {kBase + first, kBase + end}; }
  const Ghost* last_ghost = nullptr;

 private:
  static std::int64_t page(Vpn vpn) { return static_cast<std::int64_t>(vpn.value - kBase.value); }
  void say(const std::string& text) { said_ += (said_.empty() ? "" : ", ") + text; }
  std::string said_;
};

}  // namespace

TEST_CASE("gru hardware: a set holds as many translations as it has ways, and the least recently used one goes") {
  Bench bench;
  bench.run([&] {
    // Four sets: pages 0, 4 and 8 share one.
    bench.fill(0, bench.frame(10));
    bench.fill(4, bench.frame(14));
    bench.fill(1, bench.frame(11));
    CHECK(bench.said() == "fill 0 rw, fill 4 rw, fill 1 rw");
    CHECK(bench.look(0) == 10);  // now page 4 is the older one
    bench.fill(8, bench.frame(18));
    CHECK(bench.said() == "drop 4 evict, fill 8 rw");
    CHECK(bench.look(0) == 10);
    CHECK(bench.look(4) == -1);
    CHECK(bench.look(8) == 18);
    CHECK(bench.look(1) == 11);
    CHECK(gru->valid_entries() == 3);
    CHECK(gru->hits == 4);
    CHECK(gru->drop_ins == 4);
  });
}

TEST_CASE("gru hardware: translations of two address spaces do not meet") {
  Bench bench;
  bench.run([&] {
    bench.fill(0, bench.frame(10), kAsid);
    CHECK(bench.look(0, kOther) == -1);
    bench.fill(0, bench.frame(20), kOther);
    CHECK(bench.look(0, kAsid) == 10);
    CHECK(bench.look(0, kOther) == 20);
    gru->purge(kAsid, bench.pages(0, 1));
    CHECK(bench.look(0, kAsid) == -1);
    CHECK(bench.look(0, kOther) == 20);
  });
}

TEST_CASE("gru hardware: a drop-in for a page that is there replaces its translation") {
  Bench bench;
  bench.run([&] {
    bench.fill(2, bench.frame(1), kAsid, false);
    bench.fill(2, bench.frame(2), kAsid, true);
    CHECK(bench.said() == "fill 2 ro, drop 2 replace, fill 2 rw");
    CHECK(bench.look(2) == 2);
    CHECK(gru->valid_entries() == 1);
  });
}

TEST_CASE("gru hardware: a write misses a translation without the right, a read does not") {
  Bench bench;
  bench.run([&] {
    const Pfn pfn = bench.frame(5);
    bench.fill(0, pfn, kAsid, false);
    GruHardware::Context& context = gru->context(0);
    context.asid = kAsid;
    std::uint64_t value = 99;
    CHECK_FALSE(gru->access(context, address_of(kBase), 8, true, value));
    CHECK(bench.look(0) == 5);
    bench.fill(0, pfn, kAsid, true);
    CHECK(gru->access(context, address_of(kBase) + 4, 2, true, value));
    CHECK(bench.look(0) == (5 | 99LL << 32));
    value = UINT64_MAX;
    CHECK(gru->access(context, address_of(kBase) + 4, 1, false, value));
    CHECK(value == 99);  // the bytes that were not read are zero
  });
}

TEST_CASE("gru hardware: a purge drops the pages of its range and acknowledges") {
  Bench bench;
  bench.run([&] {
    for (std::uint64_t page = 0; page < 4; ++page) bench.fill(page, bench.frame(10 + page));
    bench.said();
    const Time before = machine().arbiter().now();
    gru->purge(kAsid, bench.pages(1, 3));
    CHECK(machine().arbiter().now() == before + config.purge);
    CHECK(bench.said() == "purge 1, drop 1 purge, drop 2 purge, done 1");
    CHECK(bench.look(0) == 10);
    CHECK(bench.look(1) == -1);
    CHECK(bench.look(2) == -1);
    CHECK(bench.look(3) == 13);
  });
}

TEST_CASE("gru hardware: a purge at the limit drops everything of the address space") {
  Bench bench;
  bench.run([&] {
    for (const bool rule : {true, false}) {
      gru->reset();
      gru->full_purge_at_limit = rule;
      bench.fill(0, bench.frame(10));
      bench.fill(100, bench.frame(11));
      bench.fill(101, bench.frame(12), kOther);
      gru->purge(kAsid, bench.pages(1, 4));  // one page less than the limit
      CHECK(bench.look(0) == 10);
      CHECK(bench.look(100) == 11);
      gru->purge(kAsid, bench.pages(0, 4));
      CHECK(bench.look(0) == -1);
      CHECK(bench.look(100) == (rule ? -1 : 11));
      CHECK(bench.look(101, kOther) == 12);
    }
  });
}

TEST_CASE("gru hardware: a purge after the reading of the fault handle turns the drop-in into a no-op") {
  Bench bench;
  struct Row {
    const char* label;
    std::uint32_t asid;
    std::uint64_t first;
    std::uint64_t end;
    bool defeats;
  };
  bench.run([&] {
    for (const Row& row : {Row{"its page", kAsid, 5, 6, true}, Row{"a range around it", kAsid, 4, 7, true},
                           Row{"at the limit, elsewhere", kAsid, 100, 104, true},
                           Row{"another page", kAsid, 6, 7, false}, Row{"another address space", kOther, 5, 6, false}})
      for (const bool rule : {true, false}) {
        INFO(row.label << ", rule " << rule);
        gru->reset();
        gru->purge_defeats_drop_in = rule;
        const Pfn pfn = bench.frame(15);
        bench.miss(5);
        gru->purge(row.asid, bench.pages(row.first, row.end));
        gru->drop_in(gru->context(0), pfn, true);
        const bool fills = !(row.defeats && rule);
        CHECK(bench.look(5) == (fills ? 15 : -1));
        CHECK(gru->drop_ins_defeated == (fills ? 0 : 1));
        // The instruction is restarted in any case.
        CHECK(gru->context(0).fault.state == GruHardware::Fault::idle);
        CHECK_FALSE(gru->context(0).fault.read);
      }
  });
}

TEST_CASE("gru hardware: a purge before the fault handle is read does not defeat the drop-in") {
  Bench bench;
  bench.run([&] {
    GruHardware::FaultHandle& fault = bench.miss(5);
    gru->purge(kAsid, bench.pages(5, 6));
    fault.read = true;  // as the driver does when it reads the handle
    fault.purged = false;
    gru->drop_in(gru->context(0), bench.frame(15), true);
    CHECK(bench.look(5) == 15);
  });
}

TEST_CASE("gru hardware: the purge of everything takes every address space and defeats every drop-in") {
  Bench bench;
  bench.run([&] {
    bench.fill(0, bench.frame(10));
    bench.fill(1, bench.frame(11), kOther);
    bench.miss(5);
    gru->purge_everything();
    gru->drop_in(gru->context(0), bench.frame(15), true);
    CHECK(gru->valid_entries() == 0);
    CHECK(gru->drop_ins_defeated == 1);
  });
}

TEST_CASE("gru hardware: a retired ASID's translations are gone at once and without cost") {
  Bench bench;
  bench.run([&] {
    bench.fill(0, bench.frame(10));
    bench.fill(1, bench.frame(11), kOther);
    bench.said();
    const Time before = machine().arbiter().now();
    gru->retire(kAsid);
    CHECK(machine().arbiter().now() == before);
    CHECK(bench.said() == "drop 0 retire");
    CHECK(bench.look(0) == -1);
    CHECK(bench.look(1, kOther) == 11);
    CHECK(gru->purges == 0);
  });
}

TEST_CASE("gru hardware: an access through a marked translation is an event with its value") {
  Bench bench;
  bench.run([&] {
    bench.fill(0, bench.frame(0x1234));
    bench.said();
    CHECK(bench.look(0) == 0x1234);
    CHECK(bench.said() == "");
    bench.last_ghost->word |= Ghost::kWatched;
    CHECK(bench.look(0) == 0x1234);
    CHECK(bench.said() == "read 0+0 0x1234 of app");
    GruHardware::Context& context = gru->context(0);
    context.asid = kAsid;
    std::uint64_t value = 0x77;
    CHECK(gru->access(context, address_of(kBase) + 16, 8, true, value));
    CHECK(bench.said() == "write 0+16 0x77 of app");
    bench.last_ghost->word = 0;
    CHECK(bench.look(0) == 0x1234);
    CHECK(bench.said() == "");
  });
}

TEST_CASE("gru hardware: the mark does not outlive its translation") {
  Bench bench;
  bench.run([&] {
    bench.fill(0, bench.frame(1));
    bench.last_ghost->word |= Ghost::kIllegal;
    gru->purge(kAsid, bench.pages(0, 1));
    bench.fill(0, bench.frame(2));
    bench.said();
    CHECK(bench.look(0) == 2);
    CHECK(bench.said() == "");
  });
}

TEST_CASE("gru hardware: a translation reaches the frame itself, and forgets it when it goes") {
  Bench bench;
  bench.run([&] {
    const Pfn first = bench.frame(1);
    bench.fill(0, first);
    std::uint64_t value = 2;
    __builtin_memcpy(hardware().memory().bytes(first), &value, sizeof value);
    CHECK(bench.look(0) == 2);
    // The same entry with another frame: nothing of the first grant is left.
    gru->purge(kAsid, bench.pages(0, 1));
    bench.fill(0, bench.frame(30));
    CHECK(bench.look(0) == 30);
    value = 31;
    GruHardware::Context& context = gru->context(0);
    context.asid = kAsid;
    CHECK(gru->access(context, address_of(kBase), 8, true, value));
    __builtin_memcpy(&value, hardware().memory().bytes(first), sizeof value);
    CHECK(value == 2);
  });
}

TEST_CASE("gru hardware: when memory takes its grants back no translation keeps a pointer") {
  Bench bench;
  bench.run([&] {
    bench.fill(0, bench.frame(1));
    bench.said();
    for (int i = 0; i < static_cast<int>(hardware().memory().socket.size()); ++i)
      hardware().memory().socket[i]->invalidate_direct_mem_ptr(0, UINT64_MAX);
    CHECK(bench.said() == "drop 0 revoked");
    CHECK(bench.look(0) == -1);
    CHECK(gru->valid_entries() == 0);
  });
}

TEST_CASE("gru hardware: a frame that memory does not have gets no translation") {
  Bench bench;
  bench.run([&] {
    bench.fill(0, Pfn{TestHardware::kFrames});
    CHECK(bench.said() == "");
    CHECK(gru->valid_entries() == 0);
    CHECK(gru->context(0).fault.state == GruHardware::Fault::idle);
  });
}

TEST_CASE("gru hardware: after a reset it is as after power-on") {
  Bench bench;
  bench.run([&] {
    bench.fill(0, bench.frame(1));
    gru->purge(kOther, bench.pages(0, 1));
    bench.look(0);
    bench.miss(3);
    gru->reset();
    CHECK(gru->valid_entries() == 0);
    CHECK(gru->hits + gru->drop_ins + gru->drop_ins_defeated + gru->purges == 0);
    CHECK(gru->context(0).fault.state == GruHardware::Fault::idle);
    CHECK(gru->owner_of(kAsid).mm.empty());
    CHECK(bench.look(0) == -1);
  });
}
