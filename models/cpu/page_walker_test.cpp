#include "models/cpu/page_walker.hpp"

#include <doctest/doctest.h>

#include <memory>

#include "models/cpu/test_hardware.hpp"

using namespace secmmu;
using namespace secmmu::literals;

namespace {

constexpr Vpn kPage{0x1'2345'6789 & (kMappableEnd.value - 1)};
constexpr Pfn kFrame{200};
constexpr std::uint64_t kRights = Pte::kPresent | Pte::kUser | Pte::kWritable;

PageWalker& walker() { return hardware().core(0).walker; }
MemoryPort& port() { return hardware().port(); }

// One mapped page, and where its entry of each level lies.
struct Mapped {
  PageTable table{hardware().memory(), port(), "test"};
  PhysAddr entries[kTableLevels];

  explicit Mapped(std::uint64_t flags = kRights) {
    CHECK(table.ensure(kPage));
    table.write(kPage, make_pte(kFrame, flags));
    Pfn at = table.root();
    for (unsigned level = kTableLevels; level-- > 0;) {
      entries[level] = entry_address(at, kPage, level);
      at = Pte{port().read64(entries[level])}.frame();
    }
  }
  void toggle(unsigned level, std::uint64_t bits) {
    port().write64(entries[level], port().read64(entries[level]) ^ bits);
  }
};

WalkResult walk(const Mapped& mapped, bool write) { return walker().walk(7, mapped.table.root(), kPage, write); }

}  // namespace

TEST_CASE("walker: a bit that flips in a frame changes the walk") {
  machine().reset();
  hardware().run({{"", 0, [] {
                     Mapped mapped;
                     WalkResult result = walk(mapped, false);
                     CHECK(result.allowed);
                     CHECK(result.entry.frame() == kFrame);
                     CHECK(result.levels == 4);
                     // The frame number in the last entry: another frame.
                     mapped.toggle(0, 1ULL << 15);
                     CHECK(walk(mapped, false).entry.frame() == Pfn{kFrame.value ^ 8});
                     mapped.toggle(0, 1ULL << 15);
                     // The present bit at each level: the walk ends there.
                     for (unsigned level = 0; level < kTableLevels; ++level) {
                       mapped.toggle(level, Pte::kPresent);
                       result = walk(mapped, false);
                       CHECK_FALSE(result.present);
                       CHECK_FALSE(result.allowed);
                       CHECK_FALSE(result.broken);
                       CHECK(result.levels == kTableLevels - level);
                       mapped.toggle(level, Pte::kPresent);
                     }
                     // A bit in the root's first level that leads to another table: that table's entry counts.
                     const Pfn other = hardware().memory().allocate(FrameUse::page_table, "other");
                     hardware().memory().clear(other);
                     port().write64(entry_address(other, kPage, 0), make_pte({99}, kRights).bits);
                     const std::uint64_t good = port().read64(mapped.entries[1]);
                     port().write64(mapped.entries[1], make_pte(other, kRights).bits);
                     CHECK(walk(mapped, false).entry.frame() == Pfn{99});
                     port().write64(mapped.entries[1], good);
                     CHECK(walk(mapped, false).entry.frame() == kFrame);
                   }}});
}

TEST_CASE("walker: every level must allow the access") {
  machine().reset();
  hardware().run({{"", 0, [] {
                     Mapped mapped;
                     for (unsigned level = 0; level < kTableLevels; ++level) {
                       mapped.toggle(level, Pte::kWritable);
                       CHECK(walk(mapped, false).allowed);
                       CHECK_FALSE(walk(mapped, false).writable);
                       CHECK_FALSE(walk(mapped, true).allowed);
                       CHECK(walk(mapped, true).present);
                       mapped.toggle(level, Pte::kWritable);
                       CHECK(walk(mapped, true).allowed);
                       CHECK(walk(mapped, true).writable);
                       mapped.toggle(level, Pte::kUser);
                       CHECK_FALSE(walk(mapped, false).allowed);
                       CHECK_FALSE(walk(mapped, true).allowed);
                       mapped.toggle(level, Pte::kUser);
                     }
                     mapped.table.write(kPage, make_pte(kFrame, Pte::kProtNone | Pte::kUser));
                     CHECK_FALSE(walk(mapped, false).present);
                   }}});
}

TEST_CASE("walker: sets Accessed, and Dirty for a store that is allowed, in memory") {
  machine().reset();
  hardware().run({{"", 0, [] {
                     Mapped mapped;
                     CHECK_FALSE(mapped.table.read(kPage).accessed());
                     const Time before = machine().arbiter().now();
                     CHECK(walk(mapped, false).entry.accessed());
                     CHECK(machine().arbiter().now() ==
                           before + walker().costs.walk_level * 4 + walker().costs.walk_update);
                     CHECK(mapped.table.read(kPage).bits == (make_pte(kFrame, kRights | Pte::kAccessed).bits));
                     const Time again = machine().arbiter().now();
                     walk(mapped, false);  // nothing to set
                     CHECK(machine().arbiter().now() == again + walker().costs.walk_level * 4);
                     CHECK(walk(mapped, true).entry.dirty());
                     CHECK(mapped.table.read(kPage).dirty());
                     mapped.table.write(kPage, make_pte(kFrame, Pte::kPresent | Pte::kUser));
                     CHECK_FALSE(walk(mapped, true).allowed);
                     CHECK(mapped.table.read(kPage).bits == make_pte(kFrame, Pte::kPresent | Pte::kUser).bits);
                   }}});
}

TEST_CASE("walker: an entry that changes before its bits are set is walked again, and the change survives") {
  machine().reset();
  WalkResult result;
  Pte after;
  // The kernel's write lands between the walk's last read and its update of the bits.
  const auto store_meanwhile = [&](Pte stored) {
    std::unique_ptr<Mapped> mapped;
    Time begin = kForever;
    hardware().run({{"walker", 0,
                     [&] {
                       mapped = std::make_unique<Mapped>();
                       begin = machine().arbiter().now();
                       result = walk(*mapped, true);
                       after = mapped->table.read(kPage);
                     }},
                    {"kernel", 1, [&] {
                       while (begin == kForever) machine().arbiter().step(1_ns);
                       machine().arbiter().sleep_until(begin + walker().costs.walk_level * 4 + 1_ns);
                       mapped->table.write(kPage, stored);
                     }}});
  };
  store_meanwhile(make_pte({42}, kRights));
  CHECK(result.allowed);
  CHECK(result.levels == 8);
  CHECK(result.entry.frame() == Pfn{42});
  CHECK(after == make_pte({42}, kRights | Pte::kAccessed | Pte::kDirty));
  store_meanwhile({});
  CHECK_FALSE(result.present);
  CHECK(after.none());
}

TEST_CASE("walker: tables outside memory, unknown forms and impossible addresses end the walk") {
  machine().reset();
  hardware().run({{"", 0, [] {
                     Mapped mapped;
                     for (unsigned level = 1; level < kTableLevels; ++level) {
                       const std::uint64_t good = port().read64(mapped.entries[level]);
                       port().write64(mapped.entries[level], make_pte({TestHardware::kFrames}, kRights).bits);
                       CHECK(walk(mapped, false).broken);
                       port().write64(mapped.entries[level], UINT64_MAX & ~Pte::kHuge);
                       CHECK(walk(mapped, false).broken);
                       port().write64(mapped.entries[level], good | Pte::kHuge);
                       CHECK(walk(mapped, false).broken == (level > 1));  // 2 MiB are known, 1 GiB is not
                       port().write64(mapped.entries[level], good);
                     }
                     CHECK(walk(mapped, false).allowed);
                     CHECK_FALSE(walker().walk(7, kNoPfn, kPage, false).present);
                     CHECK_FALSE(walker().walk(7, mapped.table.root(), kMappableEnd + kPage.value, false).present);
                     CHECK(walker().walk(7, {UINT64_MAX >> 13}, kPage, false).broken);
                   }}});
}

TEST_CASE("walker: a huge entry ends the walk one level early, and gets the bits of all its pages") {
  machine().reset();
  hardware().run({{"", 0, [] {
                     Mapped mapped;
                     const PhysAddr upper = mapped.entries[1];
                     port().write64(upper, make_pte({1024}, kRights | Pte::kHuge).bits);
                     const WalkResult read = walk(mapped, false);
                     CHECK(read.allowed);
                     CHECK(read.levels == 3);
                     CHECK(read.entry.frame() == Pfn{1024 + kPage.value % kTableEntries});
                     CHECK(port().read64(upper) == make_pte({1024}, kRights | Pte::kHuge | Pte::kAccessed).bits);
                     CHECK(walk(mapped, true).entry.dirty());
                     CHECK(Pte{port().read64(upper)}.dirty());
                     port().write64(upper, make_pte({1024}, (kRights | Pte::kHuge) & ~Pte::kWritable).bits);
                     CHECK_FALSE(walk(mapped, true).allowed);
                     CHECK(walk(mapped, false).allowed);
                     port().write64(upper, make_pte({1024}, Pte::kHuge | Pte::kProtNone).bits);
                     CHECK_FALSE(walk(mapped, false).present);
                   }}});
}
