// KVM's driver: what a miss makes of the process's page, what takes it away again, and what passes back to the page.
#include "models/devices/kvm/driver.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "models/devices/test_world.hpp"

using namespace secmmu;
using namespace secmmu::literals;
using namespace secmmu::testing;

namespace {

KvmDevice& kvm() { return device_world().kvm; }
KvmDevice& bare() { return device_world().bare; }
std::int64_t count(const KvmDevice& device, std::string_view counter) { return DeviceRun::counter(device, counter); }
void attach(KvmDevice& device, const char* name = "a") {
  const Errno result = device.attach(DeviceRun::mm(name));
  CHECK(result == Errno::ok);
}
void read(KvmDevice& device, std::uint64_t page, Errno expected = Errno::ok, unsigned cpu = 0) {
  const Errno result = DeviceRun::read(device, cpu, "a", page);
  CHECK(result == expected);
}
void write(KvmDevice& device, std::uint64_t page, Errno expected = Errno::ok, unsigned cpu = 0) {
  const Errno result = DeviceRun::write(device, cpu, "a", page, 7);
  CHECK(result == expected);
}
template <class Question>
bool under_page_table_lock(Question question) {
  Mm& mm = DeviceRun::mm("a");
  mm.page_table_lock.lock();
  const bool answer = question(device_world().notifier, mm);
  mm.page_table_lock.unlock();
  return answer;
}
bool clear_flush_young(std::uint64_t page) {
  return under_page_table_lock(
      [=](NotifierCore& core, Mm& mm) { return core.clear_flush_young(mm, one_page(kBuffer.page() + page)); });
}
bool clear_young(std::uint64_t page) {
  return under_page_table_lock(
      [=](NotifierCore& core, Mm& mm) { return core.clear_young(mm, one_page(kBuffer.page() + page)); });
}
bool test_young(std::uint64_t page) {
  return under_page_table_lock([=](NotifierCore& core, Mm& mm) { return core.test_young(mm, kBuffer.page() + page); });
}
Frame& frame_of(std::uint64_t page) {
  return device_world().system.memory.frame(DeviceRun::mm("a").peek(kBuffer.page() + page).frame());
}

}  // namespace

TEST_CASE("kvm: a miss maps, the walker refills the TLB, and after a flush it walks again") {
  DeviceRun run;
  run.play(
      [&] {
        DeviceRun::populate("a");
        attach(kvm());
      },
      {{"guest", 1, [&] {
          read(kvm(), 3);
          CHECK(count(kvm(), "faults") == 1);
          CHECK(count(kvm(), "refills") == 1);
          read(kvm(), 3);
          CHECK(count(kvm(), "walks") == 2);  // the first found no root to begin from, or nothing there
          madvise_dontneed(DeviceRun::mm("a"), DeviceRun::pages(0, 1));  // another page: the table keeps ours
          read(kvm(), 3);
          CHECK(count(kvm(), "faults") == 1);
          CHECK(count(kvm(), "flushes") == 0);
          madvise_dontneed(DeviceRun::mm("a"), DeviceRun::pages(3, 4));
          CHECK(count(kvm(), "flushes") == 1);
          CHECK(count(kvm(), "table_entries") + count(kvm(), "valid_entries") == 0);
          read(kvm(), 3);
          CHECK(count(kvm(), "faults") == 2);
        }}});
  CHECK(count(kvm(), "hits") == 4);
  CHECK(run.atomic.empty());
}

TEST_CASE("kvm: without a TLB every access walks") {
  DeviceRun run;
  run.play([&] { attach(bare()); }, {{"guest", 1, [&] {
                                        for (int i = 0; i < 5; ++i) write(bare(), 2);
                                      }}});
  CHECK(count(bare(), "hits") == 5);
  CHECK(count(bare(), "walks") >= 5);
  CHECK(count(bare(), "refills") == 0);
  CHECK(count(bare(), "faults") == 1);
}

TEST_CASE("kvm: a read fault makes a writable entry only if it may and is asked to") {
  DeviceRun run;
  run.play(
      [&] {
        DeviceRun::populate("a");
        attach(kvm());
        attach(bare());
      },
      {{"guest", 1, [&] {
          read(kvm(), 3);
          write(kvm(), 3);
          CHECK(count(kvm(), "faults") == 1);  // map_writable_on_read
          read(bare(), 3);
          write(bare(), 3);
          CHECK(count(bare(), "faults") == 2);
          // Read-only in the process: an entry for reading, and no fault for it.
          const Errno result = mprotect(DeviceRun::mm("a"), DeviceRun::pages(4, 5), Rights{true, false, false});
          CHECK(result == Errno::ok);
          read(kvm(), 4);
          write(kvm(), 4, Errno::efault);
          CHECK(count(kvm(), "errors") == 1);
        }}});
}

TEST_CASE("kvm: virtual CPUs share the entries of a slot, and a page has one in each slot") {
  DeviceRun run;
  run.play([&] { attach(kvm()); }, {{"guest", 1, [&] {
                                       write(kvm(), 3, Errno::ok, 0);
                                       write(kvm(), 3, Errno::ok, 2);
                                       CHECK(count(kvm(), "faults") == 1);
                                       CHECK(count(kvm(), "refills") == 2);
                                       write(kvm(), 3, Errno::ok, 1);  // it uses the second slot
                                       CHECK(count(kvm(), "faults") == 2);
                                       CHECK(count(kvm(), "table_entries") == 2);
                                       madvise_dontneed(DeviceRun::mm("a"), DeviceRun::pages(3, 4));
                                       CHECK(count(kvm(), "table_entries") == 0);
                                       CHECK(count(kvm(), "zapped") == 2);
                                     }}});
}

TEST_CASE("kvm: a fault tries again while a range that may concern its page is open") {
  const auto faults_beside = [](const char* kernel, std::uint64_t page) {
    DeviceRun run(kernel);
    run.play(
        [&] {
          DeviceRun::populate("a");
          attach(kvm());
        },
        {{"mm", 0, [&] { DeviceRun::hold_open("a", DeviceRun::pages(2, 4), 60_us); }},
         {"guest", 1, [&, page] { read(kvm(), page); }, 20_us}});
    CHECK(count(kvm(), "range_active") == 0);
    return count(kvm(), "retries_open");
  };
  CHECK(faults_beside("v6.10", 3) > 0);
  CHECK(faults_beside("v6.10", 4) == 0);
  CHECK(faults_beside("v3.2", 4) > 0);  // before v5.12 any range holds it back
}

TEST_CASE("kvm: a range that opened and ended during a fault makes it try again") {
  DeviceRun run;
  run.play(
      [&] {
        DeviceRun::populate("a");
        attach(kvm());
      },
      {{"mm", 0, [&] { DeviceRun::hold_open("a", DeviceRun::pages(8, 9), 10_ns); }, 2_us},
       {"guest", 1, [&] { read(kvm(), 3); }}});
  CHECK(count(kvm(), "retries_moved") == 1);
  CHECK(count(kvm(), "mapped") == 1);
}

TEST_CASE("kvm: memory that no slot shows is no memory to the guest, and its invalidations are not counted") {
  const auto skipped_on = [](const char* kernel) {
    DeviceRun run(kernel);
    run.play(
        [&] {
          DeviceRun::populate("a");
          attach(bare());
        },
        {{"mm", 0, [&] { DeviceRun::hold_open("a", DeviceRun::pages(12, 14), 30_us); }},
         {"guest", 1,
          [&] {
            read(bare(), 11);
            read(bare(), 12, Errno::efault);
            madvise_dontneed(DeviceRun::mm("a"), DeviceRun::pages(10, 14));  // partly: counted
            CHECK(count(bare(), "table_entries") == 0);
          },
          5_us}});
    CHECK(count(bare(), "faults") == 1);
    CHECK((count(bare(), "retries_open") == 0) == (count(bare(), "skipped_ranges") != 0));
    return count(bare(), "skipped_ranges");
  };
  CHECK(skipped_on("v6.10") == 1);
  CHECK(skipped_on("v3.2") == 0);  // and the fault waits for it
}

// --- ageing and dirt ----------------------------------------------------------------------------------

TEST_CASE("kvm: a page is young from its use to the next clearing question") {
  DeviceRun run;
  run.play([&] { attach(bare()); }, {{"guest", 1, [&] {
                                        write(bare(), 3);
                                        bool young = test_young(3);
                                        CHECK(young);
                                        young = test_young(3);
                                        CHECK(young);
                                        young = clear_young(3);
                                        CHECK(young);
                                        young = clear_young(3);
                                        CHECK_FALSE(young);
                                        read(bare(), 3);
                                        young = clear_flush_young(3);
                                        CHECK(young);
                                        young = test_young(3);
                                        CHECK_FALSE(young);
                                        young = test_young(4);
                                        CHECK_FALSE(young);
                                      }}});
  CHECK(count(bare(), "young_answers") == 4);
  CHECK(count(bare(), "flushes") == 1);  // of clear_flush_young, because the page was young
}

TEST_CASE("kvm: clear_young leaves TLBs alone, so that a use through one of them is not noticed") {
  DeviceRun run;
  run.play([&] { attach(kvm()); }, {{"guest", 1, [&] {
                                       write(kvm(), 3);
                                       bool young = clear_young(3);
                                       CHECK(young);
                                       write(kvm(), 3);
                                       young = clear_flush_young(3);
                                       CHECK_FALSE(young);  // and so it flushes nothing
                                       CHECK(count(kvm(), "flushes") == 0);
                                       CHECK(count(kvm(), "valid_entries") == 1);
                                     }}});
}

TEST_CASE("kvm: what the guest wrote is marked dirty in the page when the entry goes, what it read is not") {
  for (const bool kept : {true, false}) {
    DeviceRun run;
    if (!kept) kvm().set_without({"dirty-to-page"});
    run.play(
        [&] {
          DeviceRun::populate("a");
          attach(kvm());
        },
        {{"guest", 1, [&] {
            write(kvm(), 3);
            read(kvm(), 4);
            CHECK_FALSE(frame_of(3).dirty);
            const Errno result = mprotect(DeviceRun::mm("a"), DeviceRun::pages(0, 8), Rights{true, false, false});
            CHECK(result == Errno::ok);
            CHECK(frame_of(3).dirty == kept);
            CHECK_FALSE(frame_of(4).dirty);
          }}});
    CHECK(count(kvm(), "dirty_pages") == (kept ? 1 : 0));
  }
}

// --- change_pte ---------------------------------------------------------------------------------------

TEST_CASE("kvm: change_pte puts a page that may only be read in the place of the other") {
  for (const char* kernel : {"v3.2", "v6.1"}) {
    for (KvmDevice* device : {&kvm(), &bare()}) {
      for (const bool writable : {false, true}) {
        CAPTURE(kernel);
        CAPTURE(device->name());
        CAPTURE(writable);
        DeviceRun run(kernel);
        run.play(
            [&] {
              DeviceRun::populate("a");
              attach(*device);
            },
            {{"guest", 1, [&, device, writable] {
                write(*device, 3);
                const Pfn fresh = device_world().system.memory.allocate(FrameUse::anonymous, "test");
                under_page_table_lock([=](NotifierCore& core, Mm& mm) {
                  core.change_pte(mm, kBuffer.page() + 3, fresh, writable);
                  return true;
                });
                device_world().system.memory.put(fresh);
              }}});
        // From v5.13 on KVM does nothing outside a range.
        const bool acts = device == &bare() || std::string(kernel) == "v3.2";
        CHECK(count(*device, "changed") == (acts ? 1 : 0));
        CHECK(count(*device, "table_entries") == (acts && writable ? 0 : 1));
      }
    }
  }
}

// --- coming and going ------------------------------------------------------------------------------------

TEST_CASE("kvm: it can be attached again, and to several address spaces at once") {
  DeviceRun run;
  run.play(
      [&] {
        attach(kvm(), "a");
        attach(kvm(), "b");
        const Errno again = kvm().attach(DeviceRun::mm("a"));
        CHECK(again == Errno::eexist);
      },
      {{"guest", 1, [&] {
          write(kvm(), 3);
          std::uint64_t seen = 1;
          const Errno other = DeviceRun::read(kvm(), 0, "b", 3, &seen);
          CHECK(other == Errno::ok);
          CHECK(seen == 0);
          kvm().detach(DeviceRun::mm("a"));
          read(kvm(), 3, Errno::esrch);
          attach(kvm(), "a");
          read(kvm(), 3);
        }}});
  CHECK(run.detached == std::vector<std::string>{"a"});
  CHECK(count(kvm(), "table_entries") == 2);
}

TEST_CASE("kvm: the end of the process takes everything out, and its table goes when the device is detached") {
  DeviceRun run;
  run.play([&] { attach(kvm()); }, {{"guest", 1, [&] {
                                       write(kvm(), 3);
                                       mmput(DeviceRun::mm("a"));
                                       CHECK(count(kvm(), "table_entries") + count(kvm(), "valid_entries") == 0);
                                       read(kvm(), 3, Errno::esrch);
                                       const std::uint64_t before = device_world().system.memory.free_frames();
                                       kvm().detach(DeviceRun::mm("a"));
                                       CHECK(device_world().system.memory.free_frames() > before);
                                     }}});
  CHECK(run.detached == std::vector<std::string>{"a"});
}
