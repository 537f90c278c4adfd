#include "models/cpu/core.hpp"

#include <doctest/doctest.h>

#include <optional>
#include <set>

#include <fmt/format.h>

#include "models/cpu/test_hardware.hpp"
#include "models/memory/events.hpp"

using namespace secmmu;
using namespace secmmu::literals;

namespace {

constexpr std::uint64_t kReadOnly = Pte::kPresent | Pte::kUser;
constexpr std::uint64_t kRights = kReadOnly | Pte::kWritable;

Arbiter& arbiter() { return machine().arbiter(); }
PhysicalMemory& memory() { return hardware().memory(); }

// An address space without a kernel: tables and an ASID.
struct Space {
  PageTable table;
  std::uint32_t asid;
  explicit Space(std::uint32_t number) : table(memory(), hardware().port(), "test"), asid(number) {}
  Translation translation() const { return {asid, table.root()}; }
  Pfn map(Vpn page, std::uint64_t flags = kRights) {
    const Pfn pfn = memory().allocate(FrameUse::anonymous, "test");
    memory().clear(pfn);
    const bool built = table.ensure(page);  // not inside CHECK: doctest would catch the unwinding of a reset
    CHECK(built);
    table.write(page, make_pte(pfn, flags));
    return pfn;
  }
};

// An event as a line of text.
class Line final : public FieldVisitor {
 public:
  std::string line;
  void integer(std::string_view field, std::int64_t value) override { line += fmt::format(" {}={}", field, value); }
  void address(std::string_view field, VirtAddr value) override { text(field, to_text(value)); }
  void frame(std::string_view field, Pfn value) override { line += fmt::format(" {}={}", field, value.value); }
  void range(std::string_view field, PageRange value) override { text(field, to_text(value)); }
  void time(std::string_view field, Time value) override { text(field, to_text(value)); }
  void flag(std::string_view field, bool value) override { line += fmt::format(" {}={}", field, value); }
  void text(std::string_view field, std::string_view value) override { line += fmt::format(" {}={}", field, value); }
};

// The names of the events in the order in which they came, of the given kinds.
template <class... Events>
void listen_to(std::vector<std::string>& order) {
  (arbiter().bus().listen<Events>([&order](const Events&, const Stamp&) { order.emplace_back(Events::kName); }), ...);
}

std::uint64_t read(Core& core, VirtAddr address, unsigned bytes = 8) {
  std::uint64_t value = 0;
  const AccessResult result = core.read(address, bytes, value);
  CHECK(result == AccessResult::ok);
  return value;
}
void write(Core& core, VirtAddr address, std::uint64_t value, unsigned bytes = 8) {
  const AccessResult result = core.write(address, bytes, value);
  CHECK(result == AccessResult::ok);
}

}  // namespace

TEST_CASE("core: what is written is read, at every size and place in a page") {
  machine().reset();
  hardware().run({{"", 0, [] {
                     Core& core = hardware().core(0);
                     Space space(1);
                     const Pfn pfn = space.map({16});
                     core.load(space.translation());
                     const VirtAddr base = address_of(Vpn{16});
                     for (unsigned bytes = 1; bytes <= 8; ++bytes)
                       for (const std::uint64_t offset : {std::uint64_t{0}, std::uint64_t{3}, kPageSize - bytes}) {
                         const std::uint64_t value = 0x8877665544332211 + offset;
                         const std::uint64_t mask = bytes == 8 ? UINT64_MAX : (1ULL << (bytes * 8)) - 1;
                         write(core, base + offset, value, bytes);
                         CHECK(read(core, base + offset, bytes) == (value & mask));
                         CHECK(std::memcmp(memory().bytes(pfn) + offset, &value, bytes) == 0);
                       }
                     // Neighbouring bytes stay.
                     write(core, base + 64, UINT64_MAX);
                     write(core, base + 66, 0, 3);
                     CHECK(read(core, base + 64) == 0xffffff000000ffff);
                   }}});
}

TEST_CASE("core: a hit costs a hit, a miss walks once, and each is counted") {
  machine().reset();
  hardware().run({{"", 0, [] {
                     Core& core = hardware().core(0);
                     const WalkCosts& walk = core.walker.costs;
                     Space space(1);
                     space.map({16}, kRights | Pte::kAccessed);
                     core.load(space.translation());
                     const auto cost_of = [](const std::function<void()>& body) {
                       const Time before = arbiter().now();
                       body();
                       return arbiter().now() - before;
                     };
                     const VirtAddr address = address_of(Vpn{16});
                     CHECK(cost_of([&] { read(core, address); }) == walk.walk_level * 4 + core.costs.tlb_hit);
                     CHECK(cost_of([&] { read(core, address); }) == core.costs.tlb_hit);
                     // The first store finds a clean page: it walks to set Dirty.
                     CHECK(cost_of([&] { write(core, address, 1); }) ==
                           walk.walk_level * 4 + walk.walk_update + core.costs.tlb_hit);
                     CHECK(space.table.read({16}).dirty());
                     CHECK(cost_of([&] { write(core, address, 2); }) == core.costs.tlb_hit);
                     CHECK(core.counters.hits == 4);
                     CHECK(core.counters.misses == 2);
                     CHECK(core.counters.faults == 0);
                     CHECK(core.valid_entries() == 1);
                     CHECK(cost_of([&] { core.load(space.translation()); }) == 0_ns);
                     CHECK(cost_of([&] { core.load({2, space.table.root()}); }) == core.costs.load_root);
                   }}});
}

TEST_CASE("core: the fault handler runs until the access succeeds or it gives up") {
  machine().reset();
  std::vector<std::string> order;
  listen_to<PageFault, CpuTlbFill, CpuTlbDrop>(order);
  int calls = 0;
  std::optional<Space> space;
  hardware().run({{"", 0, [&] {
                     Core& core = hardware().core(0);
                     space.emplace(1);
                     core.load(space->translation());
                     core.on_fault([&](Core& faulting, VirtAddr address, bool is_write) {
                       CHECK(&faulting == &core);
                       CHECK(arbiter().current().may_sleep());
                       if (address.page() != Vpn{16}) return false;
                       if (++calls == 1) return true;  // nothing resolved: the access faults again
                       if (is_write) {
                         space->table.write({16}, make_pte(space->table.read({16}).frame(), kRights));
                       } else {
                         space->map({16}, kReadOnly);
                         core.load(space->translation());
                       }
                       return true;
                     });
                     CHECK(read(core, address_of(Vpn{16})) == 0);
                     CHECK(calls == 2);
                     write(core, address_of(Vpn{16}), 5);
                     CHECK(calls == 3);
                     CHECK(read(core, address_of(Vpn{16})) == 5);
                     std::uint64_t value = 0;
                     CHECK(core.read(address_of(Vpn{17}), 8, value) == AccessResult::fault);
                     CHECK(core.write({0xffff'8000'0000'0000}, 8, 1) == AccessResult::fault);
                     CHECK(core.counters.faults == 5);
                     core.on_fault({});
                     CHECK(core.read(address_of(Vpn{17}), 8, value) == AccessResult::fault);
                   }}});
  // The fault of the store drops the read-only translation, as a page fault does on x86.
  CHECK(order == std::vector<std::string>{"page_fault", "page_fault", "cpu_tlb_fill", "cpu_tlb_drop", "page_fault",
                                          "cpu_tlb_fill", "page_fault", "page_fault", "page_fault"});
}

TEST_CASE("core: a handler may sleep while another address space runs on the core") {
  machine().reset();
  std::optional<Space> one;
  std::optional<Space> two;
  std::uint64_t seen_one = 0;
  Core& core = hardware().core(0);
  Task* first = nullptr;
  arbiter().processors()[0]->on_switch(
      [&](Task& task) { core.load(&task == first ? one->translation() : two->translation()); });
  hardware().run({{"sleeper", 0,
                   [&] {
                     first = &arbiter().current();
                     one.emplace(1);
                     two.emplace(2);
                     CHECK(one->table.ensure({16}));
                     two->map({16});
                     core.load(one->translation());
                     core.on_fault([&](Core&, VirtAddr, bool) {
                       arbiter().sleep_until(arbiter().now() + 50_us);
                       one->map({16});
                       return true;
                     });
                     write(core, address_of(Vpn{16}), 1);
                     seen_one = read(core, address_of(Vpn{16}));
                   }},
                  {"other", 0, [&] {
                     write(core, address_of(Vpn{16}), 2);
                     CHECK(read(core, address_of(Vpn{16})) == 2);
                   }}});
  arbiter().processors()[0]->on_switch({});
  CHECK(seen_one == 1);
  CHECK(memory().bytes(one->table.read({16}).frame())[0] == 1);
  CHECK(memory().bytes(two->table.read({16}).frame())[0] == 2);
}

TEST_CASE("core: address spaces do not mix, and a flush of one leaves the other") {
  machine().reset();
  hardware().run({{"", 0, [] {
                     Core& core = hardware().core(0);
                     Space one(1);
                     Space two(2);
                     for (std::uint64_t page = 16; page < 20; ++page) {
                       one.map({page});
                       two.map({page});
                     }
                     for (std::uint64_t page = 16; page < 20; ++page) {
                       core.load(one.translation());
                       write(core, address_of(Vpn{page}), 100 + page);
                       core.load(two.translation());
                       write(core, address_of(Vpn{page}), 200 + page);
                     }
                     CHECK(core.valid_entries() == 8);
                     const std::uint64_t misses = core.counters.misses;
                     for (std::uint64_t page = 16; page < 20; ++page) {
                       core.load(one.translation());
                       CHECK(read(core, address_of(Vpn{page})) == 100 + page);
                       core.load(two.translation());
                       CHECK(read(core, address_of(Vpn{page})) == 200 + page);
                     }
                     CHECK(core.counters.misses == misses);
                     const Time before = arbiter().now();
                     core.flush(1, {{17}, {19}});
                     CHECK(arbiter().now() == before + core.costs.tlb_flush_page * 2);
                     CHECK(core.valid_entries() == 6);
                     core.flush(2, kWholeSpace);
                     CHECK(arbiter().now() == before + core.costs.tlb_flush_page * 2 + core.costs.tlb_flush_all);
                     CHECK(core.valid_entries() == 2);
                     core.load(one.translation());
                     CHECK(read(core, address_of(Vpn{16})) == 116);
                     CHECK(core.counters.misses == misses);
                   }}});
}

TEST_CASE("core: an entry that was filled is dropped exactly once, by flush, eviction or replacement") {
  machine().reset();
  std::set<const Ghost*> live;
  bool clean = true;
  std::uint64_t drops = 0;
  arbiter().bus().listen<CpuTlbFill>([&](const CpuTlbFill& event, const Stamp&) {
    CHECK(live.insert(event.ghost).second);
    clean &= event.ghost->word == 0;
    event.ghost->word = Ghost::kWatched;
  });
  arbiter().bus().listen<CpuTlbDrop>([&](const CpuTlbDrop& event, const Stamp&) {
    ++drops;
    CHECK(live.erase(event.ghost) == 1);
    clean &= event.ghost->word == Ghost::kWatched;  // told before it is cleared
  });
  hardware().run({{"", 0, [&] {
                     Core& core = hardware().core(0);
                     Space space(1);
                     for (std::uint64_t page = 0; page < 100; ++page) space.map({page});
                     core.load(space.translation());
                     RandomStream random(3, "pages");
                     for (int i = 0; i < 2'000; ++i) {
                       const VirtAddr address = address_of(Vpn{random.below(100)});
                       if (random.below(3) == 0)
                         write(core, address, 1);
                       else
                         read(core, address);
                       if (random.below(50) == 0) core.flush(1, one_page(address.page()));
                     }
                     CHECK(core.valid_entries() == live.size());
                     CHECK(drops > 500);
                     core.flush(1, kWholeSpace);
                     CHECK(live.empty());
                   }}});
  CHECK(clean);
}

TEST_CASE("core: accesses through a marked translation are events, others are not") {
  machine().reset();
  const Ghost* ghost = nullptr;
  std::vector<std::string> seen;
  arbiter().bus().listen<CpuTlbFill>([&](const CpuTlbFill& event, const Stamp&) { ghost = event.ghost; });
  arbiter().bus().listen<CpuMarkedAccess>([&](const CpuMarkedAccess& event, const Stamp&) {
    CHECK(event.ghost == ghost);
    Line line;
    event.describe<FieldVisitor>(line);
    seen.push_back(line.line);
  });
  hardware().run({{"", 0, [&] {
                     Core& core = hardware().core(0);
                     Space space(9);
                     space.map({1});
                     core.load(space.translation());
                     write(core, {0x1008}, 7);
                     CHECK(seen.empty());
                     ghost->word = Ghost::kIllegal;
                     write(core, {0x1008}, 8);
                     read(core, {0x1008});
                     ghost->word = 0;
                     read(core, {0x1008});
                   }}});
  CHECK(seen == std::vector<std::string>{" core=0 asid=9 address=0x1008 pfn=0 write=true value=8",
                                         " core=0 asid=9 address=0x1008 pfn=0 write=false value=8"});
}

TEST_CASE("core: a translation that should be gone reaches the frame's next owner until it is flushed") {
  machine().reset();
  hardware().run({{"", 0, [] {
                     Core& core = hardware().core(0);
                     Space space(1);
                     const Pfn pfn = space.map({16});
                     core.load(space.translation());
                     write(core, address_of(Vpn{16}), 1);
                     space.table.write({16}, {});
                     memory().put(pfn);
                     CHECK(read(core, address_of(Vpn{16})) == 0xdededededededede);
                     CHECK(memory().allocate(FrameUse::anonymous, "next") == pfn);
                     hardware().port().write64(address_of(pfn), 42);
                     CHECK(read(core, address_of(Vpn{16})) == 42);
                     core.flush(1, one_page({16}));
                     std::uint64_t value = 0;
                     CHECK(core.read(address_of(Vpn{16}), 8, value) == AccessResult::fault);
                   }}});
}

TEST_CASE("core: a page table full of noise never breaks the host") {
  machine().reset();
  hardware().run({{"", 0, [] {
                     Core& core = hardware().core(0);
                     Space space(1);
                     space.map({0});
                     core.load(space.translation());
                     const Pfn root = space.table.root();
                     RandomStream random(11, "noise");
                     std::uint64_t faults = 0;
                     std::uint64_t value = 0;
                     for (int i = 0; i < 20'000; ++i) {
                       // Any frame below may become a table of any level, or data.
                       const std::uint64_t entry = random.next() >> random.below(40);
                       hardware().port().write64(address_of(root) + random.below(8 * kPageSize) / 8 * 8, entry);
                       const VirtAddr address{(random.next() >> random.below(64)) & ~7ULL};
                       const AccessResult result =
                           random.below(2) == 0 ? core.read(address, 8, value) : core.write(address, 8, random.next());
                       faults += result == AccessResult::fault;
                       if (i % 100 == 0) core.flush(1, kWholeSpace);
                     }
                     CHECK(faults > 10'000);
                     // A present last entry that leads nowhere: the handler is not asked, it could only loop.
                     hardware().reset();
                     Space other(2);
                     other.map({0});
                     core.load(other.translation());
                     core.on_fault([](Core&, VirtAddr, bool) { return true; });
                     other.table.write({0}, make_pte({TestHardware::kFrames}, kRights));
                     CHECK(core.read({0}, 8, value) == AccessResult::fault);
                     CHECK(core.valid_entries() == 0);
                   }}});
}

TEST_CASE("core: a grant that memory takes back is used no more, and the access still works") {
  machine().reset();
  hardware().run({{"", 0, [] {
                     Core& core = hardware().core(0);
                     Space space(1);
                     const Pfn pfn = space.map({16});
                     core.load(space.translation());
                     write(core, address_of(Vpn{16}), 1);
                     for (unsigned i = 0; i < memory().socket.size(); ++i)
                       memory().socket[static_cast<int>(i)]->invalidate_direct_mem_ptr(0, UINT64_MAX);
                     const std::uint64_t misses = core.counters.misses;
                     const std::uint64_t transactions = core.port.transactions();
                     write(core, address_of(Vpn{16}) + 2, 0xabcd, 2);
                     CHECK(read(core, address_of(Vpn{16}), 3) == 0xcd0001);
                     CHECK(core.counters.misses == misses);
                     CHECK(core.port.transactions() == transactions + 1);  // that opened the window again
                     CHECK(memory().bytes(pfn)[3] == 0xab);
                   }}});
}

TEST_CASE("core: a flush on the own core at the point of an access makes the access start again") {
  machine().reset();
  std::uint64_t value = 0;
  AccessResult result = AccessResult::ok;
  std::optional<Space> space;
  Core& core = hardware().core(0);
  const Interrupt flusher{"flusher", [&] {
                            space->table.write({16}, {});
                            core.flush(1, one_page({16}));
                          }};
  hardware().run({{"", 0, [&] {
                     space.emplace(1);
                     space->map({16});
                     core.load(space->translation());
                     read(core, address_of(Vpn{16}));
                     arbiter().processors()[0]->post(flusher, core.costs.tlb_hit);  // due at the access's own instant
                     result = core.read(address_of(Vpn{16}), 8, value);
                   }}});
  CHECK(result == AccessResult::fault);
}

TEST_CASE("core: the same program after a reset makes the same events at the same times") {
  machine().reset();
  std::vector<std::string> lines;
  arbiter().bus().listen_to_all([&](const AnyEvent& any) {
    Line line;
    any.describe(line);
    lines.push_back(fmt::format("{} {} {} {}{}", any.stamp.number, to_text(any.stamp.at), any.stamp.task, any.type.name,
                                line.line));
  });
  const auto once = [&](std::uint64_t steps) {
    lines.clear();
    std::vector<TestTask> tasks;
    for (int cpu = 0; cpu < 3; ++cpu)
      tasks.push_back({"", cpu, [cpu] {
                         Core& core = hardware().core(static_cast<unsigned>(cpu));
                         Space space(static_cast<std::uint32_t>(cpu + 1));
                         RandomStream random(5, "program" + std::to_string(cpu));
                         core.on_fault([&](Core& faulting, VirtAddr address, bool) {
                           space.map(address.page());
                           faulting.load(space.translation());
                           return true;
                         });
                         core.load(space.translation());
                         for (int i = 0; i < 300; ++i) {
                           const Vpn page{random.below(90)};
                           write(core, address_of(page) + 8, random.next());
                           if (random.below(20) == 0 && space.table.has_table(page)) {
                             const Pte entry = space.table.read(page);
                             if (!entry.present()) continue;
                             space.table.write(page, {});
                             hardware().shootdown().flush(space.asid, one_page(page), 0xf);
                             memory().put(entry.frame());
                           }
                         }
                       }});
    hardware().run(std::move(tasks), {kForever, steps});
    std::string all;
    for (const std::string& line : lines) all += line + '\n';
    return all;
  };
  const std::string expected = once(UINT64_MAX);
  CHECK(expected.size() > 100'000);
  for (std::uint64_t steps = 1; steps < 4'000; steps += 37) once(steps);  // whatever was under way is forgotten
  CHECK(once(UINT64_MAX) == expected);
}
