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
          .flag("range_check", &ProbeConfig::range_check,
                "A fill waits while a range is open (only without scripts for start and end).")
          .duration("hit", &ProbeConfig::hit, "An access through a translation that is there.")
          .duration("fill", &ProbeConfig::fill, "Making a translation, after the look at the page table.")
          .duration("zap", &ProbeConfig::zap, "Dropping a range of translations.");
  return table;
}

struct ProbeDevice::Subscription final : ListSubscription {
  Subscription(ProbeDevice& owner, Mm& space)
      : probe(owner), mm(space), queue(owner.arbiter_, fmt::format("{}.range({})", owner.name_, space.name())) {}

  ProbeDevice& probe;
  Mm& mm;
  WaitQueue queue;
  std::int64_t open = 0;
  bool registered = false;
  bool released = false;
  bool freed = false;

  const std::string& name() const override { return probe.name_; }
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
  CallbackContext run(Callback callback, PageRange pages, bool blockable = true) {
    ++probe.callbacks_;
    CallbackContext context{probe, mm, callback, pages, blockable};
    const auto script = probe.scripts_.find(callback);
    if (script != probe.scripts_.end()) {
      script->second(context);
      return context;
    }
    switch (callback) {
      case Callback::start:
        count(+1);
        context.zap();
        break;
      case Callback::end:
        count(-1);
        queue.wake_all();
        break;
      case Callback::release:
        released = true;
        context.zap();
        queue.wake_all();
        probe.arbiter_.bus().emit(DeviceDetached{probe.name_, mm.name(), mm.id()});
        break;
      default:
        context.zap();
        break;
    }
    return context;
  }
  void count(std::int64_t by) {
    probe.arbiter_.step(probe.arbiter_.costs.lock_release, writes(ObjectKind::device_state, probe.object_));
    open += by;
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
};

ProbeDevice::ProbeDevice(std::string name, Arbiter& arbiter, MmSystem& mms, ProbeConfig config,
                         const sc_core::sc_module_name& port_name)
    : port(port_name),
      name_(std::move(name)),
      arbiter_(arbiter),
      mms_(mms),
      config_(config),
      object_(static_cast<std::uint32_t>(arbiter.new_object_id())) {}

ProbeDevice::~ProbeDevice() = default;

void ProbeDevice::CallbackContext::zap() { probe.zap(mm, pages); }

void ProbeDevice::CallbackContext::unregister() {
  if (Subscription* subscription = probe.subscription_of(mm)) {
    subscription->registered = false;
    probe.mms_.notifier.unregister(*subscription, mm);
  }
}

// A driver that gives the subscriber's memory back here and now. The object stays, so that the model lives
// to tell; every later callback is a use after free.
void ProbeDevice::CallbackContext::free_subscription() {
  for (const auto& subscription : probe.subscriptions_)
    if (&subscription->mm == &mm && !subscription->freed) {
      subscription->freed = true;
      probe.arbiter_.bus().emit(SubscriptionFreed{mm.name(), mm.id(), probe.name_, subscription->serial()});
    }
}

void ProbeDevice::set_script(Callback callback, Script script) { scripts_[callback] = std::move(script); }
void ProbeDevice::clear_scripts() { scripts_.clear(); }

ProbeDevice::Subscription* ProbeDevice::subscription_of(const Mm& mm) {
  for (const auto& subscription : subscriptions_)
    if (&subscription->mm == &mm && subscription->registered) return subscription.get();
  return nullptr;
}

Errno ProbeDevice::attach(Mm& mm) {
  if (subscription_of(mm) != nullptr) return Errno::eexist;
  auto& subscription = subscriptions_.emplace_back(std::make_unique<Subscription>(*this, mm));
  const Errno result = mms_.notifier.register_subscription(*subscription, mm);
  subscription->registered = result == Errno::ok;
  return result;
}

void ProbeDevice::detach(Mm& mm) {
  Subscription* subscription = subscription_of(mm);
  if (subscription == nullptr) return;
  subscription->registered = false;
  mms_.notifier.unregister(*subscription, mm);
}

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
        arbiter_.bus().emit(
            DeviceMarkedAccess{name_, mm.name(), mm.id(), address, entry.frame, write, value, &entry.ghost});
      if (id != 0) arbiter_.bus().emit(DeviceFaultEnd{name_, mm.name(), mm.id(), id, address.page(), Errno::ok});
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
    return result;
  }
}

Errno ProbeDevice::fill(Subscription* subscription, Mm& mm, Vpn page, bool write, std::uint64_t id) {
  const bool well_behaved = scripts_.empty();  // scripts make it a driver that knows no better
  const auto gone = [subscription] {
    return subscription == nullptr || subscription->released || !subscription->registered;
  };
  if (well_behaved ? gone() : subscription != nullptr && subscription->released) return Errno::esrch;
  arbiter_.step(config_.fill, writes(ObjectKind::device_entry, object_, page.value));
  if (well_behaved && gone()) return Errno::esrch;
  if (config_.range_check && well_behaved && subscription->open != 0) {
    ++retries_;
    arbiter_.bus().emit(DeviceFaultRetry{name_, mm.name(), mm.id(), id, page, "range open"});
    // Who leaves inside a range is not told of its end.
    subscription->queue.wait_until([subscription, &gone] { return subscription->open == 0 || gone(); },
                                   fmt::format("{}'s open ranges of {} to end", name_, mm.name()));
    return Errno::ok;
  }
  // The look at the page table and the fill happen at one instant: nothing can come between.
  Pte entry = mm.peek(page);
  if (!entry.present() || (write && !entry.writable())) {
    Pfn frame = kNoPfn;
    if (get_user_page(mm, page, write, frame, entry) != Errno::ok) return Errno::efault;
    mms_.memory.put(frame);
    return Errno::ok;  // look again: the page may have gone since
  }
  auto& slot = entries_[{mm.id(), page.value}];
  if (slot != nullptr)
    arbiter_.bus().emit(DeviceDrop{name_, mm.name(), mm.id(), page, slot->frame, &slot->ghost, "replace"});
  slot = std::make_unique<Entry>();
  slot->frame = entry.frame();
  slot->writable = entry.writable();
  arbiter_.bus().emit(DeviceFill{name_, mm.name(), mm.id(), page, slot->frame, slot->writable, &slot->ghost});
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
  for (const auto& subscription : subscriptions_) subscription->forget_registration();
  subscriptions_.clear();
  next_fault_ = 1;
  hits_ = 0;
  faults_ = 0;
  retries_ = 0;
  zapped_ = 0;
  callbacks_ = 0;
}

}  // namespace secmmu
