// For the tests of the notifier core: an address space with nothing behind it, a scripted subscriber, and a
// machine with one core of each, whose events are written down.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "notifier/events.hpp"
#include "notifier/notifier_core.hpp"
#include "notifier/substrate/sync/events.hpp"
#include "notifier/substrate/sync/mutex.hpp"
#include "notifier/substrate/test_machine.hpp"

namespace secmmu::testing {

class TestMm final : public AddressSpace {
 public:
  TestMm(Arbiter& arbiter, NotifierCore& core)
      : core_(core),
        mmap_lock_(arbiter, "mmap_lock", "mmap_lock(app)"),
        users_(arbiter, "mm_users(app)", 1),
        count_(arbiter, "mm_count(app)", 1),
        rmap_lock(arbiter, "rmap", "rmap(app)") {}

  const std::string& name() const override { return name_; }
  std::uint32_t id() const override { return 7; }
  RwSemaphore& mmap_lock() override { return mmap_lock_; }
  ReferenceCount& users() override { return users_; }
  ReferenceCount& count() override { return count_; }
  Errno take_all_locks() override {
    if (signal_pending) return Errno::eintr;
    rmap_lock.lock();
    return Errno::ok;
  }
  void drop_all_locks() override { rmap_lock.unlock(); }
  void last_count_dropped() override {
    core_.destroy(*this);
    ++freed;
  }
  // The last user goes: what mmput does.
  void exit() {
    if (!users_.put()) return;
    core_.release(*this);
    drop_count();
  }

 private:
  NotifierCore& core_;
  std::string name_ = "app";
  RwSemaphore mmap_lock_;
  ReferenceCount users_;
  ReferenceCount count_;

 public:
  Mutex rmap_lock;  // stands for all locks that take_all_locks takes
  bool signal_pending = false;
  int freed = 0;
};

// Does what the test says; by default takes a little time.
class Subscriber final : public ListSubscription {
 public:
  Subscriber(std::string name, CallbackSet has) : name_(std::move(name)), has_(has) {}

  const std::string& name() const override { return name_; }
  CallbackSet callbacks() const override { return has_; }
  void release(AddressSpace&) override { act(Callback::release, {}); }
  bool clear_flush_young(AddressSpace&, PageRange pages) override { return act(Callback::clear_flush_young, pages); }
  bool clear_young(AddressSpace&, PageRange pages) override { return act(Callback::clear_young, pages); }
  bool test_young(AddressSpace&, Vpn page) override { return act(Callback::test_young, one_page(page)); }
  void change_pte(AddressSpace&, Vpn page, Pfn frame, bool) override {
    new_frame = frame;
    act(Callback::change_pte, one_page(page));
  }
  void invalidate_page(AddressSpace&, Vpn page) override { act(Callback::invalidate_page, one_page(page)); }
  Errno invalidate_range_start(const InvalidateRange& range) override {
    act(Callback::start, range.pages);
    return answer;
  }
  void invalidate_range_end(const InvalidateRange& range) override { act(Callback::end, range.pages); }
  void arch_invalidate_secondary_tlbs(AddressSpace&, PageRange pages) override { act(Callback::secondary_tlbs, pages); }
  void free_notifier() override {
    ++freed;
    if (on_free) on_free();
  }

  std::function<void(Callback)> script;  // runs inside every callback
  std::function<void()> on_free;
  Errno answer = Errno::ok;
  bool young = false;
  Pfn new_frame = kNoPfn;
  PageRange last_pages;
  int freed = 0;

 private:
  bool act(Callback callback, PageRange pages) {
    last_pages = pages;
    if (script) script(callback);
    return young;
  }
  std::string name_;
  CallbackSet has_;
};

inline constexpr CallbackSet kEverything{
    Callback::release,    Callback::clear_flush_young, Callback::clear_young, Callback::test_young,
    Callback::change_pte, Callback::invalidate_page,   Callback::start,       Callback::end};

class World {
 public:
  explicit World(std::string_view kernel) : World(notifier_behaviour(*find_kernel(kernel))) {}
  explicit World(NotifierBehaviour behaviour)
      : core(machine().arbiter(), machine().worker(0), machine().worker(1)), mm(machine().arbiter(), core) {
    machine().reset();
    core.set_behaviour(std::move(behaviour));
    listen();
  }

  RunEnd run(std::vector<TestTask> tasks, RunLimits limits = {}) {
    return machine().run(
        std::move(tasks), [this] { core.reset(); }, limits);
  }
  // One task on core 0; true if it came to its end.
  bool alone(const std::function<void()>& body) {
    bool ended = false;
    run({{"alone", 0, [&] {
            body();
            ended = true;
          }}});
    return ended;
  }
  void subscribe(std::initializer_list<Subscriber*> list) {
    for (Subscriber* subscriber : list) core.register_subscription(*subscriber, mm);
  }
  InvalidateRange range(bool blockable = true, PageRange pages = {{16}, {20}}) {
    InvalidateRange made;
    made.mm = &mm;
    made.pages = pages;
    made.event = InvalidateEvent::unmap;
    made.blockable = blockable;
    return made;
  }
  // A pair of start and end, as an mm operation does it.
  void invalidate() {
    InvalidateRange pair = range();
    core.invalidate_range_start(pair);
    core.invalidate_range_end(pair);
  }
  std::string story() const { return fmt::format("{}", fmt::join(log, " ")); }
  int times(std::string_view line) const {
    int count = 0;
    for (const std::string& entry : log) count += entry == line ? 1 : 0;
    return count;
  }
  // Position of the first or last such line; -1: none.
  int first(std::string_view line) const {
    for (std::size_t i = 0; i < log.size(); ++i)
      if (log[i] == line) return static_cast<int>(i);
    return -1;
  }
  int last(std::string_view line) const {
    for (std::size_t i = log.size(); i-- > 0;)
      if (log[i] == line) return static_cast<int>(i);
    return -1;
  }

  NotifierCore core;
  TestMm mm;
  std::vector<std::string> log;       // "b:release" when a callback begins, "b:release." when it ends, ...
  std::vector<std::string> warnings;  // NotifierWarning
  std::vector<std::string> atomic;    // SleptInAtomic
  std::vector<std::string> timed;     // the log with its time stamps

 private:
  void note(const Stamp& stamp, std::string line) {
    timed.push_back(fmt::format("{}/{} {}", stamp.at.ps, stamp.task, line));
    log.push_back(std::move(line));
  }
  void listen() {
    Bus& bus = machine().arbiter().bus();
    bus.listen<CallbackBegin>([this](const CallbackBegin& e, const Stamp& at) {
      note(at, fmt::format("{}:{}", e.subscriber, callback_name(e.callback)));
    });
    bus.listen<CallbackEnd>([this](const CallbackEnd& e, const Stamp& at) {
      note(at, fmt::format("{}:{}.", e.subscriber, callback_name(e.callback)));
    });
    bus.listen<InvalidateStart>(
        [this](const InvalidateStart& e, const Stamp& at) { note(at, fmt::format("S{}", e.id)); });
    bus.listen<InvalidateStarted>([this](const InvalidateStarted& e, const Stamp& at) {
      note(at, fmt::format("s{}{}", e.id, e.result == Errno::ok ? "" : fmt::format("({})", errno_name(e.result))));
    });
    bus.listen<InvalidateEnd>([this](const InvalidateEnd& e, const Stamp& at) { note(at, fmt::format("E{}", e.id)); });
    bus.listen<InvalidateEnded>(
        [this](const InvalidateEnded& e, const Stamp& at) { note(at, fmt::format("e{}", e.id)); });
    bus.listen<Registered>(
        [this](const Registered& e, const Stamp& at) { note(at, fmt::format("+{}", e.subscriber)); });
    bus.listen<Unlinked>([this](const Unlinked& e, const Stamp& at) {
      note(at, fmt::format("{}{}", e.was_linked ? "-" : "!", e.subscriber));
    });
    bus.listen<UnregisterBegin>(
        [this](const UnregisterBegin& e, const Stamp& at) { note(at, fmt::format("U:{}", e.subscriber)); });
    bus.listen<UnregisterEnd>(
        [this](const UnregisterEnd& e, const Stamp& at) { note(at, fmt::format("u:{}", e.subscriber)); });
    bus.listen<SubscriptionFreed>(
        [this](const SubscriptionFreed& e, const Stamp& at) { note(at, fmt::format("free:{}", e.subscriber)); });
    bus.listen<MmReleaseBegin>([this](const MmReleaseBegin&, const Stamp& at) { note(at, "R"); });
    bus.listen<MmReleaseEnd>([this](const MmReleaseEnd&, const Stamp& at) { note(at, "r"); });
    bus.listen<NotifierWarning>([this](const NotifierWarning& e, const Stamp&) { warnings.push_back(e.what); });
    bus.listen<SleptInAtomic>([this](const SleptInAtomic& e, const Stamp&) { atomic.push_back(e.what); });
  }
};

}  // namespace secmmu::testing
