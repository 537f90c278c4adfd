// The hardware of virtual CPUs alone: TLBs, walks, flushes, and what is told of both places where translations live.
#include "models/devices/kvm/hardware.hpp"

#include <doctest/doctest.h>

#include <functional>
#include <memory>
#include <string>

#include <fmt/format.h>

#include "models/cpu/test_hardware.hpp"
#include "models/devices/events.hpp"

using namespace secmmu;

namespace {

constexpr Vpn kGuest{0x100};
constexpr Vpn kHost{0x7f000};

KvmConfig small() {
  KvmConfig config;
  config.contexts = 2;
  config.tlb_entries = 8;
  config.tlb_ways = 2;
  config.walk_level = Time{1'000'000};
  return config;
}
const KvmConfig config = small();
KvmHardware* kvm = nullptr;  // never destroyed: SystemC is gone before static objects are
const bool built = at_elaboration([] {
  kvm = new KvmHardware("lone_kvm", machine().arbiter(), config);
  kvm->port.socket.bind(hardware().memory().socket);
});

// One task that is driver and guest at once, with what was told.
class Bench {
 public:
  Bench() {
    machine().reset();
    Bus& bus = machine().arbiter().bus();
    bus.listen<DeviceFill>([this](const DeviceFill& e, const Stamp&) {
      say(fmt::format("fill {} {}", e.page - kHost, e.writable ? "rw" : "ro"));
      last_ghost = e.ghost;
    });
    bus.listen<DeviceDrop>(
        [this](const DeviceDrop& e, const Stamp&) { say(fmt::format("drop {} {}", e.page - kHost, e.why)); });
    bus.listen<DeviceMarkedAccess>([this](const DeviceMarkedAccess& e, const Stamp&) {
      say(fmt::format("{} {}+{} {}", e.write ? "write" : "read", e.address.page() - kHost, e.address.offset(),
                      e.value));
    });
  }
  ~Bench() {
    table.reset();
    machine().reset();
  }
  void run(
      const std::function<void()>& body, const std::function<void()>& beside = [] {}) {
    bool ended = false;
    machine().run({{"software", 0,
                    [&] {
                      body();
                      ended = true;
                    }},
                   {"guest", 1, beside}},
                  [this] {
                    hardware().reset();
                    kvm->reset();
                    table = std::make_unique<ShadowTable>(machine().arbiter(), hardware().memory(), hardware().port(),
                                                          ShadowTable::Owner{"kvm", "app", 1, 77});
                  });
    CHECK(ended);
  }
  // An entry for a frame that holds `value`.
  void map(std::uint64_t page, std::uint64_t value, std::uint64_t flags) {
    const Pfn pfn = hardware().memory().allocate(FrameUse::anonymous, "test");
    __builtin_memcpy(hardware().memory().bytes(pfn), &value, sizeof value);
    const bool made = table->ensure(kGuest + page);
    CHECK(made);
    table->set(kGuest + page, kHost + page, make_pte(pfn, Pte::kPresent | Pte::kUser | flags));
  }
  // What a read finds: the value, or -1 for a miss.
  std::int64_t look(std::uint64_t page, unsigned cpu = 0) {
    std::uint64_t value = 0;
    const bool hit = kvm->access(cpu, *table, address_of(kGuest + page), 8, false, value);
    return hit ? static_cast<std::int64_t>(value) : -1;
  }
  bool store(std::uint64_t page, std::uint64_t value, unsigned cpu = 0) {
    return kvm->access(cpu, *table, address_of(kGuest + page), 8, true, value);
  }
  Pte entry(std::uint64_t page) { return table->read(kGuest + page); }
  std::string said() {
    std::string text;
    text.swap(said_);
    return text;
  }
  std::unique_ptr<ShadowTable> table;
  const Ghost* last_ghost = nullptr;

 private:
  void say(const std::string& text) { said_ += (said_.empty() ? "" : ", ") + text; }
  std::string said_;
};

}  // namespace

TEST_CASE("kvm hardware: each virtual CPU has a TLB of its own, refilled from the table") {
  Bench bench;
  bench.run([&] {
    std::int64_t seen = bench.look(0);
    CHECK(seen == -1);
    bench.map(0, 10, Pte::kWritable);
    CHECK(bench.said() == "fill 0 rw");
    seen = bench.look(0);
    CHECK(seen == 10);
    CHECK(bench.said() == "fill 0 rw");
    seen = bench.look(0);
    seen = bench.look(0, 1);
    CHECK(bench.said() == "fill 0 rw");  // of the other one
    CHECK(kvm->refills == 2);
    CHECK(kvm->hits == 3);
    CHECK(kvm->valid_entries() == 2);
  });
}

TEST_CASE("kvm hardware: a read sets Accessed, a write Dirty too, also behind a TLB that has the page for reading") {
  Bench bench;
  bench.run([&] {
    bench.map(0, 10, Pte::kWritable);
    CHECK_FALSE(bench.entry(0).accessed());
    bench.look(0);
    CHECK(bench.entry(0).accessed());
    CHECK_FALSE(bench.entry(0).dirty());
    const bool stored = bench.store(0, 11);
    CHECK(stored);
    CHECK(bench.entry(0).dirty());
    const std::int64_t seen = bench.look(0, 1);
    CHECK(seen == 11);
  });
}

TEST_CASE("kvm hardware: an entry for reading does not let a write through") {
  Bench bench;
  bench.run([&] {
    bench.map(0, 10, 0);
    bench.look(0);
    bool stored = bench.store(0, 11);
    CHECK_FALSE(stored);
    CHECK_FALSE(bench.entry(0).dirty());
    bench.said();
    bench.map(0, 12, Pte::kWritable);
    CHECK(bench.said() == "drop 0 replace, fill 0 rw");
    stored = bench.store(0, 13);  // the TLB still has the old one: for a write it walks
    CHECK(stored);
    CHECK(bench.said() == "drop 0 replace, fill 0 rw");
  });
}

TEST_CASE("kvm hardware: what left the table stays in the TLBs until they are flushed") {
  Bench bench;
  bench.run([&] {
    bench.map(0, 10, Pte::kWritable);
    bench.look(0);
    bench.look(0, 1);
    bench.said();
    bench.table->clear(kGuest, "zap");
    CHECK(bench.said() == "drop 0 zap");
    std::int64_t seen = bench.look(0);
    CHECK(seen == 10);
    const ShadowTable other(machine().arbiter(), hardware().memory(), hardware().port(), {"kvm", "other", 2, 78});
    kvm->flush(other);
    CHECK(bench.said() == "");
    kvm->flush(*bench.table);
    CHECK(bench.said() == "drop 0 flush, drop 0 flush");
    seen = bench.look(0);
    CHECK(seen == -1);
    CHECK(kvm->flushes == 2);
  });
}

TEST_CASE("kvm hardware: a use is told if the entry that was used is marked, in the TLB or in the table") {
  Bench bench;
  bench.run([&] {
    bench.map(0, 10, Pte::kWritable);
    const Ghost* in_table = bench.last_ghost;
    bench.look(0);
    const Ghost* in_tlb = bench.last_ghost;
    CHECK(in_table != in_tlb);
    bench.said();
    in_table->word = Ghost::kWatched;
    bench.look(0);
    CHECK(bench.said() == "");  // through the TLB
    in_tlb->word = Ghost::kWatched;
    bench.store(0, 12);  // the first write walks: through the table
    CHECK(bench.said() == "drop 0 replace, fill 0 rw, write 0+0 12");
    bench.last_ghost->word = Ghost::kWatched;
    bench.look(0);
    CHECK(bench.said() == "read 0+0 12");
  });
}

TEST_CASE("kvm hardware: who frees a table waits for the walks in it") {
  Bench bench;
  bool mapped = false;
  bool walked = false;
  bench.run(
      [&] {
        bench.map(0, 10, Pte::kWritable);
        mapped = true;
        machine().arbiter().step(Time{2'500'000});  // the walk is half-way
        CHECK_FALSE(walked);
        bench.table->clear(kGuest, "zap");
        kvm->wait_for_walks(*bench.table);
        CHECK(walked);
        bench.table->free_all();
      },
      [&] {
        while (!mapped) machine().arbiter().step(Time{1'000});
        const std::int64_t seen = bench.look(0);
        CHECK(seen == -1);
        walked = true;
      });
}
