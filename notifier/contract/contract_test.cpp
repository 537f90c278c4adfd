// The suite itself: a device that keeps the contract passes, and for each rule a device that breaks only that one is
// caught by it.
#include "notifier/contract/contract.hpp"

#include <array>
#include <map>
#include <set>
#include <string>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "notifier/substrate/sync/mutex.hpp"
#include "notifier/substrate/test_machine.hpp"

using namespace secmmu;
using namespace secmmu::contract;

namespace {

// What the device does wrong. `nothing` is the good twin of all others.
enum class Mistake {
  nothing,
  fills_in_open_range,
  knows_one_range,
  forgets_last_page,
  does_not_look_again,
  fills_over_invalidate_page,
  keeps_at_change_pte,
  writable_by_change_pte,
  writable_always,
  drops_everything,
  drops_of_every_space,
  counts_no_end,
  opens_once,
  keeps_at_release,
  maps_after_release,
  leaves_without_release,
  no_release_but_drops,
  stays_registered,
  sleeps_in_start,
  sleeps_in_young,
  sleeps_in_release,
  sleeps_in_invalidate_page,
  sleeps_in_change_pte,
  revives_at_second_release,
  lies_never_blocks,
  refuses_blockable,
  refuses_oddly,
  refuses_with_end,
  keeps_its_lock,
  looks_under_its_lock,
  secondary_tlbs_too,
  never_young,
  always_young,
  forgets_in_test,
};

class Mirrors;

// The mirror of one address space: it has every callback of a device with start and end.
class Mirror final : public ListSubscription {
 public:
  Mirror(Mirrors& all, Arbiter& arbiter, NotifierCore& core, Mistake mistake)
      : all_(all),
        arbiter_(arbiter),
        core_(core),
        mistake_(mistake),
        lock_(arbiter, "mirror", "mirror"),
        mutex_(arbiter, "mirror_mutex", "mirror_mutex") {}

  struct Translation {
    PageEntry entry;
    bool young = false;
  };

  const std::string& name() const override { return name_; }
  CallbackSet callbacks() const override {
    CallbackSet set{Callback::start,      Callback::end,         Callback::invalidate_page, Callback::clear_flush_young,
                    Callback::change_pte, Callback::clear_young, Callback::test_young};
    if (!is(Mistake::no_release_but_drops)) set.add(Callback::release);
    if (is(Mistake::secondary_tlbs_too)) set.add(Callback::secondary_tlbs);
    return set;
  }
  bool never_blocks() const override { return is(Mistake::lies_never_blocks); }

  Errno open(AddressSpace& mm) {
    if (is(Mistake::stays_registered) && registered_) {
      live_ = true;
      return Errno::ok;
    }
    if (is(Mistake::opens_once) && opened_before_) return Errno::einval;
    opened_before_ = true;
    open_ranges_ = 0;
    released_ = false;
    const Errno result = core_.register_subscription(*this, mm);
    lock_.lock();
    registered_ = result == Errno::ok;
    live_ = registered_ && !released_;
    lock_.unlock();
    return result;
  }
  void close(AddressSpace& mm) {
    if (!registered_) return;
    if (is(Mistake::stays_registered)) {
      end_of_life();
      live_ = false;
      return;
    }
    registered_ = false;
    if (is(Mistake::no_release_but_drops)) {
      live_ = false;
      end_of_life();
    }
    if (is(Mistake::leaves_without_release))
      core_.unregister_no_release(*this, mm);
    else
      core_.unregister(*this, mm);
    live_ = false;
  }
  bool map(AddressSpace& mm, Vpn page, bool write, const Look& look) {
    for (;;) {
      const std::uint64_t seen = sequence_;
      PageEntry entry;
      if (is(Mistake::looks_under_its_lock)) {
        lock_.lock();
        entry = look(page);
      } else {
        entry = look(page);
        lock_.lock();
      }
      const bool undead = is(Mistake::maps_after_release) && opened_before_;
      const bool live = (live_ || undead) && (!is(Mistake::no_release_but_drops) || mm.users().value() > 0);
      const bool closed = open_ranges_ == 0 || is(Mistake::fills_in_open_range) || (undead && !live_);
      const bool settled = closed && (sequence_ == seen || is(Mistake::does_not_look_again));
      const bool allowed = entry.present() && (!write || entry.writable);
      if (settled && live && allowed)
        table_[page] = {{entry.frame, entry.writable || is(Mistake::writable_always)}, false};
      lock_.unlock();
      if (settled || !live) return live && allowed;
      arbiter_.step(Time{1'000'000});
    }
  }
  PageEntry held(Vpn page) const {
    const auto it = table_.find(page);
    return it == table_.end() ? PageEntry{} : it->second.entry;
  }
  void use(Vpn page) { table_.at(page).young = !is(Mistake::never_young); }
  void drop(PageRange pages) { table_.erase(table_.lower_bound(pages.first), table_.lower_bound(pages.end)); }

  Errno invalidate_range_start(const InvalidateRange& range) override;
  void invalidate_range_end(const InvalidateRange&) override {
    lock_.lock();
    if (!is(Mistake::counts_no_end) && open_ranges_ > 0) --open_ranges_;
    if (is(Mistake::knows_one_range)) open_ranges_ = 0;
    ++sequence_;
    lock_.unlock();
  }
  void release(AddressSpace&) override {
    if (is(Mistake::sleeps_in_release)) nap();
    lock_.lock();
    if (!is(Mistake::keeps_at_release)) end_of_life();
    live_ = is(Mistake::revives_at_second_release) && released_;
    if (live_) open_ranges_ = 0;
    released_ = true;
    lock_.unlock();
  }
  void invalidate_page(AddressSpace&, Vpn page) override {
    if (is(Mistake::sleeps_in_invalidate_page)) nap();
    lock_.lock();
    if (!is(Mistake::fills_over_invalidate_page)) ++sequence_;
    drop(one_page(page));
    lock_.unlock();
  }
  void change_pte(AddressSpace&, Vpn page, Pfn frame, bool writable) override {
    if (is(Mistake::sleeps_in_change_pte)) nap();
    lock_.lock();
    ++sequence_;
    const auto it = table_.find(page);
    if (it != table_.end() && !is(Mistake::keeps_at_change_pte))
      it->second.entry = {frame, writable || is(Mistake::writable_by_change_pte)};
    lock_.unlock();
  }
  bool clear_flush_young(AddressSpace&, PageRange pages) override { return age(pages, true); }
  bool clear_young(AddressSpace&, PageRange pages) override { return age(pages, true); }
  bool test_young(AddressSpace&, Vpn page) override { return age(one_page(page), is(Mistake::forgets_in_test)); }

 private:
  bool is(Mistake mistake) const { return mistake_ == mistake; }
  void end_of_life() {
    ++sequence_;
    drop(kWholeSpace);
  }
  bool age(PageRange pages, bool forget) {
    if (is(Mistake::sleeps_in_young)) nap();
    lock_.lock();
    bool young = false;
    for (auto it = table_.lower_bound(pages.first); it != table_.end() && it->first < pages.end; ++it) {
      young |= it->second.young;
      if (forget && !is(Mistake::always_young)) it->second.young = false;
    }
    lock_.unlock();
    return young;
  }
  void nap() {
    mutex_.lock();
    mutex_.unlock();
  }

  Mirrors& all_;
  Arbiter& arbiter_;
  NotifierCore& core_;
  const Mistake mistake_;
  SpinLock lock_;
  Mutex mutex_;
  const std::string name_ = "mirror";
  std::map<Vpn, Translation> table_;
  unsigned open_ranges_ = 0;
  std::uint64_t sequence_ = 0;
  bool registered_ = false;
  bool opened_before_ = false;
  bool released_ = false;
  bool live_ = false;
};

// The whole device: a mirror for each address space.
class Mirrors final : public SubscriberUnderTest {
 public:
  Mirrors(Surroundings& surroundings, Mistake mistake) : surroundings_(surroundings) {
    for (auto& mirror : mirrors_)
      mirror = std::make_unique<Mirror>(*this, surroundings.arbiter(), surroundings.core(), mistake);
  }
  std::string_view name() const override { return mirrors_[0]->name(); }
  CallbackSet callbacks() const override { return mirrors_[0]->callbacks(); }
  Errno open(AddressSpace& mm) override { return of(mm).open(mm); }
  void close(AddressSpace& mm) override { of(mm).close(mm); }
  bool map(AddressSpace& mm, Vpn page, bool write, const Look& look) override {
    return of(mm).map(mm, page, write, look);
  }
  PageEntry held(AddressSpace& mm, Vpn page) const override { return of(mm).held(page); }
  void use(AddressSpace& mm, Vpn page) override { of(mm).use(page); }
  void drop_in_every_space(PageRange pages) {
    for (const auto& mirror : mirrors_) mirror->drop(pages);
  }

 private:
  Mirror& of(const AddressSpace& mm) const { return *mirrors_[&mm == &surroundings_.mm(0) ? 0 : 1]; }

  Surroundings& surroundings_;
  std::array<std::unique_ptr<Mirror>, Surroundings::kSpaces> mirrors_;
};

Errno Mirror::invalidate_range_start(const InvalidateRange& range) {
  if (is(Mistake::sleeps_in_start) || is(Mistake::lies_never_blocks)) nap();
  if (is(Mistake::refuses_blockable) && range.blockable) return Errno::eagain;
  if (is(Mistake::refuses_oddly) && !range.blockable) return Errno::ebusy;
  if (is(Mistake::refuses_with_end) && !range.blockable) return Errno::eagain;
  lock_.lock();
  ++open_ranges_;
  PageRange pages = range.pages;
  if (is(Mistake::forgets_last_page)) --pages.end.value;
  if (is(Mistake::drops_everything)) pages = kWholeSpace;
  drop(pages);
  if (is(Mistake::drops_of_every_space)) all_.drop_in_every_space(pages);
  if (!is(Mistake::keeps_its_lock) || pages != kWholeSpace) lock_.unlock();
  return Errno::ok;
}

std::unique_ptr<Surroundings> here() {
  return plain_surroundings(machine().arbiter(), machine().worker(0), machine().worker(1));
}

std::vector<Breach> breaches_of(Mistake mistake, const Options& options) {
  const std::unique_ptr<Surroundings> surroundings = here();
  return run_contract(
      *surroundings, [mistake](Surroundings& where) { return std::make_unique<Mirrors>(where, mistake); }, options);
}

struct Broken {
  Mistake mistake;
  std::string_view rule;
  std::vector<std::string> kernels;  // empty: all
  std::vector<std::string> without;  // another face of the same mistake
};

}  // namespace

TEST_CASE("contract: a device that keeps it passes on every kernel") {
  for (const Breach& breach : breaches_of(Mistake::nothing, {})) FAIL_CHECK(to_text(breach));
}

TEST_CASE("contract: each rule catches the device that breaks it, and no other rule does") {
  // Who fills while end has begun and not yet counted is noticed by what is stale; whose look is old, by its rights.
  const std::vector<std::string> old_look{"stale-after-end", "writable-where-read-only"};
  const std::vector<Broken> list = {
      {Mistake::fills_in_open_range, "translation-in-open-range", {}, old_look},
      {Mistake::knows_one_range, "translation-in-open-range", {}, old_look},
      {Mistake::forgets_last_page, "translation-in-open-range", {}, {}},
      {Mistake::does_not_look_again, "stale-after-end", {"v4.14", "v6.10"}, {"writable-where-read-only"}},
      {Mistake::fills_over_invalidate_page, "stale-after-invalidate-page", {"v2.6.27", "v3.2", "v3.15"}, {}},
      {Mistake::keeps_at_change_pte, "stale-after-change-pte", {"v3.2", "v3.5.6"}, {}},
      {Mistake::writable_by_change_pte, "writable-where-read-only", {"v3.2", "v3.5.6"}, {}},
      {Mistake::writable_always, "writable-where-read-only", {}, {}},
      {Mistake::drops_everything, "drops-too-much", {}, {}},
      {Mistake::drops_of_every_space, "touched-by-other-space", {}, {}},
      {Mistake::counts_no_end, "stuck", {"v3.2", "v6.10"}, {}},
      {Mistake::opens_once, "cannot-open", {}, {}},
      {Mistake::keeps_at_release, "held-after-release", {}, {}},
      {Mistake::maps_after_release, "mapped-after-release", {}, {}},
      {Mistake::revives_at_second_release, "mapped-after-release", {"v3.5.6", "v3.7", "v3.15", "v6.10"}, {}},
      {Mistake::leaves_without_release, "held-after-close", {"v4.14", "v4.19"}, {}},
      {Mistake::no_release_but_drops, "held-after-exit", {}, {}},
      {Mistake::stays_registered, "callback-after-close", {}, {"no-progress"}},
      {Mistake::sleeps_in_start, "sleeps-in-atomic", {"v2.6.27", "v3.5.6"}, {}},
      {Mistake::sleeps_in_start, "sleeps-non-blockable", {"v4.19", "v6.10"}, {}},
      {Mistake::sleeps_in_young, "sleeps-in-atomic", {}, {}},
      {Mistake::sleeps_in_release, "sleeps-in-atomic", {"v2.6.27", "v3.5.6"}, {}},
      {Mistake::sleeps_in_invalidate_page, "sleeps-in-atomic", {"v2.6.27", "v3.5.6"}, {}},
      {Mistake::sleeps_in_change_pte, "sleeps-in-atomic", {"v3.2", "v3.7", "v6.4.0"}, {}},
      {Mistake::lies_never_blocks, "sleeps-though-never-blocks", {"v4.16"}, {}},
      {Mistake::refuses_blockable, "refuses-blockable", {"v4.19", "v6.10"}, {}},
      {Mistake::refuses_blockable, "translation-in-open-range", {"v3.7", "v4.16"}, {}},  // nobody hears the answer
      {Mistake::refuses_oddly, "wrong-refusal", {"v4.19", "v6.10"}, {}},
      {Mistake::refuses_with_end, "refuses-with-end", {"v4.19", "v6.10"}, {}},
      {Mistake::keeps_its_lock, "unbalanced-callback", {}, {}},
      {Mistake::looks_under_its_lock, "lock-order", {}, {}},
      {Mistake::secondary_tlbs_too, "warned", {"v6.10"}, {}},
      {Mistake::never_young, "old-after-use", {}, {}},
      {Mistake::always_young, "young-not-forgotten", {}, {}},
      {Mistake::forgets_in_test, "test-young-forgets", {"v3.2", "v6.10"}, {}},
  };
  std::set<std::string_view> proven{"stale-after-flush", "no-progress"};  // by walker_test.cpp
  for (const Broken& broken : list) {
    CAPTURE(broken.rule);
    const std::vector<Breach> breaches =
        breaches_of(broken.mistake, {.kernels = broken.kernels, .seeds = 400, .without = broken.without});
    CHECK_FALSE(breaches.empty());
    for (const Breach& breach : breaches)
      if (breach.rule != broken.rule) FAIL_CHECK(to_text(breach));
    proven.insert(broken.rule);
  }
  for (const Rule& rule : rules())
    if (proven.count(rule.name) == 0) FAIL_CHECK("no device breaks " << std::string(rule.name));
}

TEST_CASE("contract: what a kernel allows, or never asks for, is no breach there") {
  const std::vector<Broken> list = {
      {Mistake::sleeps_in_start, "sleeps in start", {"v3.7", "v4.16"}, {}},
      {Mistake::sleeps_in_release, "sleeps in release", {"v3.7", "v6.10"}, {}},
      {Mistake::sleeps_in_invalidate_page, "sleeps in invalidate_page", {"v3.7", "v3.15"}, {}},
      {Mistake::revives_at_second_release, "release comes once", {"v2.6.27", "v3.2", "v3.9"}, {}},
      {Mistake::lies_never_blocks, "nobody asks", {"v4.14"}, {}},
      {Mistake::secondary_tlbs_too, "does not exist", {"v6.4.0"}, {}},
      {Mistake::keeps_at_change_pte, "does not exist", {"v2.6.27", "v6.10"}, {}},
      {Mistake::forgets_in_test, "does not exist", {"v2.6.27"}, {}},
  };
  for (const Broken& allowed : list) {
    CAPTURE(allowed.rule);
    for (const Breach& breach : breaches_of(allowed.mistake, {.kernels = allowed.kernels, .seeds = 400, .without = {}}))
      FAIL_CHECK(to_text(breach));
  }
}
