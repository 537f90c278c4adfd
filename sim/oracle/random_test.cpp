// A small model of correct devices and a correct kernel plays random histories: the oracle stays silent.
// One mistake is put in, at a random place: the oracle speaks, or the mistake was provably without effect.
// What is true is kept apart, by value: who can reach which allocation of which frame.
#include <doctest/doctest.h>

#include <algorithm>
#include <set>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "notifier/substrate/random.hpp"
#include "sim/oracle/history.hpp"

namespace secmmu::testing {
namespace {

enum class Mistake {
  none,
  forget_zap,          // a device keeps one translation that its callback should drop
  fill_in_open_range,  // a device does not look whether a range is open
  fill_late,           // a device stores after the range what it looked up before
  skip_start,          // the kernel does not call one start
  skip_other,          // ... one change_pte, or one TLB callback
  no_flush,            // the kernel forgets the cores' TLBs once
  free_early,          // the kernel frees before it has called anybody
  no_end,              // the kernel forgets an end
};
constexpr Mistake kMistakes[] = {
    Mistake::forget_zap, Mistake::fill_in_open_range, Mistake::fill_late,  Mistake::skip_start,
    Mistake::skip_other, Mistake::no_flush,           Mistake::free_early, Mistake::no_end};

// The ledger once more, from the whole past and by definition, as slowly as it likes.
class Naive {
 public:
  explicit Naive(Bus& bus) {
    bus.listen_to_all([this](const AnyEvent& any) { hear(any); });
  }
  std::vector<std::string> snapshot() const {
    std::vector<std::string> lines;
    for (const auto& [ghost, fill] : live_)
      lines.push_back(fmt::format("{} app {:x} -> {:x}{}{}", fill.who, fill.page, fill.pfn, fill.writable ? " w" : "",
                                  illegal(fill) ? " illegal" : ""));
    for (const auto& [page, pte] : ptes_)
      if (pte.pfn != kNoPfn.value)
        lines.push_back(fmt::format("pte app {:x} = {:x}{}", page, pte.pfn, pte.writable ? " w" : ""));
    for (const auto& [id, pages] : open_) lines.push_back(fmt::format("open {}", id));
    std::sort(lines.begin(), lines.end());
    return lines;
  }
  // Live translations that are stronger than the page table, or of freed frames.
  std::vector<const Ghost*> wrong_now() const {
    std::vector<const Ghost*> ghosts;
    for (const auto& [ghost, fill] : live_)
      if (too_strong(fill, ptes_) || gone(fill)) ghosts.push_back(ghost);
    return ghosts;
  }

 private:
  struct Pte {
    std::uint64_t pfn = kNoPfn.value;
    bool writable = false;
  };
  using Ptes = std::map<std::uint64_t, Pte>;
  struct Fill {
    std::string who;
    bool core = false;
    std::uint64_t page = 0, pfn = 0, number = 0;
    std::uint64_t frees = 0;  // how often the frame had been freed before
    bool writable = false;
    bool too_strong = false;  // already when it was filled
  };
  // A step of the past that matters: what it did, and the page table after it.
  struct Step {
    enum Kind { change, promise, range_ended, operation_ended, fault_ended, freed } kind;
    std::uint64_t number;
    unsigned task;
    std::string who;  // promise
    PageRange pages;
    std::uint64_t range = 0;
    Ptes before, after;          // change
    std::set<std::string> told;  // change: devices called for an open range that covers the page
    std::uint64_t in_range = 0;  // change: the range it belongs to
  };

  static bool too_strong(const Fill& fill, const Ptes& ptes) {
    const auto found = ptes.find(fill.page);
    return found == ptes.end() || found->second.pfn != fill.pfn || (fill.writable && !found->second.writable);
  }
  bool gone(const Fill& fill) const {
    const auto found = frees_.find(fill.pfn);
    return (found == frees_.end() ? 0 : found->second) != fill.frees || !used_.contains(fill.pfn);
  }

  // By definition: there is a change that left it too strong, and a point after it at which it had to be gone,
  // and at that point it was (still) too strong.
  bool illegal(const Fill& fill) const {
    if (gone(fill)) return true;
    for (std::size_t i = 0; i < past_.size(); ++i) {
      const Step& change = past_[i];
      if (change.kind != Step::change || !change.pages.contains({fill.page})) continue;
      if (change.number < fill.number) {
        // Older than the fill: only the newest counts; what it had to be gone by may have come before the fill.
        bool newest = true;
        for (std::size_t j = i + 1; j < past_.size() && past_[j].number < fill.number; ++j)
          newest &= !(past_[j].kind == Step::change && past_[j].pages.contains({fill.page}));
        if (!newest || !fill.too_strong) continue;
      }
      if (!too_strong(fill, change.after)) continue;
      if (!fill.core && change.told.contains(fill.who)) return true;
      const Ptes* now = &change.after;
      for (std::size_t j = i + 1; j < past_.size(); ++j) {
        const Step& point = past_[j];
        if (point.kind == Step::change) now = &point.after;
        if (!due(fill, change, point)) continue;
        if (point.number < fill.number || too_strong(fill, *now)) return true;
        break;
      }
    }
    return false;
  }
  static bool due(const Fill& fill, const Step& change, const Step& point) {
    const bool by_task =
        point.task == change.task &&
        (point.kind == Step::operation_ended || (point.kind == Step::fault_ended && point.pages.contains({fill.page})));
    if (fill.core) return by_task;
    if (point.kind == Step::promise) return point.who == fill.who && point.pages.contains({fill.page});
    if (point.kind == Step::range_ended) return change.in_range != 0 && point.range == change.in_range;
    return change.in_range == 0 && by_task;
  }

  void hear(const AnyEvent& any) {
    const std::uint64_t number = any.stamp.number;
    const unsigned task = any.stamp.task;
    if (const auto* e = any.as<FrameAllocated>()) {
      used_.insert(e->pfn.value);
    } else if (const auto* freed = any.as<FrameFreed>()) {
      used_.erase(freed->pfn.value);
      ++frees_[freed->pfn.value];
    } else if (const auto* fill = any.as<DeviceFill>()) {
      live_[fill->ghost] = {std::string(fill->device),
                            false,
                            fill->page.value,
                            fill->pfn.value,
                            number,
                            frees_[fill->pfn.value],
                            fill->writable,
                            false};
      live_[fill->ghost].too_strong = too_strong(live_[fill->ghost], ptes_);
    } else if (const auto* cpu = any.as<CpuTlbFill>()) {
      live_[cpu->ghost] = {fmt::format("cpu{}", cpu->core),
                           true,
                           cpu->page.value,
                           cpu->pfn.value,
                           number,
                           frees_[cpu->pfn.value],
                           cpu->writable,
                           false};
      live_[cpu->ghost].too_strong = too_strong(live_[cpu->ghost], ptes_);
    } else if (const auto* drop = any.as<DeviceDrop>()) {
      live_.erase(drop->ghost);
    } else if (const auto* cpu_drop = any.as<CpuTlbDrop>()) {
      live_.erase(cpu_drop->ghost);
    } else if (const auto* pte = any.as<PteChanged>()) {
      Step step{Step::change, number, task, "", one_page(pte->page), 0, ptes_, {}, {}, 0};
      ptes_[pte->page.value] = {pte->new_pfn.value, pte->new_writable};
      step.after = ptes_;
      for (const auto& [id, range] : open_) {
        if (!range.pages.contains(pte->page)) continue;
        step.told.insert(range.told.begin(), range.told.end());
        if (range.task == task || step.in_range == 0) step.in_range = id;
      }
      const bool weaker =
          pte->old_pfn != kNoPfn && (pte->new_pfn != pte->old_pfn || (pte->old_writable && !pte->new_writable));
      if (weaker)
        past_.push_back(step);
      else if (!past_.empty())
        past_.push_back({Step::change, number, task, "", {}, 0, {}, ptes_, {}, 0});
    } else if (const auto* start = any.as<InvalidateStart>()) {
      open_[start->id] = {start->pages, task, {}};
    } else if (const auto* end = any.as<CallbackEnd>()) {
      if (end->callback == Callback::start) open_[end->range_id].told.insert(std::string(end->subscriber));
      past_.push_back({Step::promise, number, task, std::string(end->subscriber), end->pages, 0, {}, {}, {}, 0});
    } else if (const auto* ended = any.as<InvalidateEnded>()) {
      past_.push_back({Step::range_ended, number, task, "", {}, ended->id, {}, {}, {}, 0});
      open_.erase(ended->id);
    } else if (any.as<SyscallEnd>() != nullptr) {
      past_.push_back({Step::operation_ended, number, task, "", {}, 0, {}, {}, {}, 0});
    } else if (const auto* fault = any.as<FaultHandled>()) {
      past_.push_back({Step::fault_ended, number, task, "", one_page(fault->page), 0, {}, {}, {}, 0});
    }
  }

  struct Open {
    PageRange pages;
    unsigned task = 0;
    std::set<std::string> told;
  };
  std::map<const Ghost*, Fill> live_;
  Ptes ptes_;
  std::map<std::uint64_t, Open> open_;
  std::set<std::uint64_t> used_;
  std::map<std::uint64_t, std::uint64_t> frees_;
  std::vector<Step> past_;
};

// Plays one random history.
class Play {
 public:
  Play(std::uint64_t seed, Mistake mistake) : random_(seed, "play"), mistake_(mistake) {
    naive_ = std::make_unique<Naive>(h.bus);
    h.bus.emit(MmCreated{"app", 1});
    for (const char* device : {"gru0", "iommu0", "old0"}) h.enroll(device);
    due_ = mistake == Mistake::none ? UINT64_MAX : below(5);
  }

  void run(unsigned operations) {
    for (unsigned i = 0; i < operations; ++i) {
      for (int j = 0; j < 3; ++j) touch(below(kPages));
      poke(25);
      switch (below(5)) {
        case 0:
        case 1:
          unmap();
          break;
        case 2:
          protect();
          break;
        case 3:
          copy_on_write();
          break;
        default:
          touch(below(kPages));
      }
      quiet();
    }
    h.over();
  }

  History h;
  bool made = false;     // the mistake
  bool harmful = false;  // by value: at some quiet point, or at a use, a wrong translation was there
  std::uint64_t audits = 0;

 private:
  static constexpr std::uint64_t kPages = 6;
  static constexpr std::uint64_t kFrames = 10;

  std::uint64_t below(std::uint64_t bound) { return random_.below(bound); }
  bool chance(std::uint64_t one_in) { return below(one_in) == 0; }
  // Is this the place for the mistake?
  bool err(Mistake kind) {
    if (mistake_ != kind || made) return false;
    if (due_-- != 0) return false;
    return made = true;
  }

  std::uint64_t new_frame() {
    std::uint64_t pfn = 1 + below(kFrames);
    while (h.allocations.contains(pfn)) pfn = pfn % kFrames + 1;
    h.alloc(pfn);
    return pfn;
  }
  void touch(std::uint64_t page) {  // a fault
    if (h.table[page].pfn != kNoPfn) return;
    h.map(page, new_frame(), chance(2));
    h.handled(page);
  }

  Entry* cached(std::string_view device, int core, std::uint64_t page) {
    for (Entry& entry : h.entries)
      if (entry.live && entry.device == device && entry.core == core && entry.page.value == page) return &entry;
    return nullptr;
  }
  // Devices and cores run between the kernel's steps.
  void poke(unsigned times) {
    for (unsigned i = 0; i < times; ++i) {
      const std::uint64_t page = below(kPages);
      const unsigned old_task = h.task;
      const std::uint64_t who = below(5);
      if (who < 2) {
        h.by(static_cast<unsigned>(who) + 3);
        access(cached("", static_cast<int>(who), page), [&] {
          const History::Pte pte = h.table[page];
          if (pte.pfn != kNoPfn) h.cpu_fill(static_cast<int>(who), page, pte.pfn.value, pte.writable);
        });
      } else {
        static constexpr std::string_view kDevices[] = {"gru0", "iommu0", "old0"};
        const std::string_view device = kDevices[who - 2];
        h.by(static_cast<unsigned>(who) + 3);
        access(cached(device, -1, page), [&] { device_fault(device, page); });
      }
      h.by(old_task);
    }
  }
  template <class Miss>
  void access(Entry* entry, Miss miss) {
    if (entry == nullptr) {
      miss();
      return;
    }
    const std::uint64_t allocation = h.allocation_of(entry->pfn);
    if (allocation == 0 || allocation != entry->allocation) harmful = true;
    h.use(*entry, chance(2));
  }
  void device_fault(std::string_view device, std::uint64_t page) {
    const History::Pte pte = h.table[page];
    if (pte.pfn == kNoPfn) return;
    if (device == "gru0" && held_ > 0 && open_.contains({page})) {
      if (!err(Mistake::fill_in_open_range)) return;
      harmful = true;  // by the protocol, whatever the PTE says later
    }
    if (device == "gru0" && held_ == 0 && !pending_ && mistake_ == Mistake::fill_late && err(Mistake::fill_late)) {
      pending_ = true;  // looked up, not stored
      late_page_ = page;
      late_ = pte;
      late_allocation_ = h.allocation_of(pte.pfn);
      return;
    }
    store(device, page, pte, h.allocation_of(pte.pfn));
  }
  void store(std::string_view device, std::uint64_t page, History::Pte pte, std::uint64_t allocation) {
    h.fill(page, pte.pfn.value, pte.writable && chance(2), device).allocation = allocation;
  }

  void zap(std::string_view device, PageRange pages) {
    for (Entry& entry : h.entries)
      if (entry.live && entry.core < 0 && entry.device == device && pages.contains(entry.page))
        if (!err(Mistake::forget_zap)) h.drop(entry);
  }
  void flush_cores(PageRange pages) {
    if (err(Mistake::no_flush)) return;
    for (Entry& entry : h.entries)
      if (entry.live && entry.core >= 0 && pages.contains(entry.page)) h.drop(entry);
    poke(3);
  }
  void tell(std::string_view device, Callback callback, PageRange pages) {
    if (err(Mistake::skip_other)) return;
    h.begin(device, callback, pages);
    poke(3);
    zap(device, pages);
    h.end(device, callback, pages);
  }

  std::uint64_t start(PageRange pages) {
    const std::uint64_t id = h.announce(pages.first.value, pages.end.value);
    poke(4);
    if (!err(Mistake::skip_start)) {
      h.begin("gru0", Callback::start, pages, id);
      poke(3);
      zap("gru0", pages);
      h.end("gru0", Callback::start, pages, id);
      ++held_;
      open_ = pages;
    }
    h.told(id);
    poke(3);
    return id;
  }
  void finish(std::uint64_t id, PageRange pages) {
    if (!err(Mistake::no_end)) {
      h.ending(id);
      if (held_ > 0) {
        h.begin("gru0", Callback::end, pages, id);
        held_ = 0;
        h.end("gru0", Callback::end, pages, id);
      }
      poke(3);
      h.ended(id);
    }
    held_ = 0;
  }

  PageRange some_pages() {
    const std::uint64_t first = below(kPages);
    return {{first}, {first + 1 + below(kPages - first)}};
  }
  void unmap() {
    const PageRange pages = some_pages();
    h.by(static_cast<unsigned>(below(2))).enter("munmap", pages);
    const bool early = err(Mistake::free_early);
    std::vector<std::uint64_t> frames;
    if (early)
      for (Vpn page = pages.first; page < pages.end; page = page + 1) give_back(page.value);
    const std::uint64_t id = start(pages);
    for (Vpn page = pages.first; page < pages.end; page = page + 1) {
      const History::Pte old = h.table[page.value];
      if (old.pfn == kNoPfn) continue;
      h.clear(page.value);
      if (h.allocations.contains(old.pfn.value)) frames.push_back(old.pfn.value);
      poke(3);
    }
    flush_cores(pages);
    tell("iommu0", Callback::secondary_tlbs, pages);
    tell("old0", Callback::secondary_tlbs, pages);
    for (const std::uint64_t pfn : frames)
      if (!early) h.free(pfn);
    poke(3);
    finish(id, pages);
    h.leave("munmap");
  }
  void give_back(std::uint64_t page) {
    const Pfn pfn = h.table[page].pfn;
    if (pfn == kNoPfn) return;
    h.free(pfn.value);
  }
  void protect() {
    const PageRange pages = some_pages();
    h.by(static_cast<unsigned>(below(2))).enter("mprotect", pages);
    const std::uint64_t id = start(pages);
    for (Vpn page = pages.first; page < pages.end; page = page + 1) {
      const History::Pte old = h.table[page.value];
      if (old.pfn != kNoPfn) h.pte(page.value, old.pfn, chance(3), "protect");
      poke(3);
    }
    flush_cores(pages);
    tell("iommu0", Callback::secondary_tlbs, pages);
    tell("old0", Callback::secondary_tlbs, pages);
    finish(id, pages);
    h.leave("mprotect");
  }
  // As before v3.7: outside every range; each subscriber is told by change_pte.
  void copy_on_write() {
    const std::uint64_t page = below(kPages);
    const History::Pte old = h.table[page];
    if (old.pfn == kNoPfn) return;
    h.by(static_cast<unsigned>(below(2)));
    const std::uint64_t fresh = new_frame();
    flush_cores(one_page({page}));
    h.map(page, fresh);
    poke(3);
    flush_cores(one_page({page}));
    for (const char* device : {"gru0", "iommu0", "old0"}) tell(device, Callback::change_pte, one_page({page}));
    const bool keep = chance(2) && shared_.size() < 2;  // a forked child has it
    if (keep)
      shared_.push_back(old.pfn.value);
    else
      h.free(old.pfn.value);
    h.handled(page);
    if (!shared_.empty() && chance(3)) {
      h.free(shared_.back());
      shared_.pop_back();
    }
  }

  // Nobody is at work: what is live and wrong now must have been seen by the oracle, and nothing else.
  void quiet() {
    if (pending_ && chance(2)) {
      h.by(6);
      store("gru0", late_page_, late_, late_allocation_);
      pending_ = false;
      h.by(0);
    }
    for (const Ghost* ghost : naive_->wrong_now()) {
      harmful = true;
      CHECK((ghost->word & Ghost::kIllegal) != 0);
    }
    CHECK(h.oracle.audit() == std::vector<std::string>{});
    if (chance(8)) {
      ++audits;
      CHECK_MESSAGE(h.oracle.snapshot() == naive_->snapshot(),
                    fmt::format("\n{}\nbut by definition\n{}", fmt::join(h.oracle.snapshot(), "\n"),
                                fmt::join(naive_->snapshot(), "\n")));
    }
  }

  std::unique_ptr<Naive> naive_;
  RandomStream random_;
  Mistake mistake_;
  std::uint64_t due_ = 0;
  unsigned held_ = 0;
  PageRange open_;
  std::vector<std::uint64_t> shared_;
  bool pending_ = false;
  std::uint64_t late_page_ = 0;
  std::uint64_t late_allocation_ = 0;
  History::Pte late_;
};

TEST_CASE("oracle: a correct kernel with correct devices never trips") {
  std::uint64_t audits = 0;
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    CAPTURE(seed);
    Play play(seed, Mistake::none);
    play.run(25);
    CHECK_MESSAGE(play.h.broken() == "", play.h.oracle.violations()[0].summary);
    CHECK(play.h.found() == "");
    CHECK(!play.harmful);
    audits += play.audits;
  }
  CHECK(audits > 600);
}

TEST_CASE("oracle: one mistake anywhere trips, or was without effect") {
  for (const Mistake mistake : kMistakes) {
    unsigned made = 0;
    unsigned tripped = 0;
    for (std::uint64_t seed = 0; seed < 150; ++seed) {
      CAPTURE(static_cast<int>(mistake));
      CAPTURE(seed);
      Play play(seed, mistake);
      play.run(25);
      if (!play.made) continue;
      ++made;
      const bool heard = !play.h.oracle.clean() || !play.h.oracle.findings().empty();
      tripped += heard;
      CHECK((heard || !play.harmful));
      if (mistake == Mistake::no_end) CHECK(play.h.oracle.count("unbalanced-range") > 0);
      if (mistake == Mistake::fill_in_open_range) CHECK(play.h.oracle.count("map-in-open-range") > 0);
    }
    MESSAGE("mistake ", static_cast<int>(mistake), ": made ", made, ", tripped ", tripped);
    CHECK(made > 100);
    CHECK(tripped > made / 4);  // each kind has an effect often enough for this test to mean something
  }
}

}  // namespace
}  // namespace secmmu::testing
