// Memory that may be huge holds what was written, whatever is split, moved, shared and collapsed meanwhile.
#include <doctest/doctest.h>

#include <optional>
#include <vector>

#include "models/mm/test_world.hpp"
#include "notifier/substrate/random.hpp"

using namespace secmmu;
using namespace secmmu::literals;
using namespace secmmu::testing;

namespace {

constexpr Rights kReadWrite{true, true, false};
constexpr VirtAddr kArena{0x10'0000'0000};
constexpr std::uint64_t kBlock = kTableEntries;
constexpr std::uint64_t kPages = 2 * kBlock + 40;

constexpr VirtAddr at(std::uint64_t page) { return kArena + page * kPageSize; }
constexpr PageRange span(std::uint64_t first, std::uint64_t end) { return {at(first).page(), at(end).page()}; }

struct Page {
  Rights rights;
  std::uint64_t value = 0;
};
using Expected = std::vector<std::optional<Page>>;

// Random operations of three tasks on three cores, one at a time, over up to three processes.
class HugeStorm {
 public:
  HugeStorm(std::string_view kernel, std::uint64_t seed, unsigned operations)
      : kernel_(kernel), random_(seed, "huge storm"), operations_(operations) {}

  std::string play() {
    machine().reset();
    machine().arbiter().set_stretch(60, random_.next());
    turn_.emplace(machine().arbiter(), "turn", "turn");
    std::vector<TestTask> tasks;
    for (int cpu = 0; cpu < 3; ++cpu)
      tasks.push_back({"storm", cpu, [this, cpu] { work(static_cast<unsigned>(cpu)); }});
    const RunEnd end = mm_world().run(kernel_, std::move(tasks), [this] {
      turn_->reset();
      spaces_.push_back(&mm_world().system->create("p0"));
      expected_.emplace_back(kPages);
    });
    if (end != RunEnd::quiet) say("the run did not end: " + machine().arbiter().explain_waiting());
    story_ += audit(*mm_world().system);
    for (std::uint64_t frame = 0; frame < hardware().memory().frames(); ++frame) {
      const FrameUse use = hardware().memory().frame({frame}).use;
      if (use != FrameUse::free && use != FrameUse::zero) say(fmt::format("frame {} is never freed", frame));
    }
    machine().reset();
    return story_;
  }
  std::uint64_t huge_faults = 0;
  std::uint64_t splits = 0;
  std::uint64_t collapses = 0;

 private:
  void say(const std::string& what) {
    if (story_.size() < 2000) story_ += fmt::format("operation {}: {}\n", done_, what);
  }
  void want(std::string_view what, Errno got, bool ok) {
    if ((got == Errno::ok) != ok) say(fmt::format("{} answered {}", what, errno_name(got)));
  }

  void work(unsigned cpu) {
    Core& core = hardware().core(cpu);
    for (;;) {
      turn_->lock();
      const bool more = done_ < operations_;
      if (more) {
        ++done_;
        operate(core);
        compare(core);
        if (done_ % 50 == 0) story_ += audit(*mm_world().system);
      } else if (!over_) {
        over_ = true;
        for (std::size_t i = 0; i < spaces_.size(); ++i)
          for (std::uint64_t page = 0; page < kPages; ++page) check(core, i, page);
        for (Mm* mm : spaces_) forget(*mm);
      }
      turn_->unlock();
      if (!more) return;
      machine().arbiter().sleep_until(machine().arbiter().now() + 5_us);
    }
  }
  void forget(Mm& mm) {
    huge_faults += mm.counters.huge_faults;
    splits += mm.counters.huge_splits;
    collapses += mm.counters.huge_collapses;
    mmput(mm);
  }
  void compare(Core& core) {
    const std::size_t process = random_.below(spaces_.size());
    for (int i = 0; i < 6; ++i) check(core, process, random_.below(kPages));
  }
  void check(Core& core, std::size_t process, std::uint64_t page) {
    load_on(*spaces_[process], core);
    std::uint64_t value = 0;
    const bool ok = core.read(at(page), 8, value) == AccessResult::ok;
    const auto& known = expected_[process][page];
    const bool readable = known && !known->rights.none();
    if (ok != readable) return say(fmt::format("p{} page {}: readable {}", process, page, ok));
    if (ok && value != known->value)
      say(fmt::format("p{} page {}: {:#x} instead of {:#x}", process, page, value, known->value));
  }

  // A few pages, a whole block, or anything.
  void choose(std::uint64_t& first, std::uint64_t& end) {
    switch (random_.below(3)) {
      case 0:
        first = random_.below(kPages);
        end = first + 1 + random_.below(std::min<std::uint64_t>(9, kPages - first));
        return;
      case 1:
        first = random_.below(2) * kBlock;
        end = first + kBlock;
        return;
      default:
        first = random_.below(kPages);
        end = first + 1 + random_.below(kPages - first);
    }
  }
  static bool all_mapped(const Expected& process, std::uint64_t first, std::uint64_t end) {
    for (std::uint64_t page = first; page < end; ++page)
      if (!process[page]) return false;
    return true;
  }

  void operate(Core& core) {
    const std::size_t number = random_.below(spaces_.size());
    Mm& mm = *spaces_[number];
    Expected& process = expected_[number];
    load_on(mm, core);
    std::uint64_t first = 0;
    std::uint64_t end = 0;
    choose(first, end);
    static constexpr Rights kRights[] = {kReadWrite, kReadWrite, kReadWrite, {true, false, false}, {}};
    VirtAddr where;
    switch (random_.below(20)) {
      case 0:
        if (random_.below(3) != 0) break;
        want("munmap", munmap(mm, span(first, end)), true);
        for (std::uint64_t page = first; page < end; ++page) process[page].reset();
        break;
      case 1:
      case 2:
      case 3:
        want("mmap", mmap(mm, {at(first), true, end - first, kReadWrite, false}, where), true);
        for (std::uint64_t page = first; page < end; ++page) process[page] = Page{kReadWrite};
        [[fallthrough]];
      case 4: {
        const HugeAdvice advice = random_.below(5) == 0 ? HugeAdvice::never : HugeAdvice::always;
        want("hugepage", madvise_huge(mm, span(0, kPages), advice), all_mapped(process, 0, kPages));
        break;
      }
      case 5: {
        const Rights rights = kRights[random_.below(5)];
        want("mprotect", mprotect(mm, span(first, end), rights), all_mapped(process, first, end));
        for (std::uint64_t page = first; page < end && process[page]; ++page) process[page]->rights = rights;
        break;
      }
      case 6:
        want("madvise", madvise_dontneed(mm, span(first, end)), all_mapped(process, first, end));
        for (std::uint64_t page = first; page < end; ++page)
          if (process[page]) process[page]->value = 0;
        break;
      case 7: {
        const std::uint64_t count = end - first;
        std::uint64_t to = random_.below(2) * kBlock;
        if (random_.below(2) == 0) to = random_.below(kPages);
        if (to + count > kPages || (to < end && first < to + count)) break;
        const Errno got = mremap(mm, {span(first, end), count, true, true, at(to)}, where);
        if (got != Errno::ok && got != Errno::efault) want("mremap", got, true);
        if (!process[first]) break;
        for (std::uint64_t i = 0; i < count; ++i) {
          process[to + i].reset();
          if (got != Errno::ok) continue;
          process[to + i] = process[first + i];
          process[first + i].reset();
        }
        break;
      }
      case 8:
        if (spaces_.size() < 3) {
          spaces_.push_back(&mm_world().system->create(fmt::format("p{}", done_)));
          want("fork", fork(mm, *spaces_.back()), true);
          expected_.push_back(expected_[number]);
        } else {
          const std::size_t victim = 1 + random_.below(spaces_.size() - 1);
          forget(*spaces_[victim]);
          spaces_.erase(spaces_.begin() + static_cast<std::ptrdiff_t>(victim));
          expected_.erase(expected_.begin() + static_cast<std::ptrdiff_t>(victim));
        }
        break;
      case 9:
        if (mm.system.behaviour.collapse_advice) madvise_collapse(mm, span(first, end));  // may be refused
        break;
      case 10:
        khugepaged_scan(mm);
        break;
      case 12: {
        if (!mm.system.behaviour.pageout) break;
        const Errno got =
            random_.below(2) == 0 ? madvise_pageout(mm, span(first, end)) : madvise_cold(mm, span(first, end));
        want("pageout", got, all_mapped(process, first, end));
        break;
      }
      case 13:
        if (mm.system.behaviour.soft_dirty && random_.below(2) == 0) want("clear_refs", clear_soft_dirty(mm), true);
        break;
      case 11: {  // a driver's way in
        Pfn frame;
        Pte entry;
        const bool write = random_.below(2) != 0;
        const auto& page = process[first];
        const Errno got = get_user_page(mm, at(first).page(), write, frame, entry);
        want("get_user_page", got, page && (write ? page->rights.write : page->rights.read));
        if (got != Errno::ok) break;
        std::uint64_t value = 0;
        hardware().port().read(address_of(frame), &value, 8);
        if (value != page->value) say("get_user_page found another page");
        hardware().memory().put(frame);
        break;
      }
      default:
        for (int i = 0; i < 4; ++i) {
          const std::uint64_t page = random_.below(kPages);
          const std::uint64_t value = random_.next() | 1;
          auto& known = process[page];
          const bool ok = core.write(at(page), 8, value) == AccessResult::ok;
          if (ok != (known && known->rights.write)) say(fmt::format("p{} page {}: written {}", number, page, ok));
          if (ok) known->value = value;
        }
    }
  }

  std::string kernel_;
  RandomStream random_;
  unsigned operations_;
  unsigned done_ = 0;
  bool over_ = false;
  std::optional<Mutex> turn_;
  std::vector<Mm*> spaces_;
  std::vector<Expected> expected_;
  std::string story_;
};

}  // namespace

TEST_CASE("memory that may be huge holds what was written: random operations of several processes") {
  for (const std::string_view kernel : {"v2.6.38", "v4.14", "v6.1", "v6.10"}) {
    std::uint64_t huge_faults = 0;
    std::uint64_t splits = 0;
    std::uint64_t collapses = 0;
    for (std::uint64_t seed = 1; seed <= 4; ++seed) {
      HugeStorm storm(kernel, seed, 1'000);
      const std::string story = storm.play();
      INFO(kernel << " seed " << seed);
      CHECK(story == "");
      huge_faults += storm.huge_faults;
      splits += storm.splits;
      collapses += storm.collapses;
    }
    INFO(kernel);
    CHECK(huge_faults > 5);
    CHECK(splits > 10);
    CHECK(collapses > 5);
  }
}
