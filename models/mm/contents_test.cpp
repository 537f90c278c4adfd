// What processes see in their memory, and what is left when they are gone.
#include <doctest/doctest.h>

#include <array>
#include <map>
#include <optional>

#include "models/mm/test_world.hpp"
#include "notifier/substrate/random.hpp"

using namespace secmmu;
using namespace secmmu::literals;
using namespace secmmu::testing;

namespace {

constexpr Rights kReadWrite{true, true, false};
constexpr VirtAddr kArena{0x10'0000'0000 + 500 * kPageSize};  // a border between two page tables lies in it
constexpr std::uint64_t kPages = 40;                          // and behind them a heap
constexpr std::uint64_t kHeapPages = 8;

constexpr VirtAddr at(std::uint64_t page) { return kArena + page * kPageSize; }
constexpr PageRange span(std::uint64_t first, std::uint64_t end) { return {at(first).page(), at(end).page()}; }

// One process as its programmer thinks of it.
struct Expected {
  struct Page {
    Rights rights;
    std::uint64_t object = 0;  // 0: anonymous
    std::uint64_t offset = 0;
    std::uint64_t value = 0;   // private
    bool may_be_gone = false;  // 0 may be read as well, then for ever
    bool copies = false;       // private, over the object
    bool copied = false;       // and this page is a copy

    bool own() const { return object == 0 || copied; }
  };
  std::array<std::optional<Page>, kPages + kHeapPages> pages;
  std::uint64_t heap = 0;
};

// Random operations by four tasks on four cores, one at a time, checked against Expected; a fifth works on
// pages of its own in the first process all the while, so that locks, faults and flushes really meet.
class Storm {
 public:
  // `frames`: so many are there for users, and reclaim has to make room again and again; 0: enough.
  Storm(std::string_view kernel, std::uint64_t seed, unsigned operations, std::uint64_t frames = 0)
      : kernel_(kernel), random_(seed, "storm"), noise_(seed, "noise"), operations_(operations), frames_(frames) {}

  // With a limit: stopped in the middle, wherever that is; then only the fact that it stopped counts.
  std::string play(RunLimits limits = {}) {
    machine().reset();
    machine().arbiter().set_stretch(60, random_.next());
    turn_.emplace(machine().arbiter(), "turn", "turn");
    std::vector<TestTask> tasks;
    for (int cpu = 0; cpu < 3; ++cpu)
      tasks.push_back({"storm", cpu, [this, cpu] { work(static_cast<unsigned>(cpu)); }});
    tasks.push_back({"noise", 3, [this] { work_apart(); }});
    const RunEnd end = mm_world().run(
        kernel_, std::move(tasks),
        [this] {
          turn_->reset();
          if (frames_ != 0) {
            mm_world().system->config.reclaim = "direct";
            mm_world().system->config.lowest_free = hardware().memory().frames() - frames_;
          }
          spaces_.push_back(&mm_world().system->create("p0"));
          expected_.emplace_back();
        },
        limits);
    ended_ = machine().arbiter().now();
    steps_ = machine().arbiter().steps();
    if (end == RunEnd::limit) {
      machine().reset();
      return "limit";
    }
    if (end != RunEnd::quiet) say("the run did not end: " + machine().arbiter().explain_waiting());
    if (!machine().arbiter().unfinished().empty()) say("stuck: " + machine().arbiter().explain_waiting());
    story_ += audit_;
    story_ += audit(*mm_world().system);
    for (std::uint64_t frame = 0; frame < hardware().memory().frames(); ++frame) {
      const FrameUse use = hardware().memory().frame({frame}).use;
      if (use != FrameUse::free && use != FrameUse::zero) say(fmt::format("frame {} is never freed", frame));
    }
    machine().reset();
    return story_;
  }
  std::uint64_t compared() const { return compared_; }
  Time ended() const { return ended_; }
  std::uint64_t steps() const { return steps_; }

 private:
  void say(const std::string& what) {
    if (story_.size() < 2000) story_ += fmt::format("{} seed operation {}: {}\n", kernel_, done_, what);
  }
  void want(std::string_view what, Errno got, bool ok) {
    if ((got == Errno::ok) != ok) say(fmt::format("{} answered {}", what, errno_name(got)));
  }

  void work(unsigned cpu) {
    Core& core = hardware().core(cpu);
    for (;;) {
      turn_->lock();
      if (done_ < operations_) {
        ++done_;
        operate(core);
        compare(core);
      } else if (cpu == 0 && noise_done_) {
        break;  // keeps its turn
      } else if (cpu != 0) {
        turn_->unlock();
        return;
      }
      turn_->unlock();
      machine().arbiter().sleep_until(machine().arbiter().now() + 5_us);
    }
    for (std::size_t i = 0; i < spaces_.size(); ++i) check_all(core, i);
    audit_ = audit(*mm_world().system);
    for (Mm* mm : spaces_) mmput(*mm);
    turn_->unlock();
  }

  void check_all(Core& core, std::size_t process) {
    for (std::uint64_t page = 0; page < kPages + kHeapPages; ++page) check(core, process, page);
  }
  // A few pages of some process, seen from some core.
  void compare(Core& core) {
    const std::size_t process = random_.below(spaces_.size());
    for (int i = 0; i < 4; ++i) check(core, process, random_.below(kPages + kHeapPages));
  }
  void check(Core& core, std::size_t process, std::uint64_t page) {
    ++compared_;
    load_on(*spaces_[process], core);
    std::uint64_t value = 0;
    const bool ok = core.read(at(page), 8, value) == AccessResult::ok;
    const auto& known = expected_[process].pages[page];
    const bool readable = known && !known->rights.none() && exists(*known);
    if (ok != readable) return say(fmt::format("p{} page {}: readable {} instead of {}", process, page, ok, readable));
    if (ok && value == 0 && known->may_be_gone) expected_[process].pages[page]->value = 0;
    if (ok && value != value_of(*known))
      say(fmt::format("p{} page {}: {} instead of {}", process, page, value, value_of(*known)));
  }
  std::uint64_t value_of(const Expected::Page& page) {
    return page.own() ? page.value : shared_[{page.object, page.offset}];
  }
  // A page of a file that ends before it is SIGBUS.
  bool exists(const Expected::Page& page) const {
    return page.object == 0 || page.offset < files_.at(page.object).pages;
  }
  // A page of some process that has a file, or shared memory, behind it.
  const Expected::Page* some_file_page() {
    const Expected& process = expected_[random_.below(expected_.size())];
    const std::uint64_t start = random_.below(kPages);
    for (std::uint64_t i = 0; i < kPages; ++i)
      if (const auto& page = process.pages[(start + i) % kPages]; page && page->object != 0) return &*page;
    return nullptr;
  }
  void map(Mm& mm, Expected& process, std::uint64_t first, std::uint64_t count, Rights rights) {
    VirtAddr where;
    MmapRequest request{at(first), true, count, rights};
    request.shared = random_.below(3) == 0;
    request.copies = !request.shared && random_.below(2) == 0;
    request.file = random_.below(2) == 0;
    const bool over = request.shared || request.copies;
    const Expected::Page* again = over && random_.below(3) == 0 ? some_file_page() : nullptr;
    std::uint64_t object = over ? ++objects_ : 0;
    if (again != nullptr) {
      object = again->object;
      request.object = files_[object].id;
      request.offset = random_.below(4);
    }
    want("mmap", mmap(mm, request, where), true);
    const SharedObject* made = mm.vma_at(at(first).page()).attributes.object;
    if ((made != nullptr) != over) say("a mapping has an object, or has none");
    if (over && again == nullptr) files_[object] = {made == nullptr ? 0 : made->id(), count, request.file};
    for (std::uint64_t i = 0; i < count; ++i) {
      Expected::Page& page = process.pages[first + i].emplace();
      page.rights = rights;
      page.object = object;
      page.offset = request.offset + i;
      page.copies = request.copies;
    }
  }
  // What those who have copied the pages behind `first` of this object keep of them: nothing.
  void forget_copies(std::uint64_t object, std::uint64_t first, std::uint64_t end) {
    for (Expected& process : expected_)
      for (auto& page : process.pages)
        if (page && page->object == object && page->offset >= first && page->offset < end) page->copied = false;
  }
  void punched(std::uint64_t object, std::uint64_t first, std::uint64_t end) {
    shared_.erase(shared_.lower_bound({object, first}), shared_.lower_bound({object, end}));
  }
  void change_file(Mm& mm) {
    const Expected::Page* page = some_file_page();
    if (page == nullptr) return;
    File& file = files_[page->object];
    const std::uint64_t object = page->object;
    const std::uint64_t first = random_.below(10);
    const std::uint64_t value = random_.next() | 1;
    switch (random_.below(4)) {
      case 0:
        want("ftruncate", truncate_file(mm, file.id, first), true);
        file.pages = first;
        punched(object, first, UINT64_MAX);
        forget_copies(object, first, UINT64_MAX);
        break;
      case 1: {
        if (!mm_world().system->behaviour.punch_hole) break;
        const std::uint64_t count = 1 + random_.below(4);
        want("fallocate", punch_hole(mm, file.id, first, count), true);
        punched(object, first, first + count);
        break;
      }
      default:
        want("pwrite", write_file(mm, file.id, first * kPageSize, value), true);
        file.pages = std::max(file.pages, first + 1);
        shared_[{object, first}] = value;
        break;
    }
  }
  void remove_page(Mm& mm, Expected& process, std::uint64_t number) {
    const auto& page = process.pages[number];
    const MmBehaviour& behaviour = mm_world().system->behaviour;
    Errno wanted = !page ? Errno::enomem : page->object == 0 ? Errno::einval : Errno::ok;
    if (wanted == Errno::ok && (page->copies || !(page->rights.write || behaviour.remove_readonly)))
      wanted = Errno::eacces;
    if (wanted == Errno::ok && files_[page->object].on_disk && !behaviour.punch_hole) wanted = Errno::enosys;
    const Errno got = madvise_remove(mm, span(number, number + 1));
    if (got != wanted) say(fmt::format("MADV_REMOVE answered {}", errno_name(got)));
    if (got != Errno::ok) return;
    punched(page->object, page->offset, page->offset + 1);
    if (!behaviour.punch_hole) forget_copies(page->object, page->offset, page->offset + 1);
  }
  static bool all_mapped(const Expected& process, std::uint64_t first, std::uint64_t end) {
    for (std::uint64_t page = first; page < end; ++page)
      if (!process.pages[page]) return false;
    return true;
  }

  void operate(Core& core) {
    const std::size_t number = random_.below(spaces_.size());
    Mm& mm = *spaces_[number];
    Expected& process = expected_[number];
    load_on(mm, core);
    const std::uint64_t first = random_.below(kPages);
    const std::uint64_t count = 1 + random_.below(std::min<std::uint64_t>(9, kPages - first));
    const std::uint64_t end = first + count;
    static constexpr Rights kRights[] = {
        {true, true, false}, {true, true, false}, {true, false, false}, {}, {true, true, true}};
    const Rights rights = kRights[random_.below(5)];
    VirtAddr where;
    switch (random_.below(26)) {
      case 0:
        want("munmap", munmap(mm, span(first, end)), true);
        for (std::uint64_t page = first; page < end; ++page) process.pages[page].reset();
        break;
      case 1:
      case 2:
        map(mm, process, first, count, rights);
        break;
      case 3:
      case 4: {
        want("mprotect", mprotect(mm, span(first, end), rights), all_mapped(process, first, end));
        for (std::uint64_t page = first; page < end && process.pages[page]; ++page)
          process.pages[page]->rights = rights;
        break;
      }
      case 5:
        want("madvise", madvise_dontneed(mm, span(first, end)), all_mapped(process, first, end));
        for (std::uint64_t page = first; page < end; ++page)
          if (process.pages[page]) {
            process.pages[page]->value = 0;
            process.pages[page]->copied = false;
          }
        break;
      case 6:
        move(mm, process, first, count);
        break;
      case 7: {
        if (mm.brk_start.value == 0) mm.brk_start = mm.brk_end = at(kPages);
        const std::uint64_t heap = random_.below(kHeapPages + 1);
        want("brk", brk(mm, at(kPages + heap), where), true);
        for (std::uint64_t page = process.heap; page < heap; ++page)
          process.pages[kPages + page] = Expected::Page{kReadWrite, 0, 0, 0};
        for (std::uint64_t page = heap; page < process.heap; ++page) process.pages[kPages + page].reset();
        process.heap = heap;
        break;
      }
      case 8:
        if (spaces_.size() < 4) {
          spaces_.push_back(&mm_world().system->create(fmt::format("p{}", done_)));
          want("fork", fork(mm, *spaces_.back()), true);
          expected_.push_back(expected_[number]);
        } else if (random_.below(2) == 0) {
          const std::size_t victim = 1 + random_.below(spaces_.size() - 1);
          mmput(*spaces_[victim]);
          spaces_.erase(spaces_.begin() + static_cast<std::ptrdiff_t>(victim));
          expected_.erase(expected_.begin() + static_cast<std::ptrdiff_t>(victim));
        }
        break;
      case 9:
      case 10:
        if (!mm_world().system->behaviour.pageout) break;
        want("pageout", madvise_pageout(mm, span(first, end)), all_mapped(process, first, end));
        break;
      case 11: {
        if (!mm_world().system->behaviour.lazy_free) break;
        bool allowed = all_mapped(process, first, end);
        for (std::uint64_t page = first; page < end && allowed; ++page) allowed = process.pages[page]->object == 0;
        const Errno got = madvise_free(mm, span(first, end));
        if (allowed) want("MADV_FREE", got, true);
        for (std::uint64_t page = first; page < end; ++page) {
          if (!process.pages[page]) continue;
          if (process.pages[page]->object != 0) break;  // refused here
          lazily_freed(process.pages[page]->value);
          process.pages[page]->may_be_gone = true;
        }
        break;
      }
      case 12:
        want("msync", msync(mm, span(first, end)), all_mapped(process, first, end));
        break;
      case 13:
        if (!mm_world().system->behaviour.soft_dirty) break;
        want("clear_soft_dirty", clear_soft_dirty(mm), true);
        break;
      case 14: {
        if (!mm_world().system->behaviour.populate) break;
        bool allowed = all_mapped(process, first, end);
        for (std::uint64_t page = first; page < end && allowed; ++page)
          allowed = process.pages[page]->rights.read && exists(*process.pages[page]);
        want("populate", madvise_populate(mm, span(first, end), false), allowed);
        break;
      }
      case 15: {  // a driver's way in
        Pfn frame;
        Pte entry;
        const bool write = random_.below(2) != 0;
        const auto& page = process.pages[first];
        const Errno got = get_user_page(mm, at(first).page(), write, frame, entry);
        want("get_user_page", got, page && (write ? page->rights.write : page->rights.read) && exists(*page));
        if (got != Errno::ok) break;
        std::uint64_t value = 0;
        hardware().port().read(address_of(frame), &value, 8);
        if (value == 0 && page->may_be_gone) process.pages[first]->value = 0;
        if (value != value_of(*page)) say("get_user_page found another page");
        hardware().memory().put(frame);
        if (write && page->copies) process.pages[first]->value = value;
        if (write) process.pages[first]->copied = page->copies;
        break;
      }
      case 16:
      case 17:
        change_file(mm);
        break;
      case 18:
        remove_page(mm, process, first);
        break;
      default: {
        const std::uint64_t page = random_.below(kPages + kHeapPages);
        const std::uint64_t value = random_.next() | 1;
        auto& known = process.pages[page];
        const bool ok = core.write(at(page), 8, value) == AccessResult::ok;
        if (ok != (known && known->rights.write && exists(*known))) say(fmt::format("p{} page {}: written {}", number, page, ok));
        if (!ok) break;
        known->may_be_gone = false;
        known->copied = known->copies;
        if (known->own())
          known->value = value;
        else
          shared_[{known->object, known->offset}] = value;
      }
    }
  }

  // As in Linux: a page that came back from the swap area for a read is clean, and if it was shared by a fork since, one
  // process's MADV_FREE is everybody's. Who shares a page has its value.
  void lazily_freed(std::uint64_t value) {
    for (Expected& process : expected_)
      for (auto& page : process.pages)
        if (page && page->object == 0 && page->value == value) page->may_be_gone = true;
  }

  void move(Mm& mm, Expected& process, std::uint64_t first, std::uint64_t count) {
    const std::uint64_t to = random_.below(kPages - count + 1);
    if (to < first + count && first < to + count) return;
    VirtAddr where;
    const Errno got = mremap(mm, {span(first, first + count), count, true, true, at(to)}, where);
    const bool begins = process.pages[first].has_value();
    // Whether neighbours that look alike are one VMA is not the programmer's business: EFAULT if not.
    if (got == Errno::ok && !all_mapped(process, first, first + count)) say("mremap moved a hole");
    if (got != Errno::ok && got != Errno::efault) want("mremap", got, true);
    if (count == 1 && begins) want("mremap of a page", got, true);
    if (!begins) return;
    for (std::uint64_t i = 0; i < count; ++i) {
      process.pages[to + i].reset();
      if (got != Errno::ok) continue;
      process.pages[to + i] = process.pages[first + i];
      process.pages[first + i].reset();
    }
  }

  // Maps, writes, reads back, discards and unmaps areas that nobody else knows.
  void work_apart() {
    Core& core = hardware().core(3);
    Mm& mm = *spaces_[0];
    load_on(mm, core);
    while (done_ < operations_) {
      VirtAddr area;
      const std::uint64_t pages = 1 + noise_.below(6);
      if (mmap(mm, {{}, false, pages, kReadWrite, noise_.below(4) == 0}, area) != Errno::ok) say("no room apart");
      const std::uint64_t mark = noise_.next();
      for (std::uint64_t page = 0; page < pages; ++page) touch(core, area + page * kPageSize, mark + page);
      for (std::uint64_t page = 0; page < pages; ++page) expect(core, area + page * kPageSize, mark + page);
      const PageRange all = pages_of(area, pages * kPageSize);
      if (noise_.below(2) == 0) {
        if (madvise_dontneed(mm, all) != Errno::ok) say("DONTNEED apart");
        touch(core, area, mark);
        expect(core, area, mark);
      }
      if (munmap(mm, all) != Errno::ok) say("munmap apart");
      std::uint64_t value = 0;
      if (core.read(area, 8, value) == AccessResult::ok) say("unmapped memory is read");
    }
    noise_done_ = true;
  }
  void touch(Core& core, VirtAddr address, std::uint64_t value) {
    if (core.write(address, 8, value) != AccessResult::ok) say("cannot write apart");
  }
  void expect(Core& core, VirtAddr address, std::uint64_t wanted) {
    std::uint64_t value = 0;
    if (core.read(address, 8, value) != AccessResult::ok || value != wanted) say("lost a write apart");
  }

  std::string kernel_;
  RandomStream random_;
  RandomStream noise_;
  unsigned operations_;
  std::uint64_t frames_;
  unsigned done_ = 0;
  bool noise_done_ = false;
  std::optional<Mutex> turn_;
  std::vector<Mm*> spaces_;
  std::vector<Expected> expected_;
  std::uint64_t objects_ = 0;
  struct File {
    std::uint64_t id = 0;
    std::uint64_t pages = 0;
    bool on_disk = false;
  };
  std::map<std::uint64_t, File> files_;
  std::map<std::pair<std::uint64_t, std::uint64_t>, std::uint64_t> shared_;
  std::uint64_t compared_ = 0;
  Time ended_;
  std::uint64_t steps_ = 0;
  std::string story_;
  std::string audit_;
};

// One task in one process; the machine is checked for consistency before the process ends and after.
void in_one_process(std::string_view kernel, const std::function<void(Mm&, Core&)>& body) {
  machine().reset();
  Mm* mm = nullptr;
  std::string before;
  const RunEnd end = mm_world().run(kernel,
                                    {{"app", 0,
                                      [&] {
                                        Core& core = hardware().core(0);
                                        load_on(*mm, core);
                                        body(*mm, core);
                                        before = audit(*mm_world().system);
                                        if (!mm->torn_down) mmput(*mm);
                                      }}},
                                    [&] { mm = &mm_world().system->create("app"); });
  CHECK(end == RunEnd::quiet);
  CHECK(machine().arbiter().unfinished().empty());
  CHECK(before == "");
  CHECK(audit(*mm_world().system) == "");
  CHECK(mm->freed);
  CHECK(hardware().memory().free_frames() + (mm_world().system->zero_page_if_any() == kNoPfn ? 0 : 1) ==
        hardware().memory().frames());
  machine().reset();
}

}  // namespace

TEST_CASE("memory holds what was written: random operations of several processes on four cores") {
  for (const std::string_view kernel : {"v3.2", "v5.5", "v6.10"})
    for (std::uint64_t seed = 1; seed <= 6; ++seed) {
      Storm storm(kernel, seed, 2000);
      const std::string story = storm.play();
      INFO(kernel << " seed " << seed);
      CHECK(story == "");
      CHECK(storm.compared() > 8000);
    }
}

TEST_CASE("memory holds what was written when frames are short, too") {
  for (const std::string_view kernel : {"v3.2", "v6.1"})
    for (std::uint64_t seed = 45; seed <= 50; ++seed) {
      const std::string story = Storm(kernel, seed, 2000, 110).play();
      INFO(kernel << " seed " << seed);
      CHECK(story == "");
    }
}

TEST_CASE("a run that is stopped anywhere leaves nothing behind: the next one is the same to the step") {
  for (const std::string_view kernel : {"v3.2", "v6.10"}) {
    Storm first(kernel, 7, 300);
    CHECK(first.play() == "");
    for (std::uint64_t stop = 1; stop < first.steps(); stop += 1 + first.steps() / 60) {
      Storm stopped(kernel, 7, 300);
      CHECK(stopped.play({kForever, stop}) == "limit");
      Storm again(kernel, 7, 300);
      CHECK(again.play() == "");
      CHECK(again.steps() == first.steps());
      CHECK(again.ended() == first.ended());
    }
  }
}

TEST_CASE("out of memory is an answer, and nothing leaks") {
  in_one_process("v6.10", [](Mm& mm, Core& core) {
    VirtAddr area;
    const std::uint64_t pages = hardware().memory().frames() + 10;
    CHECK(mmap(mm, {{}, false, 1ULL << 36, kReadWrite, false}, area) == Errno::enomem);
    CHECK(mmap(mm, {{}, false, UINT64_MAX, kReadWrite, false}, area) == Errno::enomem);
    CHECK(mmap(mm, {{}, false, 0, kReadWrite, false}, area) == Errno::einval);
    CHECK(mmap(mm, {{}, false, pages, kReadWrite, false}, area) == Errno::ok);
    std::uint64_t written = 0;
    while (core.write(area + written * kPageSize, 8, written) == AccessResult::ok) ++written;
    CHECK(written > hardware().memory().frames() - 30);
    CHECK(handle_fault(mm, (area + written * kPageSize).page(), true) == FaultResult::out_of_memory);
    CHECK(audit(mm.system) == "");
    // A move needs tables at its new place, fork a root at least: both give up and leave everything as it was.
    VirtAddr moved;
    CHECK(mremap(mm, {pages_of(area, kPageSize), 1, true, true, {0x20'0000'0000}}, moved) == Errno::enomem);
    Mm& child = mm.system.create("child");
    CHECK(fork(mm, child) == Errno::enomem);
    CHECK(audit(mm.system) == "");
    mmput(child);
    std::uint64_t value = 1;
    CHECK(core.read(area, 8, value) == AccessResult::ok);
    CHECK(value == 0);
    CHECK(core.read(area + (written - 1) * kPageSize, 8, value) == AccessResult::ok);
    CHECK(value == written - 1);
    // Copy-on-write without a frame for the copy.
    CHECK(munmap(mm, pages_of(area + (written - 20) * kPageSize, 20 * kPageSize)) == Errno::ok);
    Mm& second = mm.system.create("second");
    (void)fork(mm, second);
    while (hardware().memory().allocate(FrameUse::kernel, "hog") != kNoPfn) {
    }
    CHECK(core.write(area, 8, 5) == AccessResult::fault);
    CHECK(audit(mm.system) == "");
    for (std::uint64_t frame = 0; frame < hardware().memory().frames(); ++frame)
      if (hardware().memory().frame({frame}).use == FrameUse::kernel) hardware().memory().put({frame});
    CHECK(core.write(area, 8, 5) == AccessResult::ok);
    mmput(second);
  });
}

TEST_CASE("mremap across page tables: to a place that needs two, and back when there is no frame for the second") {
  in_one_process("v6.10", [](Mm& mm, Core& core) {
    PhysicalMemory& memory = hardware().memory();
    constexpr std::uint64_t kTable = kTableEntries * kPageSize;
    const VirtAddr from{0x10'0000'0000 + kTable - 2 * kPageSize};
    const VirtAddr to{0x10'1000'0000 + kTable - 3 * kPageSize};
    VirtAddr area;
    CHECK(mmap(mm, {from, true, 4, kReadWrite, false}, area) == Errno::ok);
    for (std::uint64_t page = 0; page < 4; ++page)
      CHECK(core.write(from + page * kPageSize, 8, page) == AccessResult::ok);
    const auto intact = [&](VirtAddr start) {
      for (std::uint64_t page = 0; page < 4; ++page) {
        std::uint64_t value = 99;
        if (core.read(start + page * kPageSize, 8, value) != AccessResult::ok || value != page) return false;
      }
      return true;
    };
    // Frames for a part of the tables only.
    const VirtAddr far{0x20'0000'0000 + kTable - 2 * kPageSize};
    unsigned refused = 0;
    for (std::uint64_t frames_left = 0; frames_left < 4; ++frames_left) {
      std::vector<Pfn> hog;
      while (memory.free_frames() > frames_left) hog.push_back(memory.allocate(FrameUse::kernel, "hog"));
      const Errno got = mremap(mm, {pages_of(from, 4 * kPageSize), 4, true, true, far}, area);
      for (const Pfn frame : hog) memory.put(frame);
      CHECK(audit(mm.system) == "");
      CHECK(intact(got == Errno::ok ? far : from));
      refused += got == Errno::enomem ? 1 : 0;
      if (got == Errno::ok) CHECK(mremap(mm, {pages_of(far, 4 * kPageSize), 4, true, true, from}, area) == Errno::ok);
    }
    CHECK(refused == 3);
    CHECK(mremap(mm, {pages_of(from, 4 * kPageSize), 4, true, true, to}, area) == Errno::ok);
    CHECK(intact(to));
  });
}

TEST_CASE("several CPUs fault on one page at once: one wins, nothing is lost, nothing leaks") {
  unsigned lost_races = 0;
  for (const std::string_view kernel : {"v3.2", "v6.10"})
    for (std::uint64_t seed = 1; seed <= 30; ++seed) {
      machine().reset();
      machine().arbiter().set_stretch(200, seed);
      Mm* mm = nullptr;
      Mm* child = nullptr;
      VirtAddr area;
      unsigned wrong = 0;
      std::vector<TestTask> tasks;
      for (unsigned cpu = 0; cpu < 3; ++cpu)
        tasks.push_back({"", static_cast<int>(cpu), [&, cpu] {
                           Core& core = hardware().core(cpu);
                           load_on(*mm, core);
                           if (cpu == 0) {
                             mmap(*mm, {{}, false, 6, kReadWrite, false}, area);
                             VirtAddr second;
                             mmap(*mm, {area + 6 * kPageSize, false, 3, kReadWrite, true}, second);
                             for (std::uint64_t page = 0; page < 3; ++page)
                               core.write(area + page * kPageSize, 8, page);
                             fork(*mm, *child);
                             if (seed % 2 == 0) mmput(*child);  // then all of them keep the page
                           }
                           machine().arbiter().sleep_until(200_us);
                           // Pages 0 to 2 are shared with the child, 3 to 5 untouched, 6 to 8 of a shared object.
                           for (std::uint64_t page = 0; page < 9; ++page) {
                             const VirtAddr mine = area + page * kPageSize + 64 + cpu * 8;
                             std::uint64_t value = 0;
                             if ((seed + cpu) % 3 != 0) core.read(mine, 8, value);
                             core.write(mine, 8, cpu + 1);
                           }
                           machine().arbiter().sleep_until(400_us);
                           for (std::uint64_t page = 0; page < 9; ++page)
                             for (unsigned other = 0; other < 3; ++other) {
                               std::uint64_t value = 0;
                               core.read(area + page * kPageSize + 64 + other * 8, 8, value);
                               wrong += value == other + 1 ? 0 : 1;
                             }
                         }});
      const RunEnd end = mm_world().run(kernel, std::move(tasks), [&] {
        mm = &mm_world().system->create("app");
        child = &mm_world().system->create("child");
        machine().arbiter().bus().listen<FaultHandled>(
            [&](const FaultHandled& event, const Stamp&) { lost_races += event.how == "spurious" ? 1 : 0; });
      });
      CHECK(end == RunEnd::quiet);
      CHECK(wrong == 0);
      CHECK(audit(*mm_world().system) == "");
    }
  CHECK(lost_races > 100);
  machine().reset();
}

TEST_CASE("mmap takes the lowest gap that is large enough") {
  in_one_process("v6.10", [](Mm& mm, Core&) {
    VirtAddr area;
    CHECK(mmap(mm, {{}, false, 6, kReadWrite, false}, area) == Errno::ok);
    CHECK(munmap(mm, {area.page() + 1, area.page() + 2}) == Errno::ok);
    CHECK(munmap(mm, {area.page() + 3, area.page() + 5}) == Errno::ok);
    VirtAddr found;
    CHECK(mmap(mm, {{}, false, 2, kReadWrite, false}, found) == Errno::ok);
    CHECK(found == area + 3 * kPageSize);
    CHECK(mmap(mm, {{}, false, 1, kReadWrite, false}, found) == Errno::ok);
    CHECK(found == area + kPageSize);
    CHECK(mmap(mm, {{}, false, 1, kReadWrite, false}, found) == Errno::ok);
    CHECK(found == area + 6 * kPageSize);
    CHECK(mmap(mm, {area, false, 1, kReadWrite, false}, found) == Errno::ok);  // a wish that cannot be met
    CHECK(found == area + 7 * kPageSize);
    CHECK(mmap(mm, {area + 20 * kPageSize, false, 1, kReadWrite, false}, found) == Errno::ok);
    CHECK(found == area + 20 * kPageSize);
    CHECK(mm.vma_at(area.page()).pages == PageRange{area.page(), area.page() + 8});
  });
}

TEST_CASE("pages that are discarded while CPUs fault on them") {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    machine().reset();
    machine().arbiter().set_stretch(200, seed);
    Mm* mm = nullptr;
    VirtAddr area;
    unsigned faults = 0;
    std::vector<TestTask> tasks;
    tasks.push_back({"discard", 0, [&] {
                       load_on(*mm, hardware().core(0));
                       mmap(*mm, {{}, false, 2, kReadWrite, true}, area);
                       mmap(*mm, {area + 2 * kPageSize, false, 2, kReadWrite, false}, area);
                       area = {area.value - 2 * kPageSize};
                       machine().arbiter().sleep_until(50_us);
                       for (int round = 0; round < 60; ++round) {
                         const PageRange pages = pages_of(area, 4 * kPageSize);
                         if (round % 3 == 0) mprotect(*mm, pages, {true, false, false});
                         if (round % 3 == 0) mprotect(*mm, pages, kReadWrite);
                         madvise_dontneed(*mm, pages);
                       }
                     }});
    for (int cpu = 1; cpu < 4; ++cpu)
      tasks.push_back({"fault", cpu,
                       [&, cpu] {
                         Core& core = hardware().core(static_cast<unsigned>(cpu));
                         load_on(*mm, core);
                         for (std::uint64_t i = 0; i < 200; ++i) {
                           std::uint64_t value = 0;
                           const VirtAddr address = area + i % 4 * kPageSize;
                           if (core.read(address, 8, value) != AccessResult::ok) ++faults;
                           core.write(address, 8, 1);  // refused while it is read-only
                         }
                       },
                       50_us});
    const RunEnd end = mm_world().run("v6.10", std::move(tasks), [&] { mm = &mm_world().system->create("app"); });
    CHECK(end == RunEnd::quiet);
    CHECK(machine().arbiter().unfinished().empty());
    CHECK(faults == 0);
    CHECK(audit(*mm_world().system) == "");
  }
  machine().reset();
}

TEST_CASE("a reference of a driver: copied away or kept, as the kernel has it") {
  for (const auto& [kernel, copies] : {std::pair{"v3.2", 0}, {"v5.9", 1}, {"v6.10", 0}}) {
    in_one_process(kernel, [copies = copies](Mm& mm, Core& core) {
      VirtAddr area;
      CHECK(mmap(mm, {{}, false, 2, kReadWrite, false}, area) == Errno::ok);
      CHECK(core.write(area, 8, 1) == AccessResult::ok);
      Pfn frame;
      Pte entry;
      CHECK(get_user_page(mm, area.page(), true, frame, entry) == Errno::ok);
      CHECK(hardware().memory().frame(frame).references == 2);
      CHECK(mprotect(mm, one_page(area.page()), {true, false, false}) == Errno::ok);
      CHECK(mprotect(mm, one_page(area.page()), kReadWrite) == Errno::ok);
      CHECK(core.write(area, 8, 2) == AccessResult::ok);
      CHECK(mm.counters.cow_copies == static_cast<std::uint64_t>(copies));
      CHECK(get_user_page(mm, (area + 2 * kPageSize).page(), false, frame, entry) == Errno::efault);
      hardware().memory().put(mm.peek(area.page()).frame() == entry.frame() && copies == 0 ? entry.frame() : frame);
      CHECK(lookup_pte(mm, (area + kPageSize).page()).none());
    });
  }
}

TEST_CASE("beyond the end of a shared object there is nothing") {
  in_one_process("v6.10", [](Mm& mm, Core& core) {
    VirtAddr area;
    CHECK(mmap(mm, {{}, false, 2, kReadWrite, true}, area) == Errno::ok);
    CHECK(mremap(mm, {pages_of(area, 2 * kPageSize), 3}, area) == Errno::ok);
    CHECK(core.write(area + kPageSize, 8, 1) == AccessResult::ok);
    CHECK(core.write(area + 2 * kPageSize, 8, 1) == AccessResult::fault);
  });
}

TEST_CASE("two discards of the same page: the second returns only when no CPU can read the old page") {
  // Both find the entry gone or going; the second has nothing to flush of its own.
  const auto stale_reads = [](std::string_view kernel) {
    unsigned stale = 0;
    for (std::uint64_t seed = 1; seed <= 40; ++seed) {
      machine().reset();
      machine().arbiter().set_stretch(400, seed);
      Mm* mm = nullptr;
      VirtAddr area;
      const auto discard = [&] { madvise_dontneed(*mm, pages_of(area, 4 * kPageSize)); };
      mm_world().run(kernel,
                     {{"first", 0,
                       [&] {
                         load_on(*mm, hardware().core(0));
                         mmap(*mm, {{}, false, 4, kReadWrite, false}, area);
                         for (std::uint64_t page = 0; page < 4; ++page)
                           hardware().core(0).write(area + page * kPageSize, 8, 1);
                         machine().arbiter().sleep_until(100_us);
                         discard();
                       }},
                      {"second", 1,
                       [&] {
                         load_on(*mm, hardware().core(1));
                         std::uint64_t value = 0;
                         hardware().core(1).read(area, 8, value);  // into this core's TLB
                         machine().arbiter().sleep_until(100_us + Time{seed * 50'000});
                         discard();
                         hardware().core(1).read(area, 8, value);
                         stale += value != 0 ? 1 : 0;
                       },
                       50_us}},
                     [&] { mm = &mm_world().system->create("app"); });
    }
    machine().reset();
    return stale;
  };
  CHECK(stale_reads("v3.2") > 0);
  CHECK(stale_reads("v6.10") == 0);
}

TEST_CASE("a running CPU and munmap: what is read is the old page or a fault, never somebody else's") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    machine().reset();
    machine().arbiter().set_stretch(100, seed);
    Mm* mm = nullptr;
    VirtAddr area;
    unsigned wrong = 0;
    unsigned read = 0;
    mm_world().run("v6.10",
                   {{"app", 0,
                     [&] {
                       Core& core = hardware().core(0);
                       load_on(*mm, core);
                       for (int round = 0; round < 20; ++round) {
                         VirtAddr where;
                         mmap(*mm, {area, area.value != 0, 1, kReadWrite, false}, where);
                         area = where;
                         core.write(area, 8, 7);
                         machine().arbiter().sleep_until(machine().arbiter().now() + 3_us);
                         munmap(*mm, one_page(area.page()));
                         const Pfn other = hardware().memory().allocate(FrameUse::kernel, "other");
                         hardware().memory().clear(other);
                         machine().arbiter().step(2_us);
                         hardware().memory().put(other);
                       }
                       area = {};
                     }},
                    {"reader", 1,
                     [&] {
                       Core& core = hardware().core(1);
                       load_on(*mm, core);
                       while (area.value != 0) {
                         std::uint64_t value = 7;
                         if (core.read(area, 8, value) == AccessResult::ok) ++read;
                         wrong += value == 7 || value == 0 ? 0 : 1;  // 0: mapped anew, not yet written
                         machine().arbiter().step(100_ns);
                       }
                     },
                     10_us}},
                   [&] { mm = &mm_world().system->create("app"); });
    CHECK(wrong == 0);
    CHECK(read > 0);
    CHECK(audit(*mm_world().system) == "");
  }
  machine().reset();
}

TEST_CASE("the audit sees what is wrong") {
  in_one_process("v6.10", [](Mm& mm, Core& core) {
    VirtAddr area;
    CHECK(mmap(mm, {{}, false, 4, kReadWrite, false}, area) == Errno::ok);
    CHECK(core.write(area, 8, 1) == AccessResult::ok);
    std::uint64_t value = 0;
    CHECK(core.read(area + kPageSize, 8, value) == AccessResult::ok);
    const Vpn page = area.page();
    const Pte good = mm.peek(page);
    const Pte zero = mm.peek(page + 1);
    PhysicalMemory& memory = hardware().memory();
    const auto reported = [&](std::string_view word) { return audit(mm.system).find(word) != std::string::npos; };

    ++memory.frame(good.frame()).mappings;
    CHECK(reported("mappings"));
    --memory.frame(good.frame()).mappings;
    memory.get(good.frame());
    CHECK(reported("references"));
    memory.put(good.frame());
    mm.table.write(page + 1, {zero.bits | Pte::kWritable});
    CHECK(reported("zero page is writable"));
    mm.table.write(page + 1, zero);
    mm.table.write(page, {});
    CHECK(reported("counter"));
    mm.table.write(page, {1ULL << 40 | Pte::kPresent});
    CHECK(reported("none that we make"));
    mm.table.write(page, good);
    const VmaMap vmas = mm.vmas;
    mm.vmas.clear();
    CHECK(reported("without a VMA"));
    mm.vmas = vmas;
    const Pfn lost = memory.allocate(FrameUse::anonymous, "nobody");
    CHECK(reported("1 references, 0 holders"));
    memory.put(lost);
    CHECK(audit(mm.system) == "");
  });
}
