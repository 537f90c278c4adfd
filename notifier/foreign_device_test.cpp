// A device that is none of ours: what docs/foreign-device.md shows.
#include <map>
#include <string>

#include <doctest/doctest.h>

#include "notifier/notifier_core.hpp"
#include "notifier/substrate/sync/mutex.hpp"
#include "notifier/test_world.hpp"

using namespace secmmu;

// begin: foreign device
// A list subscriber that mirrors pages in a table of its own, by the rule that every such device needs: between
// its start and its end no entry is made.
class Camera final : public ListSubscription {
 public:
  Camera(Arbiter& arbiter, NotifierCore& core) : core_(core), lock_(arbiter, "camera", "camera"), arbiter_(arbiter) {}

  const std::string& name() const override { return name_; }
  CallbackSet callbacks() const override { return {Callback::start, Callback::end, Callback::release}; }

  Errno open(AddressSpace& mm) { return core_.register_subscription(*this, mm); }
  void close(AddressSpace& mm) { core_.unregister(*this, mm); }

  // Who may not wait says so (v4.19 on), and this one never does: its lock is held for a moment only.
  Errno invalidate_range_start(const InvalidateRange& range) override {
    lock_.lock();
    ++open_ranges_;
    drop(range.pages);
    lock_.unlock();
    return Errno::ok;
  }
  void invalidate_range_end(const InvalidateRange&) override {
    lock_.lock();
    --open_ranges_;
    ++sequence_;  // whoever looked at the page table before this must look again
    lock_.unlock();
  }
  void release(AddressSpace&) override {  // may come twice, and at once
    lock_.lock();
    dead_ = true;
    drop(kWholeSpace);
    lock_.unlock();
  }

  // `look` reads the page table and may sleep. False: no page is there, or the address space has ended.
  template <class Look>
  bool map(Vpn page, const Look& look) {
    for (;;) {
      const std::uint64_t seen = sequence_;
      const Pfn frame = look(page);
      lock_.lock();
      const bool dead = dead_;
      const bool settled = open_ranges_ == 0 && sequence_ == seen;
      if (settled && !dead && frame != kNoPfn) table_[page] = frame;
      lock_.unlock();
      if (settled || dead) return !dead && frame != kNoPfn;
      arbiter_.step(Time{1'000'000});
    }
  }
  bool holds(Vpn page) const { return table_.count(page) != 0; }

 private:
  void drop(PageRange pages) { table_.erase(table_.lower_bound(pages.first), table_.lower_bound(pages.end)); }

  NotifierCore& core_;
  SpinLock lock_;
  Arbiter& arbiter_;
  const std::string name_ = "camera";
  std::map<Vpn, Pfn> table_;
  unsigned open_ranges_ = 0;
  std::uint64_t sequence_ = 0;
  bool dead_ = false;
};
// end: foreign device

TEST_CASE("a foreign device keeps no page that was unmapped, whenever it looks, on every kernel") {
  for (const KernelEntry& kernel : known_kernels()) {
    CAPTURE(kernel.name);
    int mapped = 0;
    int looked_again = 0;
    for (std::uint64_t delay = 0; delay < 80; ++delay) {
      testing::World world(kernel.name);
      Arbiter& arbiter = machine().arbiter();
      Camera camera(arbiter, world.core);
      bool present = true;  // the page table, as far as this test goes
      bool stale = false;
      int looks = 0;
      world.run({{"unmapper", 0,
                  [&] {
                    camera.open(world.mm);
                    InvalidateRange range = world.range(true, one_page({16}));
                    world.core.invalidate_range_start(range);
                    arbiter.step(Time{500'000});
                    present = false;
                    arbiter.step(Time{500'000});
                    world.core.invalidate_range_end(range);
                    arbiter.step(Time{20'000'000});
                    stale = camera.holds({16});
                    world.mm.exit();
                    camera.close(world.mm);
                  }},
                 {"user", 1, [&] {
                    arbiter.step(Time{2'000'000 + delay * 50'000});
                    const bool done = camera.map({16}, [&](Vpn) {
                      ++looks;
                      const bool there = present;
                      arbiter.step(Time{300'000});
                      return there ? Pfn{7} : kNoPfn;
                    });
                    mapped += done ? 1 : 0;
                  }}});
      CHECK_FALSE(stale);
      CHECK(world.mm.freed == 1);
      looked_again += looks > 1 ? 1 : 0;
    }
    CHECK(mapped > 0);        // before the start
    CHECK(looked_again > 0);  // in the open range
  }
}
