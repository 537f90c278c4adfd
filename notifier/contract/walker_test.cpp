// Through the contract: a device without start and end, which walks the page table itself and hears of flushes only
// (invalidate_range, v3.19 to v6.5; arch_invalidate_secondary_tlbs, v6.6 on), and what it can do wrong.
#include <array>
#include <map>
#include <set>
#include <string>

#include <doctest/doctest.h>

#include "notifier/contract/contract.hpp"
#include "notifier/substrate/test_machine.hpp"

using namespace secmmu;
using namespace secmmu::contract;

namespace {

enum class Mistake { nothing, ignores_flushes, maps_once, sleeps_in_flush };

// The walk and the fill of its TLB are one action of the hardware.
class Walker final : public ListSubscription {
 public:
  Walker(Surroundings& surroundings, Mistake mistake)
      : surroundings_(surroundings), mistake_(mistake), lock_(surroundings.arbiter(), "walker", "walker") {}

  const std::string& name() const override { return name_; }
  CallbackSet callbacks() const override {
    return {Callback::invalidate_range, Callback::secondary_tlbs, Callback::invalidate_page, Callback::release};
  }
  Errno open(AddressSpace& mm) {
    dead_ = false;
    const Errno result = surroundings_.core().register_subscription(*this, mm);
    live_ = result == Errno::ok && !dead_;
    return result;
  }
  void close(AddressSpace& mm) {
    if (this->mm() != nullptr) surroundings_.core().unregister(*this, mm);
  }
  bool map(AddressSpace& mm, Vpn page, bool write) {
    surroundings_.arbiter().step(Time{500'000});
    const PageEntry entry = surroundings_.entry(mm, page);
    if (!live_ || !entry.present() || (write && !entry.writable)) return false;
    if (mistake_ == Mistake::maps_once && !mapped_before_.insert(page).second) return false;
    tlb_[page] = entry;
    return true;
  }
  PageEntry held(Vpn page) const {
    const auto it = tlb_.find(page);
    return it == tlb_.end() ? PageEntry{} : it->second;
  }

  void invalidate_range(AddressSpace&, PageRange pages) override { drop(pages); }
  void arch_invalidate_secondary_tlbs(AddressSpace&, PageRange pages) override { drop(pages); }
  void invalidate_page(AddressSpace&, Vpn page) override { drop(one_page(page)); }
  void release(AddressSpace&) override {
    lock_.lock();
    dead_ = true;
    live_ = false;
    tlb_.clear();
    lock_.unlock();
  }

 private:
  void drop(PageRange pages) {
    if (mistake_ == Mistake::ignores_flushes) return;
    if (mistake_ == Mistake::sleeps_in_flush) surroundings_.arbiter().might_sleep("a wait for the hardware");
    lock_.lock();
    tlb_.erase(tlb_.lower_bound(pages.first), tlb_.lower_bound(pages.end));
    lock_.unlock();
  }

  Surroundings& surroundings_;
  const Mistake mistake_;
  SpinLock lock_;
  const std::string name_ = "walker";
  std::map<Vpn, PageEntry> tlb_;
  std::set<Vpn> mapped_before_;
  bool dead_ = false;
  bool live_ = false;
};

class Walkers final : public SubscriberUnderTest {
 public:
  Walkers(Surroundings& surroundings, Mistake mistake) : surroundings_(surroundings) {
    for (auto& walker : walkers_) walker = std::make_unique<Walker>(surroundings, mistake);
  }
  std::string_view name() const override { return walkers_[0]->name(); }
  CallbackSet callbacks() const override { return walkers_[0]->callbacks(); }
  Errno open(AddressSpace& mm) override { return of(mm).open(mm); }
  void close(AddressSpace& mm) override { of(mm).close(mm); }
  bool map(AddressSpace& mm, Vpn page, bool write, const Look&) override { return of(mm).map(mm, page, write); }
  PageEntry held(AddressSpace& mm, Vpn page) const override { return of(mm).held(page); }

 private:
  Walker& of(const AddressSpace& mm) const { return *walkers_[&mm == &surroundings_.mm(0) ? 0 : 1]; }

  Surroundings& surroundings_;
  std::array<std::unique_ptr<Walker>, Surroundings::kSpaces> walkers_;
};

std::vector<Breach> breaches_of(Mistake mistake, const Options& options) {
  const std::unique_ptr<Surroundings> surroundings =
      plain_surroundings(machine().arbiter(), machine().worker(0), machine().worker(1));
  return run_contract(
      *surroundings, [mistake](Surroundings& where) { return std::make_unique<Walkers>(where, mistake); }, options);
}

void check_caught_by(std::string_view rule, Mistake mistake, const Options& options) {
  CAPTURE(rule);
  const std::vector<Breach> breaches = breaches_of(mistake, options);
  CHECK_FALSE(breaches.empty());
  for (const Breach& breach : breaches)
    if (breach.rule != rule) FAIL_CHECK(to_text(breach));
}

}  // namespace

TEST_CASE("contract: a device that hears of flushes only passes where the kernel tells it of them") {
  for (const Breach& breach : breaches_of(Mistake::nothing, {})) FAIL_CHECK(to_text(breach));
}

TEST_CASE("contract: a flush that is ignored or that sleeps, and a map refused for no reason, are caught") {
  check_caught_by("stale-after-flush", Mistake::ignores_flushes,
                  {.kernels = {"v4.14", "v6.10"}, .seeds = 200, .without = {"writable-where-read-only"}});
  check_caught_by("no-progress", Mistake::maps_once, {});
  check_caught_by("sleeps-in-atomic", Mistake::sleeps_in_flush, {});
}
