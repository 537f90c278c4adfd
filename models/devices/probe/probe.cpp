#include "models/devices/probe/probe.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "models/devices/events.hpp"
#include "notifier/events.hpp"

namespace secmmu {

const ParameterTable<ProbeConfig>& probe_table() {
  static const ParameterTable<ProbeConfig> table =
      ParameterTable<ProbeConfig>("probe")
          .integer("contexts", &ProbeConfig::contexts, 1, 64, "Actors that may use the probe at once.")
          .choice("subscription", &ProbeConfig::subscription, {"list", "shared", "interval"},
                  "How it subscribes: in the list, in the list by get and put (v5.4 on), or as an interval (v5.5 on).")
          .flag("never_blocks", &ProbeConfig::never_blocks,
                "Says that none of its callbacks blocks (asked for in v4.16 to v4.18).")
          .flag("retry_check", &ProbeConfig::retry_check,
                "interval: a fill asks under the driver's lock whether an invalidation came between.")
          .flag("range_check", &ProbeConfig::range_check, "A fill waits while a range is counted as open.")
          .flag("look_first", &ProbeConfig::look_first,
                "A fill looks at the page table before it takes its time, and begins again if a range was open since.")
          .flag("late_object", &ProbeConfig::late_object,
                "It counts open ranges for an object that the step add_object makes, and has nothing to fill before.")
          .duration("hit", &ProbeConfig::hit, "An access through a translation that is there.")
          .duration("fill", &ProbeConfig::fill, "Making a translation, after the look at the page table.")
          .duration("zap", &ProbeConfig::zap, "Dropping a range of translations.");
  return table;
}

// The translations' side of one mm: the list subscriber, and beside it the interval one.
struct ProbeDevice::Subscription final : ListSubscription {
  Subscription(ProbeDevice& owner, Mm& space)
      : probe(owner), mm(space), queue(owner.arbiter_, fmt::format("{}.range({})", owner.name_, space.name())) {}

  struct Interval final : IntervalSubscription {
    explicit Interval(Subscription& subscription) : owner(subscription) {}
    const std::string& name() const override { return owner.probe.name_; }
    bool invalidate(const InvalidateRange& range, std::uint64_t sequence) override {
      return owner.run(Callback::interval_invalidate, range.pages, range.blockable, sequence).result == Errno::ok;
    }
    Subscription& owner;
  };

  ProbeDevice& probe;
  Mm& mm;
  WaitQueue queue;
  Interval interval{*this};
  std::int64_t open = 0;     // ranges, as counted for the object
  std::uint64_t closed = 0;  // how often one was closed
  std::int64_t started = 0;  // ranges, as counted for the whole mm
  bool has_object = !probe.config_.late_object;
  unsigned users = 0;       // shared: how often this probe has got it
  bool wanted = false;      // from the beginning of its registration until it is given up, or failed
  bool registered = false;  // the registration has answered
  bool released = false;
  bool freed = false;

  const std::string& name() const override { return probe.name_; }
  bool never_blocks() const override { return probe.config_.never_blocks; }
  CallbackSet callbacks() const override {
    if (probe.scripts_.empty()) {
      CallbackSet set{Callback::start, Callback::end, Callback::release};
      if (probe.mms_.notifier.behaviour().invalidate_page) set.add(Callback::invalidate_page);
      return set;
    }
    CallbackSet set;
    for (const auto& [callback, script] : probe.scripts_) set.add(callback);
    return set;
  }
  // Runs the script of a callback, or the default.
  CallbackContext run(Callback callback, PageRange pages, bool blockable = true, std::uint64_t sequence = 0) {
    ++probe.callbacks_;
    CallbackContext context{probe, mm, callback, pages, blockable};
    context.sequence = sequence;
    const auto script = probe.scripts_.find(callback);
    if (script != probe.scripts_.end()) {
      script->second(context);
      return context;
    }
    switch (callback) {
      case Callback::start:
        ++started;
        if (has_object) count(+1);
        context.zap();
        break;
      case Callback::end:
        --started;
        if (has_object) count(-1);
        queue.wake_all();
        break;
      case Callback::release:
        released = true;
        context.zap();
        queue.wake_all();
        probe.arbiter_.bus().emit(DeviceDetached{probe.name_, mm.name(), mm.id()});
        break;
      case Callback::interval_invalidate:
        obey_interval(context);
        break;
      case Callback::free_notifier:
        break;
      default:
        context.zap();
        break;
    }
    return context;
  }
  // Rule: sequence first, then the translations, both under the lock that a fill holds.
  void obey_interval(CallbackContext& context) {
    if (context.blockable) {
      probe.lock_.lock();
    } else if (!probe.lock_.try_lock()) {
      context.result = Errno::eagain;
      return;
    }
    context.set_sequence();
    context.zap();
    probe.lock_.unlock();
  }
  void count(std::int64_t by) {
    probe.arbiter_.step(probe.arbiter_.costs.lock_release, writes(ObjectKind::device_state, probe.object_));
    open += by;
    if (by < 0) ++closed;
    probe.arbiter_.bus().emit(DeviceRangeActive{probe.name_, mm.name(), mm.id(), open});
  }
  void release(AddressSpace&) override { run(Callback::release, kWholeSpace); }
  bool clear_flush_young(AddressSpace&, PageRange pages) override {
    return run(Callback::clear_flush_young, pages).young;
  }
  bool clear_young(AddressSpace&, PageRange pages) override { return run(Callback::clear_young, pages).young; }
  bool test_young(AddressSpace&, Vpn page) override { return run(Callback::test_young, one_page(page)).young; }
  void change_pte(AddressSpace&, Vpn page, Pfn, bool) override { run(Callback::change_pte, one_page(page)); }
  void invalidate_page(AddressSpace&, Vpn page) override { run(Callback::invalidate_page, one_page(page)); }
  Errno invalidate_range_start(const InvalidateRange& range) override {
    return run(Callback::start, range.pages, range.blockable).result;
  }
  void invalidate_range_end(const InvalidateRange& range) override { run(Callback::end, range.pages, range.blockable); }
  void invalidate_range(AddressSpace&, PageRange pages) override { run(Callback::invalidate_range, pages); }
  void arch_invalidate_secondary_tlbs(AddressSpace&, PageRange pages) override { run(Callback::secondary_tlbs, pages); }
  void free_notifier() override {
    run(Callback::free_notifier, kWholeSpace);
    freed = true;
  }
};

ProbeDevice::ProbeDevice(std::string name, Arbiter& arbiter, MmSystem& mms, ProbeConfig config,
                         const sc_core::sc_module_name& port_name)
    : port(port_name),
      name_(std::move(name)),
      arbiter_(arbiter),
      mms_(mms),
      config_(config),
      object_(static_cast<std::uint32_t>(arbiter.new_object_id())),
      lock_(arbiter, "probe_lock", name_ + ".lock") {}

ProbeDevice::~ProbeDevice() = default;

void ProbeDevice::CallbackContext::zap() { probe.zap(mm, pages); }

void ProbeDevice::CallbackContext::unregister() { probe.detach(mm); }
void ProbeDevice::CallbackContext::unregister_no_release() { probe.detach_no_release(mm); }
void ProbeDevice::CallbackContext::free_subscription() { probe.free_subscription(mm); }
void ProbeDevice::CallbackContext::free_later() { probe.free_later(mm); }
void ProbeDevice::CallbackContext::open_range(std::int64_t by) {
  Subscription* subscription = probe.latest_of(mm);
  if (subscription == nullptr) return;
  subscription->count(by);
  if (by < 0) subscription->queue.wake_all();
}
void ProbeDevice::CallbackContext::set_sequence() {
  if (Subscription* subscription = probe.latest_of(mm);
      subscription != nullptr && subscription->interval.mm() != nullptr)
    probe.mms_.notifier.set_sequence(subscription->interval, sequence);
}

void ProbeDevice::set_script(Callback callback, Script script) { scripts_[callback] = std::move(script); }
void ProbeDevice::clear_scripts() { scripts_.clear(); }

ProbeDevice::Subscription* ProbeDevice::subscription_of(const Mm& mm) {
  for (const auto& subscription : subscriptions_)
    if (&subscription->mm == &mm && subscription->registered) return subscription.get();
  return nullptr;
}

ProbeDevice::Subscription* ProbeDevice::latest_of(const Mm& mm) {
  for (auto it = subscriptions_.rbegin(); it != subscriptions_.rend(); ++it)
    if (&(*it)->mm == &mm) return it->get();
  return nullptr;
}

// A scripted driver stands for one that was ported to each kernel: what a kernel does not call is left out.
// If nothing remains by which it could hear of an invalidation, the scenario says nothing about that kernel.
void ProbeDevice::require_a_hook() const {
  const NotifierBehaviour& kernel = mms_.notifier.behaviour();
  // Not release, which comes too late, nor free_notifier; and intervals say by themselves what a kernel lacks.
  const Callback hooks[] = {Callback::start,
                            Callback::end,
                            Callback::invalidate_page,
                            Callback::change_pte,
                            Callback::clear_flush_young,
                            Callback::clear_young,
                            Callback::test_young,
                            Callback::invalidate_range,
                            Callback::secondary_tlbs};
  std::string missing;
  for (const Callback callback : hooks) {
    if (scripts_.count(callback) == 0) continue;
    if (calls(kernel, callback)) return;
    missing += fmt::format("{}{}", missing.empty() ? "" : " and ", callback_name(callback));
  }
  if (!missing.empty()) throw AbsentInKernel(fmt::format("the callback {} does not exist in this kernel", missing));
}

// v5.4: one subscription for all users of this driver on the mm. A driver before that has none to share.
Errno ProbeDevice::get_shared(Mm& mm) {
  mm.mmap_lock().lock_write();
  ListSubscription* found = nullptr;
  const Errno result = mms_.notifier.get_locked(
      this, mm, [&] { return subscriptions_.emplace_back(std::make_unique<Subscription>(*this, mm)).get(); }, found);
  mm.mmap_lock().unlock_write();
  if (result == Errno::ok) {
    auto& subscription = static_cast<Subscription&>(*found);
    ++subscription.users;
    subscription.registered = true;
  }
  return result;
}

Errno ProbeDevice::attach_pages(Mm& mm, PageRange interval) {
  require_a_hook();
  if (config_.subscription == "shared") return get_shared(mm);
  if (wanted(mm)) return Errno::eexist;
  // Not a reference into the vector: others may register, on this mm or another, before this one is through.
  Subscription* const subscription = subscriptions_.emplace_back(std::make_unique<Subscription>(*this, mm)).get();
  subscription->wanted = true;
  const Errno result = config_.subscription == "interval"
                           ? mms_.notifier.interval_insert(subscription->interval, mm, address_of(interval.first),
                                                           interval.pages() * kPageSize)
                           : mms_.notifier.register_subscription(*subscription, mm);
  subscription->registered = subscription->wanted = result == Errno::ok;
  return result;
}

bool ProbeDevice::wanted(const Mm& mm) const {
  return std::any_of(subscriptions_.begin(), subscriptions_.end(),
                     [&mm](const auto& subscription) { return &subscription->mm == &mm && subscription->wanted; });
}

// Who leaves inside a range is not told of its end: who waits for that must not wait any more.
void ProbeDevice::leave(Subscription& subscription) {
  subscription.registered = subscription.wanted = false;
  if (scripts_.empty()) subscription.queue.wake_all();
}

void ProbeDevice::detach(Mm& mm) {
  Subscription* subscription = subscription_of(mm);
  if (subscription == nullptr) return;
  if (config_.subscription == "shared") {
    if (--subscription->users == 0) {
      leave(*subscription);
      if (scripts_.empty()) zap(mm, kWholeSpace);  // put calls no release: the driver lets go first
    }
    mms_.notifier.put(*subscription);
    return;
  }
  leave(*subscription);
  if (config_.subscription == "interval") {
    mms_.notifier.interval_remove(subscription->interval);
    if (scripts_.empty()) zap(mm, kWholeSpace);
  } else {
    mms_.notifier.unregister(*subscription, mm);
  }
}

void ProbeDevice::detach_no_release(Mm& mm) {
  Subscription* subscription = subscription_of(mm);
  if (subscription == nullptr) return;
  leave(*subscription);
  mms_.notifier.unregister_no_release(*subscription, mm);
}

// The object stays, so that the model lives to tell; every later callback is a use after free.
void ProbeDevice::free_subscription(Mm& mm) {
  Subscription* subscription = latest_of(mm);
  if (subscription == nullptr || subscription->freed) return;
  subscription->freed = true;
  const bool interval = config_.subscription == "interval";
  arbiter_.bus().emit(SubscriptionFreed{mm.name(), mm.id(), name_,
                                        interval ? subscription->interval.serial() : subscription->serial()});
}

// Before v3.17 a driver has RCU only. Since v5.4 it has put.
void ProbeDevice::free_later(Mm& mm) {
  const NotifierBehaviour& kernel = mms_.notifier.behaviour();
  const auto free = [this, &mm] { free_subscription(mm); };
  if (kernel.call_after_grace || kernel.get_put)
    mms_.notifier.call_after_grace_period(free);
  else
    mms_.notifier.call_rcu(free);
}

void ProbeDevice::drain(Mm& mm) {
  Subscription* subscription = latest_of(mm);
  if (subscription == nullptr) return;
  const bool all = config_.late_object;
  subscription->queue.wait_until([=] { return (all ? subscription->started : subscription->open) == 0; },
                                 fmt::format("{}'s open ranges of {} to end", name_, mm.name()));
}

void ProbeDevice::add_object(Mm& mm) {
  arbiter_.step(config_.hit, writes(ObjectKind::device_state, object_));
  if (Subscription* subscription = latest_of(mm); subscription != nullptr) subscription->has_object = true;
}

void ProbeDevice::driver_exit() { arbiter_.bus().emit(DriverGone{name_}); }

void ProbeDevice::zap(Mm& mm, PageRange pages) {
  arbiter_.step(config_.zap, writes(ObjectKind::device_entry, object_));
  auto it = entries_.lower_bound({mm.id(), pages.first.value});
  while (it != entries_.end() && it->first.first == mm.id() && it->first.second < pages.end.value) {
    arbiter_.bus().emit(
        DeviceDrop{name_, mm.name(), mm.id(), {it->first.second}, it->second->frame, &it->second->ghost, "zap"});
    it = entries_.erase(it);
    ++zapped_;
  }
}

Errno ProbeDevice::access(unsigned, Mm& mm, VirtAddr address, unsigned bytes, bool write, std::uint64_t& value) {
  std::uint64_t id = 0;
  for (;;) {
    arbiter_.step(config_.hit, {ObjectKind::device_entry, false, object_, address.page().value});
    const auto it = entries_.find({mm.id(), address.page().value});
    if (it != entries_.end() && (!write || it->second->writable)) {
      const Entry& entry = *it->second;
      const PhysAddr at = address_of(entry.frame) + address.offset();
      if (write) {
        port.write(at, &value, bytes);
      } else {
        value = 0;
        port.read(at, &value, bytes);
      }
      ++hits_;
      if (entry.ghost.word != 0)
        tell_marked(arbiter_.bus(), {name_, mm.name(), mm.id(), address, entry.frame, write, value, &entry.ghost});
      if (id != 0) arbiter_.bus().emit(DeviceFaultEnd{name_, mm.name(), mm.id(), id, address.page(), Errno::ok});
      arbiter_.bus().tell(DeviceAccessEnd{name_, mm.name(), mm.id(), address, write, id != 0, value, Errno::ok});
      return Errno::ok;
    }
    if (id == 0) {
      id = next_fault_++;
      ++faults_;
      arbiter_.bus().emit(DeviceFaultBegin{name_, mm.name(), mm.id(), id, address.page(), write});
    }
    const Errno result = fill(subscription_of(mm), mm, address.page(), write, id);
    if (result == Errno::ok) continue;
    arbiter_.bus().emit(DeviceFaultEnd{name_, mm.name(), mm.id(), id, address.page(), result});
    arbiter_.bus().tell(DeviceAccessEnd{name_, mm.name(), mm.id(), address, write, true, value, result});
    return result;
  }
}

void ProbeDevice::keep(Mm& mm, Vpn page, Pte entry) {
  auto& slot = entries_[{mm.id(), page.value}];
  if (slot != nullptr)
    arbiter_.bus().emit(DeviceDrop{name_, mm.name(), mm.id(), page, slot->frame, &slot->ghost, "replace"});
  slot = std::make_unique<Entry>();
  slot->frame = entry.frame();
  slot->writable = entry.writable();
  arbiter_.bus().emit(DeviceFill{name_, mm.name(), mm.id(), page, slot->frame, slot->writable, &slot->ghost});
}

// Rule: who faults for a device is a user of the memory for that time (mmget_not_zero); if the process has ended there
// is nothing to fault for. A scripted driver does not ask. No reference of the frame is kept.
Errno ProbeDevice::look(Mm& mm, Vpn page, bool write, Pte& entry) {
  const bool user = enter_kernel(mm);
  if (!user && scripts_.empty()) return Errno::esrch;
  Pfn frame = kNoPfn;
  const Errno found = get_user_page(mm, page, write, frame, entry);
  if (found == Errno::ok) mms_.memory.put(frame);
  if (user) leave_kernel(mm);
  return found == Errno::ok ? Errno::ok : Errno::efault;
}

// Rule: what is found in the page table may be kept only if no invalidation came since read_begin, and that
// is asked under the lock under which invalidate() works.
Errno ProbeDevice::fill_by_sequence(Subscription& subscription, Mm& mm, Vpn page, bool write, std::uint64_t id) {
  NotifierCore& core = mms_.notifier;
  const std::uint64_t sequence = core.read_begin(subscription.interval);
  Pte entry;
  if (const Errno found = look(mm, page, write, entry); found != Errno::ok) return found;
  arbiter_.step(config_.fill, writes(ObjectKind::device_entry, object_, page.value));
  lock_.lock();
  if (!subscription.registered) {  // given up meanwhile: there is nobody left to ask
    lock_.unlock();
    return Errno::esrch;
  }
  const bool again = config_.retry_check && core.read_retry(subscription.interval, sequence);
  if (!again) keep(mm, page, entry);
  lock_.unlock();
  if (again) {
    ++retries_;
    arbiter_.bus().emit(DeviceFaultRetry{name_, mm.name(), mm.id(), id, page, "sequence moved"});
  }
  return Errno::ok;
}

// A well-behaved driver uses nothing of an address space that was released or that it has given up. A scripted
// one does not know.
bool ProbeDevice::gone(const Subscription* subscription) const {
  if (!scripts_.empty()) return false;
  return subscription == nullptr || subscription->released || !subscription->registered;
}

// Rule: a page that was found before a range began, or in one, may be gone when it ends.
Errno ProbeDevice::fill_by_count(Subscription& counted, Mm& mm, Vpn page, bool write, std::uint64_t id) {
  const std::uint64_t closed = counted.closed;
  Pte entry;
  if (const Errno found = look(mm, page, write, entry); found != Errno::ok) return found;
  arbiter_.step(config_.fill, writes(ObjectKind::device_entry, object_, page.value));
  if (gone(&counted)) return Errno::esrch;
  if (counted.open == 0 && counted.closed == closed) {
    keep(mm, page, entry);
    return Errno::ok;
  }
  ++retries_;
  arbiter_.bus().emit(DeviceFaultRetry{name_, mm.name(), mm.id(), id, page, "range open"});
  counted.queue.wait_until([&] { return counted.open == 0 || gone(&counted); },
                           fmt::format("{}'s open ranges of {} to end", name_, mm.name()));
  return Errno::ok;
}

Errno ProbeDevice::fill(Subscription* subscription, Mm& mm, Vpn page, bool write, std::uint64_t id) {
  const bool well_behaved = scripts_.empty();  // scripts make it a driver that knows no better
  if (gone(subscription) || (subscription != nullptr && subscription->released)) return Errno::esrch;
  if (subscription != nullptr && !subscription->has_object) return Errno::efault;
  if (config_.subscription == "interval")
    return subscription == nullptr ? Errno::esrch : fill_by_sequence(*subscription, mm, page, write, id);
  if (config_.look_first && subscription != nullptr) return fill_by_count(*subscription, mm, page, write, id);
  arbiter_.step(config_.fill, writes(ObjectKind::device_entry, object_, page.value));
  if (gone(subscription)) return Errno::esrch;
  Subscription* const counted = well_behaved ? subscription : latest_of(mm);
  if (config_.range_check && counted != nullptr && counted->open != 0) {
    ++retries_;
    arbiter_.bus().emit(DeviceFaultRetry{name_, mm.name(), mm.id(), id, page, "range open"});
    counted->queue.wait_until([&] { return counted->open == 0 || gone(counted); },
                              fmt::format("{}'s open ranges of {} to end", name_, mm.name()));
    return Errno::ok;
  }
  // The look at the page table and the fill happen at one instant: nothing can come between.
  Pte entry = mm.peek(page);
  if (!entry.present() || (write && !entry.writable())) {
    return look(mm, page, write, entry);  // and once more: the page may have gone since
  }
  keep(mm, page, entry);
  return Errno::ok;
}

const std::vector<CounterRow>& probe_counter_rows() {
  static const std::vector<CounterRow> rows = {
      {"hits", "count", "Accesses that found their translation."},
      {"faults", "count", "Misses."},
      {"retries", "count", "Fills that had to begin again."},
      {"zapped", "count", "Translations dropped by callbacks."},
      {"callbacks", "count", "Callbacks that ran."},
      {"valid_entries", "count", "Translations held now."},
  };
  return rows;
}

std::vector<CounterRow> ProbeDevice::counters() const {
  const std::uint64_t values[] = {hits_, faults_, retries_, zapped_, callbacks_, entries_.size()};
  std::vector<CounterRow> rows = probe_counter_rows();
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i].value = static_cast<std::int64_t>(values[i]);
  return rows;
}

void ProbeDevice::reset() {
  entries_.clear();
  for (const auto& subscription : subscriptions_) {
    subscription->forget_registration();
    subscription->interval.forget_registration();
  }
  subscriptions_.clear();
  next_fault_ = 1;
  hits_ = 0;
  faults_ = 0;
  retries_ = 0;
  zapped_ = 0;
  callbacks_ = 0;
}

}  // namespace secmmu
