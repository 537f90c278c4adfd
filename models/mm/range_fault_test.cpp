#include "models/mm/range_fault.hpp"

#include <doctest/doctest.h>

#include <functional>
#include <string>

#include "models/mm/test_world.hpp"

using namespace secmmu;
using namespace secmmu::testing;

namespace {

constexpr VirtAddr kArea{0x7f00'0000'0000};
const Vpn kFirst = kArea.page();

class Mirror final : public IntervalSubscription {
 public:
  const std::string& name() const override { return name_; }
  bool invalidate(const InvalidateRange&, std::uint64_t sequence) override {
    if (mm_world().system != nullptr) mm_world().notifier.set_sequence(*this, sequence);
    return true;
  }

 private:
  std::string name_ = "mirror";
};

struct Look {
  Errno answer = Errno::ok;
  std::string found;  // a letter for each page: r, w, - (nothing), x (no page can be)
  std::uint64_t faults = 0;
};

// One look at pages [first, end) of eight pages of these rights, prepared by `prepare`.
Look look(std::uint64_t first, std::uint64_t end, RangeFault request, Rights rights,
          const std::function<void(Mm&)>& prepare = {}, const std::function<void(Mirror&, Mm&)>& between = {}) {
  Look seen;
  Mirror mirror;
  mm_world().run("v6.10",
                 {{"look", 0,
                   [&] {
                     Mm& mm = *mm_world().system->spaces().front();
                     VirtAddr at{0};
                     MmapRequest area{.at = kArea, .fixed = true, .pages = 8, .rights = {true, true, false}};
                     mmap(mm, area, at);
                     if (prepare) prepare(mm);
                     if (!(rights == area.rights)) mprotect(mm, {kFirst, kFirst + 8}, rights);
                     mm_world().notifier.interval_insert(mirror, mm, VirtAddr{0}, 1ULL << 47);
                     request.pages = {kFirst + first, kFirst + end};
                     request.subscription = &mirror;
                     request.sequence = mm_world().notifier.read_begin(mirror);
                     if (between) between(mirror, mm);
                     const std::uint64_t before = mm.counters.faults;
                     mm.mmap_lock().lock_read();
                     seen.answer = range_fault(mm, request);
                     mm.mmap_lock().unlock_read();
                     seen.faults = mm.counters.faults - before;
                     mm_world().notifier.interval_remove(mirror);
                   }}},
                 [] { mm_world().system->create("app"); });
  for (const RangePage& page : request.found)
    seen.found += page.error ? 'x' : (!page.valid ? '-' : (page.writable ? 'w' : 'r'));
  return seen;
}
RangeFault asking(bool fault, bool write) {
  RangeFault request;
  request.all = {fault, write};
  return request;
}
void touch(Mm& mm, std::uint64_t page, bool write) { handle_fault(mm, kFirst + page, write); }

constexpr Rights kReadWrite{true, true, false};
constexpr Rights kRead{true, false, false};

}  // namespace

TEST_CASE("range fault: a look without a request faults nothing and tells of each page what is there") {
  const Look seen = look(0, 10, asking(false, false), kReadWrite, [](Mm& mm) {
    touch(mm, 0, true);
    touch(mm, 1, false);
  });
  CHECK(seen.answer == Errno::ok);
  CHECK(seen.found == "wr------xx");
  CHECK(seen.faults == 0);
}

TEST_CASE("range fault: what is asked for comes in, and is writable as the page table says") {
  const Look read = look(0, 3, asking(true, false), kReadWrite, [](Mm& mm) { touch(mm, 1, true); });
  CHECK(read.answer == Errno::ok);
  CHECK(read.found == "rwr");
  const Look write = look(0, 3, asking(true, true), kReadWrite);
  CHECK(write.found == "www");
}

TEST_CASE("range fault: a fault takes the pages behind it along, to the end of its table's part") {
  RangeFault request;
  request.each = {{}, {true, true}, {}, {}};
  const Look seen = look(0, 4, request, kReadWrite, [](Mm& mm) { touch(mm, 0, false); });
  CHECK(seen.answer == Errno::ok);
  CHECK(seen.found == "rwww");
  CHECK(seen.faults == 3);
}

TEST_CASE("range fault: where no table is, one page that is asked for brings in all") {
  RangeFault request;
  request.each = {{}, {true, false}, {}};
  const Look seen = look(0, 3, request, kReadWrite);
  CHECK(seen.found == "rrr");
}

TEST_CASE("range fault: no mapping, no right to read, and a mapping that forbids writing") {
  CHECK(look(7, 9, asking(true, false), kReadWrite).answer == Errno::efault);
  CHECK(look(0, 1, asking(true, false), Rights{}).answer == Errno::efault);
  CHECK(look(0, 1, asking(true, true), Rights{}).answer == Errno::efault);
  CHECK(look(0, 1, asking(true, true), kRead).answer == Errno::eperm);
  CHECK(look(0, 1, asking(true, true), kRead, [](Mm& mm) { touch(mm, 0, true); }).answer == Errno::eperm);
  CHECK(look(0, 1, asking(true, false), kRead).found == "r");
  CHECK(look(0, 2, asking(false, false), Rights{}).found == "xx");
}

TEST_CASE("range fault: an invalidation since read_begin is answered with EBUSY before anything is looked at") {
  const Look seen = look(
      0, 1, asking(true, false), kReadWrite, [](Mm& mm) { touch(mm, 0, true); },
      [](Mirror&, Mm& mm) {
        madvise_dontneed(mm, {kFirst, kFirst + 1});
      });
  CHECK(seen.answer == Errno::ebusy);
  CHECK(seen.faults == 0);
}

TEST_CASE("range fault: its own copy on write moves the sequence, so the caller begins again") {
  const Look seen = look(0, 1, asking(true, true), kReadWrite, [](Mm& mm) { touch(mm, 0, false); });
  CHECK(seen.answer == Errno::ebusy);
  CHECK(seen.faults == 1);
}

TEST_CASE("range fault: of each page it tells how large its entry is") {
  RangeFault request;
  Mirror mirror;
  mm_world().run("v6.10",
                 {{"look", 0,
                   [&] {
                     Mm& mm = *mm_world().system->spaces().front();
                     VirtAddr at{0};
                     MmapRequest area{.at = kArea, .fixed = true, .pages = 513, .rights = kReadWrite};
                     mmap(mm, area, at);
                     madvise_huge(mm, {kFirst, kFirst + 513}, HugeAdvice::always);
                     touch(mm, 3, true);
                     touch(mm, 512, true);
                     request.pages = {kFirst + 510, kFirst + 513};
                     mm.mmap_lock().lock_read();
                     range_fault(mm, request);
                     mm.mmap_lock().unlock_read();
                   }}},
                 [] { mm_world().system->create("app"); });
  CHECK(request.found[0].order == 9);
  CHECK(request.found[1].order == 9);
  CHECK(request.found[1].frame.value == request.found[0].frame.value + 1);
  CHECK(request.found[2].valid);
  CHECK(request.found[2].order == 0);
}
