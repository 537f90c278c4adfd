// A device that is none of ours: what docs/foreign-device.md shows.
#include <array>
#include <map>
#include <memory>
#include <string>

#include <doctest/doctest.h>

#include "notifier/contract/contract.hpp"
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
  CallbackSet callbacks() const override {
    return {Callback::start, Callback::end, Callback::invalidate_page, Callback::release};
  }

  Errno open(AddressSpace& mm) {
    open_ranges_ = 0;  // the ends that an earlier registration did not live to see
    const Errno result = core_.register_subscription(*this, mm);
    live_ = result == Errno::ok;  // not earlier: nobody would tell us
    return result;
  }
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
  // Up to v4.12, outside any range.
  void invalidate_page(AddressSpace&, Vpn page) override { forget(one_page(page)); }
  // May come twice, and at once.
  void release(AddressSpace&) override {
    live_ = false;
    forget(kWholeSpace);
  }

  // `look` reads the page table and may sleep. False: no page is there, or the address space has ended.
  template <class Look>
  bool map(Vpn page, const Look& look) {
    for (;;) {
      const std::uint64_t seen = sequence_;
      const Pfn frame = look(page);
      lock_.lock();
      const bool live = live_;
      const bool settled = open_ranges_ == 0 && sequence_ == seen;
      if (settled && live && frame != kNoPfn) table_[page] = frame;
      lock_.unlock();
      if (settled || !live) return live && frame != kNoPfn;
      arbiter_.step(Time{1'000'000});
    }
  }
  Pfn frame(Vpn page) const { return holds(page) ? table_.at(page) : kNoPfn; }
  bool holds(Vpn page) const { return table_.count(page) != 0; }

 private:
  void forget(PageRange pages) {
    lock_.lock();
    drop(pages);
    ++sequence_;  // a look may be under way; when we are taken up again it must not be believed
    lock_.unlock();
  }
  void drop(PageRange pages) { table_.erase(table_.lower_bound(pages.first), table_.lower_bound(pages.end)); }

  NotifierCore& core_;
  SpinLock lock_;
  Arbiter& arbiter_;
  const std::string name_ = "camera";
  std::map<Vpn, Pfn> table_;
  unsigned open_ranges_ = 0;
  std::uint64_t sequence_ = 0;
  bool live_ = false;
};
// end: foreign device

namespace {

// What the contract needs of it: one camera for each address space.
class Cameras final : public contract::SubscriberUnderTest {
 public:
  explicit Cameras(contract::Surroundings& where) : where_(where) {
    for (auto& camera : cameras_) camera = std::make_unique<Camera>(where.arbiter(), where.core());
  }
  std::string_view name() const override { return cameras_[0]->name(); }
  CallbackSet callbacks() const override { return cameras_[0]->callbacks(); }
  Errno open(AddressSpace& mm) override { return of(mm).open(mm); }
  void close(AddressSpace& mm) override { of(mm).close(mm); }
  bool writes() const override { return false; }
  bool map(AddressSpace& mm, Vpn page, bool, const contract::Look& look) override {
    return of(mm).map(page, [&](Vpn asked) { return look(asked).frame; });
  }
  contract::PageEntry held(AddressSpace& mm, Vpn page) const override { return {of(mm).frame(page), false}; }

 private:
  Camera& of(const AddressSpace& mm) const { return *cameras_[&mm == &where_.mm(0) ? 0 : 1]; }

  contract::Surroundings& where_;
  std::array<std::unique_ptr<Camera>, contract::Surroundings::kSpaces> cameras_;
};

}  // namespace

TEST_CASE("a foreign device keeps the contract on every kernel") {
  const auto here = contract::plain_surroundings(machine().arbiter(), machine().worker(0), machine().worker(1));
  const auto make = [](contract::Surroundings& where) { return std::make_unique<Cameras>(where); };
  for (const contract::Breach& breach : contract::run_contract(*here, make)) FAIL_CHECK(to_text(breach));
}

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
