#include "models/devices/gru/driver.hpp"

#include <algorithm>
#include <stdexcept>

#include <fmt/format.h>

#include "models/devices/events.hpp"

namespace secmmu {

// What the driver keeps for an address space, and the subscriber that it registers for it.
struct GruDevice::Gms final : ListSubscription {
  Gms(GruDevice& owner, Mm& space)
      : device(owner),
        mm(space),
        range_queue(owner.arbiter_, fmt::format("{}.range({})", owner.name_, space.name())),
        asid_lock(owner.arbiter_, "gru_asid", fmt::format("{}.asid({})", owner.name_, space.name())) {}

  GruDevice& device;
  Mm& mm;
  WaitQueue range_queue;
  SpinLock asid_lock;
  std::int64_t range_active = 0;
  std::uint32_t asid = 0;  // 0: none; the next load takes a fresh one
  std::uint32_t asid_generation = 0;
  unsigned loaded = 0;      // contexts of this address space that are in the hardware
  bool wanted = false;      // from the beginning of its registration until it is given up, or failed
  bool registered = false;  // the registration has answered

  const std::string& name() const override { return device.name_; }
  CallbackSet callbacks() const override {
    CallbackSet set{Callback::start, Callback::end};
    if (device.mms_.notifier.behaviour().invalidate_page) set.add(Callback::invalidate_page);
    return set;
  }
  void count(std::int64_t by) {
    device.arbiter_.step(device.arbiter_.costs.lock_release,
                         writes(ObjectKind::device_state, device.hardware.object()));
    range_active += by;
    device.arbiter_.bus().emit(DeviceRangeActive{device.name_, mm.name(), mm.id(), range_active});
  }
  Errno invalidate_range_start(const InvalidateRange& range) override {
    if (device.protocol_.range_active_count) count(+1);
    if (device.protocol_.purge_at_start) device.flush_range(*this, range.pages);
    return Errno::ok;
  }
  void invalidate_range_end(const InvalidateRange&) override {
    if (device.protocol_.range_active_count) count(-1);
    if (device.protocol_.wake_at_range_end) range_queue.wake_all();
  }
  // Up to v4.12: one PTE was cleared outside any range. A drop-in that is under way is defeated by the purge.
  void invalidate_page(AddressSpace&, Vpn page) override { device.flush_range(*this, one_page(page)); }
};

// What the driver keeps for a context (its thread state), and what its engine waits for in a miss.
struct GruDevice::Thread final : Waitable {
  Thread(GruDevice& owner, unsigned context_number)
      : device(owner),
        number(context_number),
        lock(owner.arbiter_, "gru_context", fmt::format("{}.context{}", owner.name_, context_number)),
        user_queue(owner.arbiter_, fmt::format("{}.cb{}", owner.name_, context_number)) {}

  GruDevice& device;
  unsigned number;
  Mutex lock;
  WaitQueue user_queue;
  Gms* gms = nullptr;
  Task* engine = nullptr;
  Task* user = nullptr;
  bool running = false;     // the engine executes a program
  bool wants_load = false;  // the engine met a context that is not in the hardware
  bool closed = false;      // its mapping is gone

  std::string describe() const override {
    return fmt::format("{} to resolve the miss of context {} on {}", device.name_, number,
                       to_text(address_of(hardware().fault.page)));
  }
  const Task* holder() const override { return user; }
  GruHardware::Context& hardware() const { return device.hardware.context(number); }
  void wake_engine() {
    if (engine != nullptr && engine->waiting_on() == this) device.arbiter_.wake(*engine);
  }
};

GruDevice::GruDevice(std::string name, Arbiter& arbiter, MmSystem& mms, std::vector<Processor*> processors,
                     GruConfig config)
    : config_(config),
      hardware(name.c_str(), arbiter, config_),
      name_(std::move(name)),
      arbiter_(arbiter),
      mms_(mms),
      processors_(std::move(processors)),
      miss_interrupt_{name_ + ".miss", [this] { interrupt(); }},
      late_purges_(arbiter.add_task(name_ + "/late-purges", TaskKind::service)) {
  late_queue_ = std::make_unique<WaitQueue>(arbiter, name_ + ".late-purges");
  for (unsigned i = 0; i < hardware.contexts(); ++i) threads_.push_back(std::make_unique<Thread>(*this, i));
}

GruDevice::~GruDevice() = default;

// --- attaching ------------------------------------------------------------------------------------

GruDevice::Gms* GruDevice::registered(const Mm& mm) {
  for (const auto& gms : gms_)
    if (&gms->mm == &mm && gms->registered) return gms.get();
  return nullptr;
}

Errno GruDevice::attach(Mm& mm) {
  const auto wanted = [&mm](const auto& gms) { return &gms->mm == &mm && gms->wanted; };
  if (std::any_of(gms_.begin(), gms_.end(), wanted)) return Errno::eexist;
  Gms& gms = *gms_.emplace_back(std::make_unique<Gms>(*this, mm));
  gms.wanted = true;
  Errno result = Errno::ok;
  if (mms_.notifier.behaviour().get_put) {
    ListSubscription* got = nullptr;
    mm.mmap_lock().lock_write();
    result = mms_.notifier.get_locked(
        this, mm, [&gms]() -> ListSubscription* { return &gms; }, got);
    mm.mmap_lock().unlock_write();
  } else {
    result = mms_.notifier.register_subscription(gms, mm);
  }
  gms.registered = gms.wanted = result == Errno::ok;
  if (result != Errno::ok) return result;
  mm.at_close.push_back([this, &gms] { close_mapping(gms); });
  return Errno::ok;
}

void GruDevice::detach(Mm& mm) {
  if (Gms* gms = registered(mm); gms != nullptr) close_mapping(*gms);
}

// The context's mapping is closed (munmap of it, or the end of an exit): contexts leave the hardware, then
// the subscription goes.
void GruDevice::close_mapping(Gms& gms) {
  if (!gms.registered) return;
  gms.registered = gms.wanted = false;
  for (const auto& thread : threads_) {
    if (thread->gms != &gms) continue;
    thread->lock.lock();
    thread->closed = true;
    GruHardware::Context& context = thread->hardware();
    if (context.loaded) {
      context.loaded = false;
      --gms.loaded;
    }
    if (context.fault.state != GruHardware::Fault::idle) {
      context.fault.state = GruHardware::Fault::exception;
      context.fault.purged = true;  // an interrupt may be about to drop in: it knows no lock of ours
    }
    thread->wake_engine();
    hardware.set_state(thread->number, "halted");
    thread->lock.unlock();
  }
  if (gms.asid != 0) hardware.retire(gms.asid);
  gms.asid = 0;
  arbiter_.bus().emit(DeviceDetached{name_, gms.mm.name(), gms.mm.id()});
  if (mms_.notifier.behaviour().get_put) {
    mms_.notifier.put(gms);
  } else {
    mms_.notifier.unregister(gms, gms.mm);
  }
}

// --- contexts -------------------------------------------------------------------------------------

// Numbers are given out in rows that end before one that a loaded context has kept from before a wrap. At
// the end of a row the whole TLB is flushed: whoever has left the hardware since may have left translations
// under a number of the next row. Between the flush and the choice of the row lies no point.
void GruDevice::assign_asid(Gms& gms) {
  if (gms.asid != 0 && gms.asid_generation == asid_generation_) return;
  if (gms.asid != 0) hardware.retire(gms.asid);
  if (next_asid_ >= asid_limit_) {
    hardware.purge_everything();
    if (next_asid_ >= asid_limit_) next_asids();
  }
  gms.asid = next_asid_++;
  gms.asid_generation = asid_generation_;
  hardware.own(gms.asid, {gms.mm.name(), gms.mm.id()});
}

void GruDevice::next_asids() {
  const auto in_use = [this](std::uint32_t asid) {
    return std::any_of(gms_.begin(), gms_.end(),
                       [asid](const auto& gms) { return gms->loaded > 0 && gms->asid == asid; });
  };
  const auto wrap = [this] {
    next_asid_ = 1;
    ++asid_generation_;
    ++counters_.asid_wraps;
  };
  if (next_asid_ > config_.asids) wrap();
  while (in_use(next_asid_))
    if (++next_asid_ > config_.asids) wrap();
  asid_limit_ = static_cast<std::uint32_t>(config_.asids) + 1;
  for (const auto& gms : gms_)
    if (gms->loaded > 0 && gms->asid > next_asid_) asid_limit_ = std::min(asid_limit_, gms->asid);
}

// Puts the thread's context into the hardware. In Linux: the fault on the context's mapping.
void GruDevice::load(Thread& thread) {
  thread.lock.lock();
  Gms& gms = *thread.gms;
  GruHardware::Context& context = thread.hardware();
  if (!context.loaded && !thread.closed) {
    gms.asid_lock.lock();
    if (gms.loaded == 0) assign_asid(gms);
    ++gms.loaded;
    context.asid = gms.asid;
    context.loaded = true;
    gms.asid_lock.unlock();
  }
  thread.lock.unlock();
}

// False: the address space has no subscription (yet, or any more).
bool GruDevice::open(Thread& thread, const Mm& mm) {
  thread.gms = registered(mm);
  thread.closed = thread.gms == nullptr;
  return !thread.closed;
}

// A context with a miss under way cannot be unloaded: the hardware holds it until the miss is dealt with.
void GruDevice::unload(unsigned number, Mm& mm) {
  Thread& thread = *threads_.at(number);
  thread.lock.lock();
  GruHardware::Context& context = thread.hardware();
  if (context.loaded && &thread.gms->mm == &mm && context.fault.state == GruHardware::Fault::idle) {
    Gms& gms = *thread.gms;
    gms.asid_lock.lock();
    // The engine takes no lock: it may have missed since.
    const bool at_rest = context.fault.state == GruHardware::Fault::idle;
    if (at_rest) {
      context.loaded = false;
      --gms.loaded;
    }
    gms.asid_lock.unlock();
    if (at_rest) hardware.set_state(number, "unloaded");
  }
  thread.lock.unlock();
}

void GruDevice::user_thread(unsigned number, Mm& mm, Task& engine, std::function<void()> program) {
  Thread& thread = *threads_.at(number);
  thread.user = &arbiter_.current();
  thread.engine = &engine;
  thread.running = true;
  if (open(thread, mm)) load(thread);
  hardware.set_state(number, "running");
  arbiter_.start(
      engine,
      [this, &thread, program = std::move(program)] {
        program();
        thread.running = false;
        hardware.set_state(thread.number, thread.closed ? "halted" : "idle");
        thread.user_queue.wake_all();
      },
      arbiter_.now());
  for (;;) {
    const auto wanted = [&thread] {
      return !thread.running || thread.wants_load || thread.hardware().fault.state == GruHardware::Fault::user;
    };
    thread.user_queue.wait_until(wanted, fmt::format("the program of {} context {} to end", name_, number));
    if (!thread.running) return;
    // After the end of its process it is a thread of nobody's: the closing of the mapping ends what the engine waits
    // for.
    if (!enter_kernel(mm)) {
      thread.user_queue.wait_until([&thread] { return !thread.running; },
                                   fmt::format("the program of {} context {} to end", name_, number));
      return;
    }
    if (thread.wants_load) {
      thread.wants_load = false;
      load(thread);
      thread.wake_engine();
    } else if (thread.hardware().fault.state == GruHardware::Fault::user) {
      arbiter_.step(config_.notice);
      user_call(thread, mm);
    }
    leave_kernel(mm);
  }
}

// --- invalidation ---------------------------------------------------------------------------------

// Purges what the hardware may hold. Where no context of the address space is loaded, the ASID is given up
// instead: the next load takes a fresh one, and nothing of the old one can be found again.
void GruDevice::flush_range(Gms& gms, PageRange pages) {
  gms.asid_lock.lock();
  if (gms.asid != 0) {
    if (gms.loaded > 0) {
      const std::uint64_t count = std::min(pages.pages(), config_.purge_limit);
      const PageRange purged{pages.first, pages.first + count};
      if (protocol_.synchronous_purge) {
        hardware.purge(gms.asid, purged);
      } else {
        late_.emplace_back(gms.asid, purged);
        late_queue_->wake_all();
      }
    } else if (protocol_.lazy_asid_flush) {
      hardware.retire(gms.asid);
      ++counters_.asids_retired;
      gms.asid = 0;
    }
  }
  gms.asid_lock.unlock();
}

void GruDevice::purge_later() {
  for (;;) {
    late_queue_->wait_until([this] { return !late_.empty(); }, "purges to carry out");
    const auto [asid, pages] = late_.front();
    late_.pop_front();
    hardware.purge(asid, pages);
  }
}

// --- accesses and misses ---------------------------------------------------------------------------

Errno GruDevice::access(unsigned number, Mm& mm, VirtAddr address, unsigned bytes, bool write, std::uint64_t& value) {
  Thread& thread = *threads_[number];
  GruHardware::Context& context = thread.hardware();
  std::uint64_t id = 0;
  for (;;) {
    if (!context.loaded) [[unlikely]] {
      if (thread.closed && !open(thread, mm)) {
        if (id != 0) arbiter_.bus().emit(DeviceFaultEnd{name_, mm.name(), mm.id(), id, address.page(), Errno::esrch});
        arbiter_.bus().tell(DeviceAccessEnd{name_, mm.name(), mm.id(), address, write, id != 0, value, Errno::esrch});
        return Errno::esrch;
      }
      thread.wants_load = true;
      thread.user_queue.wake_all();
      if (thread.wants_load) arbiter_.wait_for(thread, false);
      continue;
    }
    if (hardware.access(context, address, bytes, write, value)) [[likely]] {
      if (id != 0) {
        arbiter_.bus().emit(DeviceFaultEnd{name_, mm.name(), mm.id(), id, address.page(), Errno::ok});
        hardware.set_state(number, "running");
      }
      arbiter_.bus().tell(DeviceAccessEnd{name_, mm.name(), mm.id(), address, write, id != 0, value, Errno::ok});
      return Errno::ok;
    }
    if (id == 0) {
      id = next_fault_++;
      ++counters_.faults;
      hardware.set_state(number, "fault");
      arbiter_.bus().emit(DeviceFaultBegin{name_, mm.name(), mm.id(), id, address.page(), write});
    } else {
      ++counters_.retries;
      arbiter_.bus().emit(DeviceFaultRetry{name_, mm.name(), mm.id(), id, address.page(), "missed again"});
    }
    context.fault = {};
    context.fault.id = id;
    const Errno result = fault(thread, address.page(), write);
    if (result == Errno::ok) continue;
    ++counters_.errors;
    arbiter_.bus().emit(DeviceFaultEnd{name_, mm.name(), mm.id(), id, address.page(), result});
    hardware.set_state(number, thread.closed ? "halted" : "running");
    arbiter_.bus().tell(DeviceAccessEnd{name_, mm.name(), mm.id(), address, write, true, value, result});
    return result;
  }
}

// The engine has missed: it stands still until software has restarted its instruction or ended it.
Errno GruDevice::fault(Thread& thread, Vpn page, bool write) {
  GruHardware::FaultHandle& handle = thread.hardware().fault;
  handle.page = page;
  handle.asid = thread.hardware().asid;
  handle.write = write;
  arbiter_.step(config_.miss_detect, writes(ObjectKind::device_state, hardware.object(), thread.number));
  if (!thread.hardware().loaded) return thread.closed ? Errno::esrch : Errno::ok;  // unloaded: loads and misses again
  handle.state = GruHardware::Fault::interrupt;
  Processor& core = *processors_[config_.interrupt_cpu % processors_.size()];
  core.post(miss_interrupt_, config_.interrupt_latency);
  arbiter_.wait_for(thread, false);
  const bool failed = handle.state == GruHardware::Fault::exception;
  handle.state = GruHardware::Fault::idle;
  if (thread.closed) return Errno::esrch;
  return failed ? Errno::efault : Errno::ok;
}

// The miss interrupt: looks at every context whose miss it has not dealt with. May not sleep.
void GruDevice::interrupt() {
  ++counters_.interrupts;
  for (unsigned number = 0, contexts = hardware.contexts(); number < contexts; ++number) {
    const GruHardware::FaultHandle& fault = hardware.context(number).fault;
    if (fault.state != GruHardware::Fault::interrupt) continue;
    Thread* const thread = threads_[number].get();
    arbiter_.step(config_.fault_handle_read, writes(ObjectKind::device_state, hardware.object(), thread->number));
    if (fault.state != GruHardware::Fault::interrupt) continue;
    RwSemaphore& mmap_lock = thread->gms->mm.mmap_lock();
    bool locked = true;
    if (protocol_.interrupt_trylock) {
      locked = mmap_lock.try_lock_read();
    } else {
      mmap_lock.lock_read();
    }
    if (!locked) {
      ++counters_.trylock_failed;
      hand_to_user(*thread);
      continue;
    }
    try_drop_in(*thread, true);
    mmap_lock.unlock_read();
  }
}

void GruDevice::hand_to_user(Thread& thread) {
  GruHardware::FaultHandle& handle = thread.hardware().fault;
  if (handle.state != GruHardware::Fault::interrupt) return;  // ended meanwhile: its mapping was closed
  handle.read = false;
  handle.state = GruHardware::Fault::user;
  hardware.set_state(thread.number, "call_os");
  thread.user_queue.wake_all();
}

// The user thread asks the OS to resolve the miss of its control block. May sleep. The mmap lock is held
// for reading throughout, also while it waits for the end of a range: whoever has the range open holds the
// lock already or does not need it. Until it has both locks the mapping may be closed, and opened anew; whoever
// closes it takes the context's lock, and has ended the miss by then.
void GruDevice::user_call(Thread& thread, Mm& mm) {
  ++counters_.user_calls;
  mm.mmap_lock().lock_read();
  thread.lock.lock();
  while (thread.hardware().fault.state == GruHardware::Fault::user) {
    Gms& gms = *thread.gms;
    if (protocol_.wait_for_range_end)
      gms.range_queue.wait_until([&gms] { return gms.range_active == 0; },
                                 fmt::format("{}'s open ranges of {} to end", name_, gms.mm.name()));
    if (try_drop_in(thread, false) != DropIn::range_active) break;
    if (!protocol_.wait_for_range_end) {
      ++counters_.retries;
      arbiter_.bus().emit(DeviceFaultRetry{name_, gms.mm.name(), gms.mm.id(), thread.hardware().fault.id,
                                           thread.hardware().fault.page, "range active"});
    }
  }
  thread.lock.unlock();
  mm.mmap_lock().unlock_read();
}

// One attempt to resolve a miss. From the reading of the fault handle on, a purge of the page defeats the
// drop-in; so the page table may be read without any lock, as long as no range is open: a range that opens
// later purges.
GruDevice::DropIn GruDevice::try_drop_in(Thread& thread, bool atomic) {
  GruHardware::FaultHandle& handle = thread.hardware().fault;
  if (!atomic)
    arbiter_.step(config_.fault_handle_read, reads(ObjectKind::device_state, hardware.object(), thread.number));
  if (handle.state == GruHardware::Fault::idle || handle.state == GruHardware::Fault::exception) return DropIn::done;
  Gms& gms = *thread.gms;
  Mm& mm = gms.mm;
  handle.read = true;
  handle.purged = false;
  const Vpn page = handle.page;
  const bool write = handle.write;
  const std::uint64_t id = handle.id;

  arbiter_.step(arbiter_.costs.lock_release, reads(ObjectKind::device_state, hardware.object()));
  if (protocol_.range_active_check && gms.range_active != 0) {
    ++counters_.blocked_by_range;
    if (atomic) hand_to_user(thread);
    return DropIn::range_active;
  }
  Pte entry = lookup_pte(mm, page);
  Pfn frame = entry.frame();
  const bool usable = entry.present() && (!write || !protocol_.write_check || (entry.writable() && entry.dirty()));
  if (!usable) {
    if (atomic) {
      hand_to_user(thread);
      return DropIn::again;
    }
    if (get_user_page_locked(mm, page, write, frame, entry) != Errno::ok) {
      handle.state = GruHardware::Fault::exception;
      thread.wake_engine();
      return DropIn::failed;
    }
    mms_.memory.put(frame);  // the notifier, not a reference, keeps the translation right
  }
  if (handle.id != id) return DropIn::done;  // ended while we looked, and another one has missed
  hardware.drop_in(thread.hardware(), frame, write);
  thread.wake_engine();
  return DropIn::done;
}

// --- the rest --------------------------------------------------------------------------------------

const std::vector<CounterRow>& gru_counter_rows() {
  static const std::vector<CounterRow> rows = {
      {"hits", "count", "Accesses that found their translation."},
      {"faults", "count", "Misses, each counted once however often it was retried."},
      {"retries", "count", "Attempts at a miss that had to begin again."},
      {"interrupts", "count", "Miss interrupts taken."},
      {"user_calls", "count", "Misses that a user thread took to the OS."},
      {"blocked_by_range", "count", "Drop-ins refused because a range was open."},
      {"trylock_failed", "count", "Interrupts that did not get the mmap lock."},
      {"drop_ins", "count", "Drop-ins tried."},
      {"drop_ins_defeated", "count", "Drop-ins that a purge had turned into a no-op."},
      {"purges", "count", "Purges carried out."},
      {"errors", "count", "Misses that ended with an error."},
      {"asids_retired", "count", "ASIDs given up by a start that met no loaded context."},
      {"asid_wraps", "count", "Times that the ASIDs began again."},
      {"valid_entries", "count", "Translations in the TLB now."},
      {"range_active", "count", "Open ranges that the driver counts now."},
  };
  return rows;
}

std::vector<CounterRow> GruDevice::counters() const {
  std::int64_t active = 0;
  for (const auto& gms : gms_) active += gms->range_active;
  const std::uint64_t values[] = {hardware.hits,
                                  counters_.faults,
                                  counters_.retries,
                                  counters_.interrupts,
                                  counters_.user_calls,
                                  counters_.blocked_by_range,
                                  counters_.trylock_failed,
                                  hardware.drop_ins,
                                  hardware.drop_ins_defeated,
                                  hardware.purges,
                                  counters_.errors,
                                  counters_.asids_retired,
                                  counters_.asid_wraps,
                                  hardware.valid_entries(),
                                  static_cast<std::uint64_t>(active)};
  std::vector<CounterRow> rows = gru_counter_rows();
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i].value = static_cast<std::int64_t>(values[i]);
  return rows;
}

void GruDevice::set_without(const std::vector<std::string>& rules) {
  protocol_ = {};
  for (const std::string& rule : rules)
    if (!protocol_.switch_off(rule)) throw std::logic_error("no protocol rule " + rule);
}

void GruDevice::reset() {
  hardware.purge_defeats_drop_in = protocol_.purge_defeats_drop_in;
  hardware.full_purge_at_limit = protocol_.full_purge_at_limit;
  hardware.reset();
  for (const auto& gms : gms_) gms->forget_registration();
  gms_.clear();
  for (const auto& thread : threads_) {
    thread->lock.reset();
    thread->user_queue.reset();
    thread->gms = nullptr;
    thread->engine = nullptr;
    thread->user = nullptr;
    thread->running = false;
    thread->wants_load = false;
    thread->closed = false;
  }
  late_.clear();
  late_queue_->reset();
  next_asid_ = 1;
  asid_limit_ = static_cast<std::uint32_t>(config_.asids) + 1;
  asid_generation_ = 1;
  next_fault_ = 1;
  counters_ = {};
  if (!protocol_.synchronous_purge) arbiter_.start(late_purges_, [this] { purge_later(); });
}

}  // namespace secmmu
