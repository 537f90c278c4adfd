#include "models/cpu/tlb.hpp"

#include <doctest/doctest.h>

#include <list>
#include <map>
#include <stdexcept>

#include "notifier/substrate/random.hpp"

using namespace secmmu;

namespace {

// A TLB as a map of lists: least recently used first.
class Model {
 public:
  explicit Model(TlbConfig config) : ways_(config.ways), sets_(config.entries / config.ways) {}

  struct Line {
    std::uint32_t asid;
    std::uint64_t page;
    std::uint64_t frame;
  };
  const Line* find(std::uint32_t asid, std::uint64_t page) {
    auto& set = lines_[page % sets_];
    for (auto line = set.begin(); line != set.end(); ++line)
      if (line->asid == asid && line->page == page) {
        set.splice(set.end(), set, line);
        return &set.back();
      }
    return nullptr;
  }
  void fill(std::uint32_t asid, std::uint64_t page, std::uint64_t frame) {
    auto& set = lines_[page % sets_];
    set.remove_if([&](const Line& line) { return line.asid == asid && line.page == page; });
    if (set.size() == ways_) set.pop_front();
    set.push_back({asid, page, frame});
  }
  std::uint64_t flush(std::uint32_t asid, PageRange range) {
    std::uint64_t dropped = 0;
    for (auto& [number, set] : lines_)
      dropped += set.remove_if([&](const Line& line) { return line.asid == asid && range.contains({line.page}); });
    return dropped;
  }
  std::uint64_t valid() const {
    std::uint64_t sum = 0;
    for (const auto& [number, set] : lines_) sum += set.size();
    return sum;
  }

 private:
  std::uint64_t ways_;
  std::uint64_t sets_;
  std::map<std::uint64_t, std::list<Line>> lines_;
};

void fill(Tlb& tlb, std::uint32_t asid, std::uint64_t page, std::uint64_t frame) {
  tlb.fill(tlb.victim(asid, {page}), asid, {page}, {frame}, true, true, nullptr);
}

}  // namespace

TEST_CASE("tlb: shape and replacement against a model under random operations") {
  for (const TlbConfig config :
       {TlbConfig{64, 4}, TlbConfig{1, 1}, TlbConfig{16, 1}, TlbConfig{8, 8}, TlbConfig{24, 3}}) {
    CAPTURE(config.entries);
    Tlb tlb(config);
    Model model(config);
    RandomStream random(config.entries, "tlb");
    for (int i = 0; i < 20'000; ++i) {
      const auto asid = static_cast<std::uint32_t>(random.below(3));
      const std::uint64_t page = random.below(config.entries * 2);
      const std::uint64_t kind = random.below(20);
      if (kind < 10) {
        const TlbEntry* entry = tlb.find(asid, {page});
        const Model::Line* line = model.find(asid, page);
        REQUIRE((entry == nullptr) == (line == nullptr));
        if (line != nullptr) {
          REQUIRE(entry->frame.value == line->frame);
          REQUIRE(entry->page.value == page);
          REQUIRE(entry->asid == asid);
        }
      } else if (kind < 18) {
        const std::uint64_t frame = random.next() >> 30;
        fill(tlb, asid, page, frame);
        model.fill(asid, page, frame);
      } else {
        const PageRange range{{page}, {page + random.below(config.entries * 2)}};
        std::uint64_t dropped = 0;
        tlb.for_each(asid, range, [&](TlbEntry& entry) {
          ++dropped;
          Tlb::drop(entry);
        });
        REQUIRE(dropped == model.flush(asid, range));
      }
      REQUIRE(tlb.valid() == model.valid());
    }
    tlb.reset();
    CHECK(tlb.valid() == 0);
  }
}

TEST_CASE("tlb: what is dropped forgets its grant and its ghost word") {
  Tlb tlb({4, 2});
  std::uint8_t bytes[1];
  TlbEntry& slot = tlb.victim(1, {0});
  tlb.fill(slot, 1, {0}, {9}, true, false, bytes);
  slot.ghost.word = Ghost::kIllegal;
  CHECK(tlb.find(1, {0}) == &slot);
  CHECK(slot.bytes == bytes);
  Tlb::drop(slot);
  CHECK(tlb.find(1, {0}) == nullptr);
  CHECK(slot.bytes == nullptr);
  CHECK(slot.ghost.word == 0);
  slot.ghost.word = Ghost::kWatched;
  tlb.fill(slot, 1, {0}, {9}, true, false, bytes);
  CHECK(slot.ghost.word == 0);
}

TEST_CASE("tlb: pages and address spaces at the ends of their ranges do not meet") {
  Tlb tlb({64, 64});
  const std::uint64_t last_page = (1ULL << Tlb::kPageBits) - 1;
  const std::uint32_t last_asid = Tlb::kAsidEnd - 1;
  for (const std::uint32_t asid : {0U, 1U, last_asid})
    for (const std::uint64_t page : {std::uint64_t{0}, std::uint64_t{1}, last_page}) {
      CHECK(tlb.find(asid, {page}) == nullptr);
      fill(tlb, asid, page, asid + page);
    }
  for (const std::uint32_t asid : {0U, 1U, last_asid})
    for (const std::uint64_t page : {std::uint64_t{0}, std::uint64_t{1}, last_page})
      CHECK(tlb.find(asid, {page})->frame.value == asid + page);
  CHECK(tlb.find(0, {1ULL << Tlb::kPageBits}) == nullptr);  // would be page 0 of address space 1
  std::uint64_t seen = 0;
  tlb.for_each(0, {{1ULL << Tlb::kPageBits}, {(1ULL << Tlb::kPageBits) + 1}}, [&](TlbEntry&) { ++seen; });
  CHECK(seen == 0);
}

TEST_CASE("tlb: a shape that cannot be is refused in words") {
  CHECK(tlb_problem({64, 4}).empty());
  CHECK(tlb_problem({24, 3}).empty());
  CHECK(tlb_problem({64, 5}) == "64 TLB entries cannot be divided into sets of 5");
  CHECK(tlb_problem({48, 4}) == "48 TLB entries in 4 ways make 12 sets, which is no power of two");
  CHECK_FALSE(tlb_problem({0, 4}).empty());
  CHECK_THROWS_AS(Tlb({48, 4}), std::invalid_argument);
}
