// The probe: a well-behaved subscriber until a script says otherwise.
#include "models/devices/probe/probe.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "models/devices/test_world.hpp"

using namespace secmmu;
using namespace secmmu::literals;
using namespace secmmu::testing;

namespace {

ProbeDevice& probe() { return device_world().probe; }
std::int64_t count(std::string_view counter) { return DeviceRun::counter(probe(), counter); }
void attach(const char* name) { CHECK(probe().attach(DeviceRun::mm(name)) == Errno::ok); }

}  // namespace

TEST_CASE("probe: it fills by a look at the page table and faults for what is not there") {
  DeviceRun run;
  std::uint64_t seen = 0;
  run.play([&] { attach("a"); }, {{"engine", -1, [&] {
                                     CHECK(DeviceRun::write(probe(), 0, "a", 0, 5) == Errno::ok);
                                     CHECK(DeviceRun::read(probe(), 0, "a", 0, &seen) == Errno::ok);
                                     CHECK(DeviceRun::read(probe(), 0, "a", 40) == Errno::efault);
                                   }}});
  CHECK(seen == 5);
  CHECK(count("hits") == 2);
  CHECK(count("faults") == 2);
  CHECK(count("valid_entries") == 1);
  CHECK(run.results == std::vector<Errno>{Errno::ok, Errno::efault});
}

TEST_CASE("probe: the end of each access is told: a hit, a fault with its value, an error") {
  DeviceRun run;
  run.play([&] { attach("a"); }, {{"engine", -1, [&] { DeviceRun::one_of_each(probe()); }}});
  CHECK(run.accesses == DeviceRun::kOneOfEach);
}

TEST_CASE("probe: a start drops the range, and a fill waits for the range's end") {
  DeviceRun run;
  Time second;
  run.play([&] { attach("a"); },
           {{"engine", -1,
             [&] {
               for (std::uint64_t page = 0; page < 4; ++page)
                 CHECK(DeviceRun::write(probe(), 0, "a", page, page) == Errno::ok);
               machine().arbiter().step(110_us);  // the range is open now
               std::uint64_t seen = 0;
               CHECK(DeviceRun::read(probe(), 0, "a", 0, &seen) == Errno::ok);
               CHECK(DeviceRun::now() < DeviceRun::start() + 150_us);  // outside it: still there
               CHECK(DeviceRun::read(probe(), 0, "a", 1, &seen) == Errno::ok);
               CHECK(seen == 1);
               second = DeviceRun::now();
             }},
            {"kernel", 2, [&] { DeviceRun::hold_open("a", DeviceRun::pages(1, 3), 100_us); }, 100_us}});
  CHECK(second > DeviceRun::start() + 200_us);
  CHECK(count("zapped") == 2);
  CHECK(count("retries") == 1);
  CHECK(count("callbacks") == 2);
}

TEST_CASE("probe: the end of the process drops everything, and no new translation is made") {
  DeviceRun run;
  Errno result = Errno::ok;
  run.play([&] { attach("a"); }, {{"engine", -1,
                                   [&] {
                                     CHECK(DeviceRun::write(probe(), 0, "a", 0, 5) == Errno::ok);
                                     machine().arbiter().step(200_us);
                                     result = DeviceRun::read(probe(), 0, "a", 0);
                                   }},
                                  {"exit", 2, [&] { mmput(DeviceRun::mm("a")); }, 100_us}});
  CHECK(result == Errno::esrch);
  CHECK(count("valid_entries") == 0);
  CHECK(run.detached == std::vector<std::string>{"a"});
}

TEST_CASE("probe: after it was given up it makes no translation that nobody would tell it of") {
  DeviceRun run;
  Errno result = Errno::ok;
  run.play([&] { attach("a"); }, {{"engine", -1,
                                   [&] {
                                     CHECK(DeviceRun::write(probe(), 0, "a", 0, 5) == Errno::ok);
                                     machine().arbiter().step(200_us);
                                     result = DeviceRun::read(probe(), 0, "a", 0);
                                   }},
                                  {"leaver", 2, [&] { probe().detach(DeviceRun::mm("a")); }, 100_us}});
  CHECK(result == Errno::esrch);
  CHECK(count("valid_entries") == 0);
  CHECK(run.detached == std::vector<std::string>{"a"});
}

TEST_CASE("probe: when it is given up while a fill waits for a range, nobody hangs") {
  for (const std::string kernel : {"v6.10", "v3.2"})
    for (unsigned at = 0; at < 40; ++at) {
      CAPTURE(kernel);
      CAPTURE(at);
      DeviceRun run(kernel);
      Errno first = Errno::ok;
      Errno second = Errno::ok;
      run.play([&] { attach("a"); },
               {{"kernel", 2, [&] { DeviceRun::hold_open("a", DeviceRun::pages(0, 1), 30_us); }},
                {"engine", -1,
                 [&] {
                   first = DeviceRun::read(probe(), 0, "a", 9);
                   machine().arbiter().step(100_us);
                   second = DeviceRun::read(probe(), 0, "a", 9);
                 },
                 1_us},
                {"leaver", 3, [&] { probe().detach(DeviceRun::mm("a")); }, Time{at * 1'000'000}}});
      CHECK((first == Errno::ok || first == Errno::esrch));
      CHECK(second == Errno::esrch);
      CHECK(count("valid_entries") == 0);
    }
}

TEST_CASE("probe: attaching twice is refused, two processes are kept apart") {
  DeviceRun run;
  std::uint64_t seen = 1;
  run.play(
      [&] {
        attach("a");
        attach("b");
        CHECK(probe().attach(DeviceRun::mm("a")) == Errno::eexist);
      },
      {{"engine", -1,
        [&] {
          CHECK(DeviceRun::write(probe(), 0, "a", 0, 5) == Errno::ok);
          CHECK(DeviceRun::read(probe(), 1, "b", 0, &seen) == Errno::ok);
          machine().arbiter().step(100_us);
          CHECK(count("valid_entries") == 1);  // b's is gone, a's is not
        }},
       {"kernel", 2, [&] { CHECK(munmap(DeviceRun::mm("b"), DeviceRun::pages(0, 4)) == Errno::ok); }, 50_us}});
  CHECK(seen == 0);
}

TEST_CASE("probe: a script replaces the default, and then it has the scripted callbacks only") {
  DeviceRun run;
  std::vector<std::string> heard;
  probe().set_script(Callback::start, [&](ProbeDevice::CallbackContext& context) {
    heard.push_back(fmt::format("{} {}", context.callback == Callback::start, context.pages.pages()));
  });
  run.play(
      [&] { attach("a"); },
      {{"engine", -1, [&] { CHECK(DeviceRun::write(probe(), 0, "a", 0, 5) == Errno::ok); }},
       {"kernel", 2, [&] { CHECK(madvise_dontneed(DeviceRun::mm("a"), DeviceRun::pages(0, 4)) == Errno::ok); }, 50_us},
       {"exit", 2, [&] { mmput(DeviceRun::mm("a")); }, 100_us}});
  CHECK(heard.size() >= 1);
  CHECK(heard.front() == "true 4");
  CHECK(count("callbacks") == static_cast<std::int64_t>(heard.size()));  // neither end nor release
  CHECK(count("zapped") == 0);
  CHECK(count("valid_entries") == 1);  // it does not let go
  CHECK(run.detached.empty());
}

TEST_CASE("probe: what a script answers reaches the kernel") {
  DeviceRun run;
  Errno blockable = Errno::ok;
  Errno impatient = Errno::ok;
  bool young = false;
  std::uint64_t asked = 0;
  probe().set_script(Callback::start, [&](ProbeDevice::CallbackContext& context) {
    if (!context.blockable) context.result = Errno::eagain;
  });
  probe().set_script(Callback::test_young, [&](ProbeDevice::CallbackContext& context) {
    ++asked;
    context.young = context.pages.first == kBuffer.page() + 1;
  });
  run.play([&] { attach("a"); }, {{"kernel", 2, [&] {
                                     Mm& mm = DeviceRun::mm("a");
                                     InvalidateRange range{&mm, DeviceRun::pages(0, 1)};
                                     blockable = device_world().notifier.invalidate_range_start(range);
                                     if (blockable == Errno::ok) device_world().notifier.invalidate_range_end(range);
                                     InvalidateRange other{&mm, DeviceRun::pages(0, 1)};
                                     other.blockable = false;
                                     impatient = device_world().notifier.invalidate_range_start(other);
                                     CHECK_FALSE(device_world().notifier.test_young(mm, kBuffer.page()));
                                     young = device_world().notifier.test_young(mm, kBuffer.page() + 1);
                                   }}});
  CHECK(blockable == Errno::ok);
  CHECK(impatient == Errno::eagain);
  CHECK(young);
  CHECK(asked == 2);
}

TEST_CASE("probe: a subscription freed in a callback is reported at the next callback") {
  DeviceRun run;
  std::uint64_t freed = 0;
  std::uint64_t callbacks = 0;
  bool freed_before_callback = false;
  Bus& bus = machine().arbiter().bus();
  bus.listen<SubscriptionFreed>([&](const SubscriptionFreed&, const Stamp&) { ++freed; });
  bus.listen<CallbackBegin>([&](const CallbackBegin&, const Stamp&) {
    ++callbacks;
    freed_before_callback = freed_before_callback || freed != 0;
  });
  probe().set_script(Callback::start, [](ProbeDevice::CallbackContext& context) { context.free_subscription(); });
  run.play([&] { attach("a"); }, {{"kernel", 2, [&] {
                                     for (int i = 0; i < 3; ++i)
                                       CHECK(madvise_dontneed(DeviceRun::mm("a"), DeviceRun::pages(0, 4)) == Errno::ok);
                                   }}});
  CHECK(freed == 1);  // once, though the callback ran on
  CHECK(callbacks == 3);
  CHECK(freed_before_callback);
}

TEST_CASE("probe: a reset keeps the scripts and nothing else") {
  DeviceRun run;
  std::uint64_t heard = 0;
  probe().set_script(Callback::start, [&](ProbeDevice::CallbackContext& context) {
    ++heard;
    context.zap();
  });
  for (int round = 1; round <= 2; ++round) {
    run.play([&] { attach("a"); },
             {{"engine", -1, [&] { CHECK(DeviceRun::write(probe(), 0, "a", 0, 5) == Errno::ok); }},
              {"kernel", 2, [&] { CHECK(madvise_dontneed(DeviceRun::mm("a"), DeviceRun::pages(0, 4)) == Errno::ok); },
               50_us}});
    CHECK(heard == static_cast<std::uint64_t>(round));
    CHECK(count("zapped") == 1);
    CHECK(count("callbacks") == 1);
  }
  probe().clear_scripts();
}
