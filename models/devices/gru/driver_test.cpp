// The GRU's driver: how misses are resolved, what stops them, and how contexts and address spaces come and go.
#include "models/devices/gru/driver.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "models/devices/test_world.hpp"

using namespace secmmu;
using namespace secmmu::literals;
using namespace secmmu::testing;

namespace {

GruDevice& gru() { return device_world().gru; }
std::int64_t count(std::string_view counter) { return DeviceRun::counter(gru(), counter); }
void attach(const char* name) { CHECK(gru().attach(DeviceRun::mm(name)) == Errno::ok); }

}  // namespace

TEST_CASE("gru: a miss on a present page is resolved in the interrupt") {
  DeviceRun run;
  std::uint64_t seen = 1;
  run.play(
      [&] {
        DeviceRun::populate("a");
        attach("a");
      },
      {{"user", 1,
        DeviceRun::gru_user(0, "a", [&] { CHECK(DeviceRun::read(gru(), 0, "a", 3, &seen) == Errno::ok); })}});
  CHECK(seen == 0);
  CHECK(count("faults") == 1);
  CHECK(count("interrupts") == 1);
  CHECK(count("user_calls") == 0);
  CHECK(run.filled_in_interrupt);
  CHECK(run.atomic.empty());
}

TEST_CASE("gru: a miss on a page that is not there goes to the user thread, which may sleep") {
  DeviceRun run;
  run.play([&] { attach("a"); }, {{"user", 1, DeviceRun::gru_user(0, "a", [&] {
                                     CHECK(DeviceRun::write(gru(), 0, "a", 3, 7) == Errno::ok);
                                     std::uint64_t seen = 0;
                                     CHECK(DeviceRun::read(gru(), 0, "a", 3, &seen) == Errno::ok);
                                     CHECK(seen == 7);
                                   })}});
  CHECK(count("faults") == 1);
  CHECK(count("user_calls") == 1);
  CHECK_FALSE(run.filled_in_interrupt);
  CHECK(run.atomic.empty());
}

TEST_CASE("gru: the end of each access is told: a hit, a fault with its value, an error") {
  DeviceRun run;
  run.play([&] { attach("a"); }, {{"user", 1, DeviceRun::gru_user(0, "a", [&] { DeviceRun::one_of_each(gru()); })}});
  CHECK(run.accesses == DeviceRun::kOneOfEach);
}

TEST_CASE("gru: a write needs a page that is writable and dirty, whatever is present") {
  DeviceRun run;
  Pfn frame_before = kNoPfn;
  run.play(
      [&] {
        attach("a");
        CHECK(handle_fault(DeviceRun::mm("a"), kBuffer.page(), false) == FaultResult::resolved);  // the zero page
        frame_before = DeviceRun::mm("a").peek(kBuffer.page()).frame();
      },
      {{"user", 1, DeviceRun::gru_user(0, "a", [&] {
          std::uint64_t seen = 1;
          CHECK(DeviceRun::read(gru(), 0, "a", 0, &seen) == Errno::ok);
          CHECK(seen == 0);
          CHECK(DeviceRun::write(gru(), 0, "a", 0, 5) == Errno::ok);
          const Pte entry = DeviceRun::mm("a").peek(kBuffer.page());
          CHECK(entry.frame() != frame_before);
          CHECK(entry.writable());
          CHECK(entry.dirty());
        })}});
  CHECK(count("user_calls") == 1);  // of the write; the zero page was there
}

TEST_CASE("gru: an access without a mapping or a right ends with EFAULT and the context goes on") {
  DeviceRun run;
  run.play(
      [&] {
        attach("a");
        CHECK(mprotect(DeviceRun::mm("a"), DeviceRun::pages(1, 2), {true, false, false}) == Errno::ok);
        CHECK(munmap(DeviceRun::mm("a"), DeviceRun::pages(2, 3)) == Errno::ok);
      },
      {{"user", 1, DeviceRun::gru_user(0, "a", [&] {
          CHECK(DeviceRun::read(gru(), 0, "a", 1) == Errno::ok);
          CHECK(DeviceRun::write(gru(), 0, "a", 1, 1) == Errno::efault);
          CHECK(DeviceRun::read(gru(), 0, "a", 2) == Errno::efault);
          CHECK(DeviceRun::write(gru(), 0, "a", 0, 1) == Errno::ok);
        })}});
  CHECK(count("errors") == 2);
  CHECK(run.results == std::vector<Errno>{Errno::ok, Errno::efault, Errno::efault, Errno::ok});
}

TEST_CASE("gru: the interrupt only tries the mmap lock, and the user thread waits for it") {
  for (const bool rule : {true, false}) {
    CAPTURE(rule);
    DeviceRun run;
    gru().set_without(rule ? std::vector<std::string>{} : std::vector<std::string>{"interrupt-trylock"});
    run.play(
        [&] {
          DeviceRun::populate("a");
          attach("a");
        },
        {{"holder", 2,
          [&] {
            RwSemaphore& lock = DeviceRun::mm("a").mmap_lock();
            lock.lock_write();
            machine().arbiter().step(30_us);
            lock.unlock_write();
          }},
         {"user", 1, DeviceRun::gru_user(0, "a", [&] { CHECK(DeviceRun::read(gru(), 0, "a", 0) == Errno::ok); }),
          5_us}});
    CHECK(count("trylock_failed") == (rule ? 1 : 0));
    CHECK(count("user_calls") == (rule ? 1 : 0));
    CHECK(run.atomic.empty() == rule);
    CHECK(run.filled > DeviceRun::start() + 30_us);
  }
}

TEST_CASE("gru: a miss that meets an open range waits for its end") {
  DeviceRun run;
  run.play(
      [&] {
        DeviceRun::populate("a");
        attach("a");
      },
      {{"kernel", 2, [&] { DeviceRun::hold_open("a", DeviceRun::pages(0, 1), 50_us); }},
       // Another page of the same address space: the count knows no pages.
       {"user", 1, DeviceRun::gru_user(0, "a", [&] { CHECK(DeviceRun::read(gru(), 0, "a", 9) == Errno::ok); }),
        10_us}});
  CHECK(run.filled > DeviceRun::start() + 50_us);
  CHECK(run.filled < DeviceRun::start() + 70_us);
  CHECK(count("blocked_by_range") == 1);
  CHECK(count("user_calls") == 1);
  CHECK(count("retries") == 0);
  CHECK(count("range_active") == 0);
}

TEST_CASE("gru: ranges that overlap in time are counted") {
  DeviceRun run;
  run.play(
      [&] {
        DeviceRun::populate("a");
        attach("a");
      },
      {{"one", 2, [&] { DeviceRun::hold_open("a", DeviceRun::pages(0, 1), 40_us); }},
       {"two", 3, [&] { DeviceRun::hold_open("a", DeviceRun::pages(1, 2), 80_us); }, 10_us},
       {"user", 1, DeviceRun::gru_user(0, "a", [&] { CHECK(DeviceRun::read(gru(), 0, "a", 9) == Errno::ok); }),
        15_us}});
  CHECK(run.filled > DeviceRun::start() + 90_us);
}

TEST_CASE("gru: an open range of one process does not stop another's misses") {
  DeviceRun run;
  run.play(
      [&] {
        DeviceRun::populate("b");
        attach("a");
        attach("b");
      },
      {{"kernel", 2, [&] { DeviceRun::hold_open("a", DeviceRun::pages(0, 8), 50_us); }},
       {"user", 1, DeviceRun::gru_user(0, "b", [&] { CHECK(DeviceRun::read(gru(), 0, "b", 0) == Errno::ok); }),
        10_us}});
  CHECK(run.filled < DeviceRun::start() + 30_us);
  CHECK(count("blocked_by_range") == 0);
}

TEST_CASE("gru: without the wait a miss tries again and again, without the wake it waits for ever") {
  {
    DeviceRun run;
    gru().set_without({"wait-for-range-end"});
    run.play(
        [&] {
          DeviceRun::populate("a");
          attach("a");
        },
        {{"kernel", 2, [&] { DeviceRun::hold_open("a", DeviceRun::pages(0, 1), 50_us); }},
         {"user", 1, DeviceRun::gru_user(0, "a", [&] { CHECK(DeviceRun::read(gru(), 0, "a", 9) == Errno::ok); }),
          10_us}});
    CHECK(count("retries") > 50);
  }
  {
    DeviceRun run;
    run.must_end = false;
    gru().set_without({"wake-at-range-end"});
    run.play(
        [&] {
          DeviceRun::populate("a");
          attach("a");
        },
        {{"kernel", 2, [&] { DeviceRun::hold_open("a", DeviceRun::pages(0, 1), 50_us); }},
         {"user", 1, DeviceRun::gru_user(0, "a", [&] { DeviceRun::read(gru(), 0, "a", 9); }), 10_us}});
    CHECK_FALSE(run.quiet);
    const std::string words = machine().arbiter().explain_waiting();
    INFO(words);
    CHECK(words.find("open ranges of a") != std::string::npos);
  }
}

TEST_CASE("gru: a start purges what the device holds of the range, at the limit everything") {
  for (const std::uint64_t length : {2, 8}) {
    CAPTURE(length);
    DeviceRun run;
    run.play(
        [&] {
          DeviceRun::populate("a");
          attach("a");
        },
        {{"user", 1,
          DeviceRun::gru_user(0, "a",
                              [&] {
                                for (std::uint64_t page = 0; page < 16; ++page)
                                  CHECK(DeviceRun::read(gru(), 0, "a", page) == Errno::ok);
                                machine().arbiter().step(500_us);
                              })},
         {"kernel", 2, [&] { DeviceRun::hold_open("a", DeviceRun::pages(0, length), 1_us); }, 300_us}});
    CHECK(count("purges") == 1);
    CHECK(count("valid_entries") == (length == 8 ? 0 : 14));
  }
}

TEST_CASE("gru: an unloaded context comes back with its ASID, or with a fresh one if its pages changed") {
  for (const bool changed : {false, true}) {
    CAPTURE(changed);
    DeviceRun run;
    std::uint32_t first = 0;
    std::uint32_t second = 0;
    std::uint64_t seen = 0;
    run.play(
        [&] {
          DeviceRun::populate("a");
          attach("a");
        },
        {{"user", 1,
          DeviceRun::gru_user(0, "a",
                              [&] {
                                CHECK(DeviceRun::write(gru(), 0, "a", 0, 7) == Errno::ok);
                                first = gru().hardware.context(0).asid;
                                machine().arbiter().step(200_us);  // meanwhile: unloaded, and perhaps discarded
                                CHECK_FALSE(gru().hardware.context(0).loaded);
                                CHECK(DeviceRun::read(gru(), 0, "a", 0, &seen) == Errno::ok);
                                second = gru().hardware.context(0).asid;
                                CHECK(gru().hardware.context(0).loaded);
                              })},
         {"kernel", 2,
          [&] {
            Mm& mm = DeviceRun::mm("a");
            gru().unload(0, mm);
            if (changed) CHECK(madvise_dontneed(mm, DeviceRun::pages(0, 4)) == Errno::ok);
          },
          100_us}});
    CHECK(seen == (changed ? 0 : 7));
    CHECK((first == second) == !changed);
    CHECK(count("asids_retired") == (changed ? 1 : 0));
    CHECK(count("purges") == 0);
    CHECK(count("faults") == (changed ? 2 : 1));  // what it held is still there
  }
}

TEST_CASE("gru: a context that is not loaded can be unloaded, and so can one that was never used") {
  DeviceRun run;
  run.play([&] { attach("a"); }, {{"kernel", 2, [&] {
                                     gru().unload(0, DeviceRun::mm("a"));
                                     gru().unload(3, DeviceRun::mm("b"));
                                   }}});
  CHECK(count("faults") == 0);
}

TEST_CASE("gru: two processes are kept apart, and each is attached once") {
  DeviceRun run;
  std::uint64_t seen_a = 0;
  std::uint64_t seen_b = 0;
  run.play(
      [&] {
        attach("a");
        attach("b");
        CHECK(gru().attach(DeviceRun::mm("a")) == Errno::eexist);
      },
      {{"user", 1,
        DeviceRun::gru_user(0, "a",
                            [&] {
                              CHECK(DeviceRun::write(gru(), 0, "a", 0, 0xa) == Errno::ok);
                              machine().arbiter().step(200_us);
                              CHECK(DeviceRun::read(gru(), 0, "a", 0, &seen_a) == Errno::ok);
                            })},
       {"user", 2,
        DeviceRun::gru_user(1, "b",
                            [&] {
                              CHECK(DeviceRun::write(gru(), 1, "b", 0, 0xb) == Errno::ok);
                              machine().arbiter().step(200_us);
                              CHECK(DeviceRun::read(gru(), 1, "b", 0, &seen_b) == Errno::ok);
                            })},
       {"kernel", 3, [&] { CHECK(munmap(DeviceRun::mm("b"), DeviceRun::pages(4, 8)) == Errno::ok); }, 100_us}});
  CHECK(seen_a == 0xa);
  CHECK(seen_b == 0xb);
  CHECK(count("faults") == 2);
  CHECK(gru().hardware.context(0).asid != gru().hardware.context(1).asid);
}

TEST_CASE("gru: when a process is given up while a miss waits, its engine hears ESRCH and nobody hangs") {
  // The moment of the leaving goes through every stage of a miss.
  for (const std::string kernel : {"v6.10", "v3.2"})
    for (unsigned at = 0; at < 60; ++at) {
      CAPTURE(kernel);
      CAPTURE(at);
      DeviceRun run(kernel);
      std::vector<Errno> results;
      run.play([&] { attach("a"); }, {{"kernel", 2, [&] { DeviceRun::hold_open("a", DeviceRun::pages(0, 1), 30_us); }},
                                      {"user", 1,
                                       DeviceRun::gru_user(0, "a",
                                                           [&] {
                                                             results.push_back(DeviceRun::read(gru(), 0, "a", 9));
                                                             machine().arbiter().step(100_us);
                                                             results.push_back(DeviceRun::read(gru(), 0, "a", 9));
                                                           })},
                                      {"leaver", 3, [&] { gru().detach(DeviceRun::mm("a")); }, Time{at * 1'000'000}}});
      CHECK(results.size() == 2);
      if (results.size() != 2) continue;
      CHECK((results[0] == Errno::esrch || results[0] == Errno::ok));
      CHECK(results[1] == Errno::esrch);
      CHECK(run.detached == std::vector<std::string>{"a"});
      CHECK(count("valid_entries") == 0);
      CHECK(run.warnings.empty());
    }
}

TEST_CASE("gru: a process that ends closes its contexts after its pages are gone") {
  DeviceRun run;
  Errno result = Errno::ok;
  run.play([&] { attach("a"); }, {{"user", 1,
                                   DeviceRun::gru_user(0, "a",
                                                       [&] {
                                                         CHECK(DeviceRun::write(gru(), 0, "a", 0, 1) == Errno::ok);
                                                         machine().arbiter().step(500_us);
                                                         result = DeviceRun::read(gru(), 0, "a", 0);
                                                       })},
                                  {"exit", 2, [&] { mmput(DeviceRun::mm("a")); }, 200_us}});
  CHECK(result == Errno::esrch);
  CHECK(run.detached == std::vector<std::string>{"a"});
  CHECK(count("valid_entries") == 0);
}

TEST_CASE("gru: a process can come back after it was given up") {
  DeviceRun run;
  run.play(
      [&] {
        attach("a");
        gru().detach(DeviceRun::mm("a"));
        gru().detach(DeviceRun::mm("a"));  // nothing left to do
        attach("a");
      },
      {{"user", 1, DeviceRun::gru_user(0, "a", [&] { CHECK(DeviceRun::write(gru(), 0, "a", 0, 1) == Errno::ok); })}});
  CHECK(run.detached == std::vector<std::string>{"a"});
  CHECK(run.warnings.empty());
}

TEST_CASE("gru: ASIDs begin again without two processes meeting in one") {
  DeviceRun run;
  std::uint64_t wrong = 0;
  run.play(
      [&] {
        DeviceRun::populate("a");
        DeviceRun::populate("b");
        attach("a");
        attach("b");
      },
      {{"user", 1,
        DeviceRun::gru_user(0, "a",
                            [&] {
                              for (std::uint64_t i = 0; i < 400; ++i) {
                                std::uint64_t seen = 0;
                                CHECK(DeviceRun::write(gru(), 0, "a", i % 16, 0xa00 + i % 16) == Errno::ok);
                                CHECK(DeviceRun::read(gru(), 0, "a", i % 16, &seen) == Errno::ok);
                                wrong += seen == 0xa00 + i % 16 ? 0 : 1;
                                machine().arbiter().step(1_us);
                              }
                            })},
       {"user", 2,
        DeviceRun::gru_user(1, "b",
                            [&] {
                              for (std::uint64_t i = 0; i < 400; ++i) {
                                std::uint64_t seen = 0;
                                CHECK(DeviceRun::read(gru(), 1, "b", i % 16, &seen) == Errno::ok);
                                wrong += seen == 0 ? 0 : 1;
                                machine().arbiter().step(1_us);
                              }
                            })},
       // Each round takes one of them out of the hardware, and now and then something of it goes.
       {"kernel", 3, [&] {
          for (std::uint64_t i = 0; i < 60; ++i) {
            const bool first = i % 5 == 0;
            Mm& mm = DeviceRun::mm(first ? "a" : "b");
            gru().unload(first ? 0 : 1, mm);
            if (i % 5 != 4) DeviceRun::hold_open(first ? "a" : "b", DeviceRun::pages(8, 9), 100_ns);
            DeviceRun::sleep(7_us);
          }
        }}});
  CHECK(wrong == 0);
  CHECK(count("asid_wraps") > 2);
}

TEST_CASE("gru: an ASID from before a wrap is not handed out while the hardware knows it") {
  DeviceRun run;
  std::uint64_t seen = 0;
  std::string story;
  const auto tell = [&story](const char* who) {
    story += fmt::format("{} {}: {} {}, ", who, to_text(DeviceRun::now()), gru().hardware.context(0).asid,
                         gru().hardware.context(1).asid);
  };
  run.play(
      [&] {
        DeviceRun::populate("a");
        DeviceRun::populate("b");
        attach("a");
        attach("b");
      },
      {// Takes ASID 2 and keeps it over the wrap, fills, and is unloaded with its translations in the TLB.
       {"user", 1,
        DeviceRun::gru_user(0, "a",
                            [&] {
                              machine().arbiter().step(400_us);
                              CHECK(DeviceRun::write(gru(), 0, "a", 0, 0xa) == Errno::ok);
                              machine().arbiter().step(200_us);
                            }),
        5_us},
       // Uses up the rest and takes the first one after the wrap, then the next.
       {"user", 2,
        DeviceRun::gru_user(1, "b",
                            [&] {
                              machine().arbiter().step(1_us);
                              for (int i = 0; i < 5; ++i) {
                                machine().arbiter().step(50_us);
                                CHECK(DeviceRun::read(gru(), 1, "b", 8) == Errno::ok);
                              }
                              machine().arbiter().step(400_us);
                              CHECK(DeviceRun::read(gru(), 1, "b", 0, &seen) == Errno::ok);
                              tell("b");
                            })},
       {"kernel", 3, [&] {
          for (int i = 0; i < 5; ++i) {
            DeviceRun::sleep(50_us);
            tell("kernel");
            gru().unload(1, DeviceRun::mm("b"));
            DeviceRun::hold_open("b", DeviceRun::pages(8, 9), 100_ns);
          }
          DeviceRun::sleep(260_us);  // a has filled
          tell("kernel unloads");
          gru().unload(0, DeviceRun::mm("a"));
          gru().unload(1, DeviceRun::mm("b"));
          DeviceRun::hold_open("b", DeviceRun::pages(8, 9), 100_ns);
        }}});
  INFO(story);
  CHECK(count("asid_wraps") == 1);
  CHECK(seen == 0);
}

TEST_CASE("gru: every rule can be switched off by its name, and no other name is one") {
  for (const ProtocolRule& rule : gru_protocol()) {
    CAPTURE(rule.name);
    GruProtocol protocol;
    CHECK(protocol.switch_off(rule.name));
    CHECK_FALSE(rule.sentence.empty());
    gru().set_without({rule.name});
  }
  gru().set_without({});
  GruProtocol protocol;
  CHECK_FALSE(protocol.switch_off("range-active"));
  CHECK_THROWS_AS(gru().set_without({"range-active"}), std::logic_error);
  gru().set_without({});
}
