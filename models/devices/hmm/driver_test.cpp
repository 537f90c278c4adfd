// The HMM mirror's driver: how faults are resolved, what they ask for, and how mirrors come and go.
#include "models/devices/hmm/driver.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "models/devices/test_world.hpp"

using namespace secmmu;
using namespace secmmu::literals;
using namespace secmmu::testing;

namespace {

HmmDevice& hmm() { return device_world().hmm; }
std::int64_t count(std::string_view counter) { return DeviceRun::counter(hmm(), counter); }
void attach(const char* name) {
  const Errno result = hmm().attach(DeviceRun::mm(name));
  CHECK(result == Errno::ok);
}
TestTask engine(std::function<void()> body, Time at = {}) { return {"engine", -1, std::move(body), at}; }

}  // namespace

TEST_CASE("hmm: the end of each access is told: a hit, a fault with its value, an error") {
  DeviceRun run;
  run.play([] { attach("a"); }, {engine([] { DeviceRun::one_of_each(hmm()); })});
  CHECK(run.accesses == DeviceRun::kOneOfEach);
}

TEST_CASE("hmm: an entry is writable if the page table says so, after a read too") {
  DeviceRun run;
  run.play(
      [] {
        handle_fault(DeviceRun::mm("a"), kBuffer.page(), true);
        handle_fault(DeviceRun::mm("a"), kBuffer.page() + 1, false);
        attach("a");
      },
      {engine([] {
        for (std::uint64_t page = 0; page < 2; ++page) {
          DeviceRun::read(hmm(), 0, "a", page);
          DeviceRun::write(hmm(), 0, "a", page, 4);
        }
      })});
  CHECK(run.accesses == std::vector<std::string>{"0 r fault 0", "0 w hit 4", "1 r fault 0", "1 w fault 4"});
  CHECK(count("walks_interrupted") == 1);  // by its own copy on write, which dropped the entry of the zero page
  CHECK(count("dropped") == 1);
}

TEST_CASE("hmm: a write to memory that may only be read is EPERM, other errors are EFAULT") {
  DeviceRun run;
  run.play(
      [] {
        mprotect(DeviceRun::mm("a"), DeviceRun::pages(1, 2), {true, false, false});
        mprotect(DeviceRun::mm("a"), DeviceRun::pages(2, 3), {});
        attach("a");
      },
      {engine([] {
        DeviceRun::write(hmm(), 0, "a", 1, 4);
        DeviceRun::read(hmm(), 0, "a", 1);
        DeviceRun::write(hmm(), 0, "a", 2, 4);
        DeviceRun::read(hmm(), 0, "b", 1);
      })});
  CHECK(run.accesses == std::vector<std::string>{"1 w EPERM", "1 r fault 0", "2 w EFAULT", "1 r ESRCH"});
}

TEST_CASE("hmm: a mirror of some pages has no others") {
  DeviceRun run;
  Errno twice = Errno::ok;
  run.play(
      [&] {
        hmm().attach_pages(DeviceRun::mm("a"), DeviceRun::pages(2, 4));
        twice = hmm().attach(DeviceRun::mm("a"));
        attach("b");
      },
      {engine([] {
        DeviceRun::write(hmm(), 0, "a", 3, 4);
        DeviceRun::read(hmm(), 0, "a", 4);
        madvise_dontneed(DeviceRun::mm("a"), DeviceRun::pages(4, 8));  // nothing to this mirror
        DeviceRun::read(hmm(), 0, "a", 3);
        madvise_dontneed(DeviceRun::mm("a"), DeviceRun::pages(0, 8));
        DeviceRun::read(hmm(), 0, "a", 3);
      })});
  CHECK(twice == Errno::eexist);
  CHECK(run.accesses == std::vector<std::string>{"3 w fault 4", "4 r EFAULT", "3 r hit 4", "3 r fault 0"});
  CHECK(count("invalidations") == 1);
}

TEST_CASE("hmm: when it is given up it holds nothing, and it can be taken up again") {
  DeviceRun run;
  run.play([] { attach("a"); }, {engine([] {
             DeviceRun::write(hmm(), 0, "a", 3, 4);
             hmm().detach(DeviceRun::mm("a"));
             DeviceRun::read(hmm(), 0, "a", 3);
             attach("a");
             DeviceRun::read(hmm(), 0, "a", 3);
           })});
  CHECK(run.accesses == std::vector<std::string>{"3 w fault 4", "3 r ESRCH", "3 r fault 4"});
  CHECK(run.detached == std::vector<std::string>{"a"});
  CHECK(count("valid_entries") == 1);
}

TEST_CASE("hmm: after the end of the process nothing is held, and no fault begins") {
  DeviceRun run;
  run.play([] { attach("a"); }, {engine([] {
                                   DeviceRun::write(hmm(), 0, "a", 3, 4);
                                   machine().arbiter().step(200_us);
                                   DeviceRun::read(hmm(), 0, "a", 3);
                                 }),
                                 {"exit", 2, [] { mmput(DeviceRun::mm("a")); }, 100_us}});
  CHECK(run.accesses == std::vector<std::string>{"3 w fault 4", "3 r ESRCH"});
  CHECK(count("valid_entries") == 0);
  CHECK(DeviceRun::mm("a").freed);
}

TEST_CASE("hmm: a fault that began before the end of the process ends it") {
  DeviceRun run;
  run.play([] { attach("a"); }, {engine([] { DeviceRun::write(hmm(), 0, "a", 3, 4); }, 1_us),
                                 {"exit", 2, [] { mmput(DeviceRun::mm("a")); }, 3_us}});
  CHECK(run.quiet);
  CHECK(DeviceRun::mm("a").freed);
  CHECK(count("valid_entries") == 0);
}
