#include "models/cpu/shootdown.hpp"

#include <doctest/doctest.h>

#include <optional>

#include <fmt/format.h>

#include "models/cpu/test_hardware.hpp"
#include "notifier/substrate/sync/spinlock.hpp"

using namespace secmmu;
using namespace secmmu::literals;

namespace {

constexpr std::uint64_t kRights = Pte::kPresent | Pte::kUser | Pte::kWritable | Pte::kAccessed | Pte::kDirty;

Arbiter& arbiter() { return machine().arbiter(); }
Core& core(unsigned number) { return hardware().core(number); }
Shootdown& shootdown() { return hardware().shootdown(); }

// Pages 0 to 99 of address space 1, each in a frame of its own.
struct Space {
  PageTable table{hardware().memory(), hardware().port(), "test"};
  Space() {
    for (std::uint64_t page = 0; page < 100; ++page) {
      const Pfn pfn = hardware().memory().allocate(FrameUse::anonymous, "test");
      table.ensure({page});
      table.write({page}, make_pte(pfn, kRights));
    }
  }
  void run_on(Core& where) const { where.load({1, table.root()}); }
};

void touch(Core& where, Vpn page) {
  std::uint64_t value = 0;
  where.read(address_of(page), 8, value);
}

// When what happened, as text.
struct Log {
  std::string text;
  Log() {
    Bus& bus = arbiter().bus();
    bus.listen<ShootdownSent>([this](const ShootdownSent& event, const Stamp&) {
      text += fmt::format("sent {} by cpu{} to {:#x}\n", event.id, event.core, event.targets);
    });
    bus.listen<ShootdownAcked>([this](const ShootdownAcked& event, const Stamp& stamp) {
      text += fmt::format("ack {} by cpu{}\n", event.id, event.core);
      acked_at[static_cast<unsigned>(event.core)] = stamp.at;
      in_interrupt &= stamp.in_interrupt;
    });
    bus.listen<ShootdownDone>([this](const ShootdownDone& event, const Stamp& stamp) {
      text += fmt::format("done {}\n", event.id);
      done_at = stamp.at;
    });
  }
  Time acked_at[TestMachine::kCores];
  Time done_at;
  bool in_interrupt = true;
};

}  // namespace

TEST_CASE("shootdown: what was flushed is gone everywhere when it returns, and the rest is not") {
  machine().reset();
  Log log;
  std::optional<Space> space;
  hardware().run({{"reader", 1,
                   [&] {
                     arbiter().sleep_until(1_ms);
                     space->run_on(core(1));
                     for (std::uint64_t page = 10; page < 20; ++page) touch(core(1), {page});
                     arbiter().step(1_ms);  // computes, and serves interrupts
                   }},
                  {"unmapper", 0, [&] {
                     space.emplace();
                     space->run_on(core(0));
                     for (std::uint64_t page = 10; page < 20; ++page) touch(core(0), {page});
                     arbiter().sleep_until(1'500_us);
                     CHECK(core(1).valid_entries() == 10);
                     shootdown().flush(1, {{12}, {15}}, 0xb);
                     CHECK(core(0).valid_entries() == 7);
                     CHECK(core(1).valid_entries() == 7);
                     CHECK(arbiter().current().may_sleep());
                     shootdown().flush(2, {{10}, {20}}, 0xb);  // another address space
                     CHECK(core(1).valid_entries() == 7);
                     shootdown().flush(1, {{10}, {20}}, 0x2);  // not on the own core
                     CHECK(core(0).valid_entries() == 7);
                     CHECK(core(1).valid_entries() == 0);
                     const std::uint64_t received = core(1).counters.shootdowns;
                     shootdown().flush(1, {{10}, {20}}, 0x1);  // nobody to interrupt
                     CHECK(core(0).valid_entries() == 0);
                     CHECK(core(1).counters.shootdowns == received);
                   }}});
  CHECK(log.text ==
        "sent 1 by cpu0 to 0xa\nack 1 by cpu1\nack 1 by cpu3\ndone 1\n"
        "sent 2 by cpu0 to 0xa\nack 2 by cpu1\nack 2 by cpu3\ndone 2\n"
        "sent 3 by cpu0 to 0x2\nack 3 by cpu1\ndone 3\n");
  CHECK(log.in_interrupt);
}

TEST_CASE("shootdown: above the ceiling the whole address space is flushed") {
  machine().reset();
  std::optional<Space> space;
  PageRange flushed{};
  arbiter().bus().listen<ShootdownSent>([&](const ShootdownSent& event, const Stamp&) { flushed = event.pages; });
  hardware().run({{"", 0, [&] {
                     space.emplace();
                     space->run_on(core(0));
                     touch(core(0), {50});
                     touch(core(0), {10});
                     shootdown().flush(1, {{0}, {33}}, 0x3);
                     CHECK(flushed == PageRange{{0}, {33}});
                     CHECK(core(0).valid_entries() == 1);
                     shootdown().flush(1, {{0}, {34}}, 0x3);
                     CHECK(flushed == kWholeSpace);
                     CHECK(core(0).valid_entries() == 0);
                   }}});
}

TEST_CASE("shootdown: a core acknowledges at once, with interrupts off as soon as they are on again") {
  machine().reset();
  Log log;
  SpinLock lock(arbiter(), "lock", "lock");
  const SubstrateCosts& costs = arbiter().costs;
  const ShootdownCosts& own = shootdown().costs;
  Time sent;
  const Time flush = core(0).costs.tlb_flush_page;
  hardware().run({{"sender", 0,
                   [&] {
                     arbiter().step(10_us);
                     sent = arbiter().now();
                     shootdown().flush(1, one_page({5}), 0xf);
                   }},
                  {"spinner", 1,
                   [&] {
                     arbiter().step(1_us);
                     lock.lock();
                     lock.unlock();
                   }},
                  {"holder", 2, [&] {
                     lock.lock_irq();
                     arbiter().step(100_us);
                     lock.unlock_irq();
                   }}});
  const Time handling = costs.interrupt_entry + flush;
  CHECK(log.acked_at[1] == sent + own.ipi_send + own.ipi_latency + handling);
  CHECK(log.acked_at[3] == sent + own.ipi_send * 3 + own.ipi_latency + handling);
  const Time on_again = costs.lock_acquire + 100_us + costs.lock_release;
  CHECK(log.acked_at[2] == on_again + handling);
  CHECK(log.done_at == log.acked_at[2] + own.ipi_ack);
}

TEST_CASE("shootdown: everybody shoots at everybody, and all go on") {
  machine().reset();
  Log log;
  std::vector<TestTask> tasks;
  for (int cpu = 0; cpu < 4; ++cpu)
    tasks.push_back({"", cpu, [cpu] {
                       RandomStream random(1, "pause" + std::to_string(cpu));
                       for (int i = 0; i < 200; ++i) {
                         shootdown().flush(1, one_page({random.below(100)}), 0xf);
                         arbiter().step(Time{random.below(3'000'000)});
                       }
                     }});
  CHECK(hardware().run(std::move(tasks)) == RunEnd::quiet);
  CHECK(arbiter().unfinished().empty());
  for (unsigned number = 0; number < 4; ++number) {
    CHECK(core(number).counters.shootdowns == 600);
    CHECK(core(number).counters.flushes == 800);
  }
}

TEST_CASE("shootdown: waiting for a core that waits with interrupts off is a deadlock with a story") {
  machine().reset();
  SpinLock lock(arbiter(), "lock", "lock");
  bool could_sleep = true;
  arbiter().bus().listen<ShootdownSent>(
      [&](const auto&, const Stamp&) { could_sleep = arbiter().current().may_sleep(); });
  hardware().run({{"sender", 0,
                   [&] {
                     lock.lock();
                     arbiter().step(10_us);
                     shootdown().flush(1, one_page({5}), 0xf);
                     lock.unlock();
                   }},
                  {"target", 2, [&] {
                     arbiter().step(1_us);
                     lock.lock_irq();
                     lock.unlock_irq();
                   }}});
  CHECK_FALSE(could_sleep);
  CHECK(arbiter().unfinished().size() == 2);
  CHECK(arbiter().explain_waiting().find("waits for the acknowledgement of TLB shootdown 1 by cpu2, since") !=
        std::string::npos);
  CHECK(arbiter().explain_waiting().find("Cycle: ") != std::string::npos);
  // What was under way is forgotten by a reset.
  lock.reset();
  Log log;
  hardware().run({{"", 3, [&] { shootdown().flush(1, one_page({5}), 0xf); }}});
  CHECK(log.text == "sent 1 by cpu3 to 0x7\nack 1 by cpu0\nack 1 by cpu1\nack 1 by cpu2\ndone 1\n");
}

TEST_CASE("shootdown: no walk goes on in a table after its core has acknowledged") {
  machine().reset();
  // The table of a page is unlinked, flushed, freed, and its frame becomes data that looks like entries. A
  // walk that was under way on another core must not read them.
  core(0).walker.costs.walk_level = 1_us;
  unsigned faults = 0;
  unsigned good = 0;
  for (std::uint64_t delay = 0; delay < 6'000; delay += 50) {
    std::optional<Space> space;
    AccessResult result = AccessResult::fault;
    std::uint64_t value = 0;
    hardware().run({{"reader", 0,
                     [&] {
                       arbiter().sleep_until(1_ms);
                       space->run_on(core(0));
                       result = core(0).read(address_of(Vpn{5}), 8, value);
                     }},
                    {"unmapper", 1, [&] {
                       PhysicalMemory& memory = hardware().memory();
                       space.emplace();
                       const Pfn mapped = space->table.read({5}).frame();
                       hardware().port().write64(address_of(mapped), 1);
                       arbiter().sleep_until(1_ms - 1_us + Time{delay * 1'000});
                       space->table.for_each(kWholeSpace, [&](Vpn page, Pte) { space->table.write(page, {}); });
                       std::vector<Pfn> tables;
                       space->table.free_tables(kWholeSpace, {0}, kMappableEnd,
                                                [&](Pfn table) { tables.push_back(table); });
                       shootdown().flush(1, kWholeSpace, 0x3);
                       for (const Pfn table : tables) memory.put(table);
                       for (std::size_t table = 0; table < tables.size(); ++table) {
                         const Pfn data = memory.allocate(FrameUse::anonymous, "forger");
                         for (std::uint64_t i = 0; i < kTableEntries; ++i)
                           hardware().port().write64(address_of(data) + i * 8, make_pte(data, kRights).bits);
                       }
                       for (const Pfn table : tables) CHECK(memory.frame(table).use == FrameUse::anonymous);
                     }}});
    if (result == AccessResult::fault)
      ++faults;
    else
      ++good;
    if (result == AccessResult::ok) CHECK(value == 1);
  }
  CHECK(faults > 10);
  CHECK(good > 10);
  core(0).walker.costs = {};
}
