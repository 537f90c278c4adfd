#include "sim/output/waveform.hpp"

#include <algorithm>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "models/cpu/events.hpp"
#include "models/devices/events.hpp"
#include "models/memory/events.hpp"
#include "models/mm/events.hpp"
#include "notifier/events.hpp"
#include "notifier/substrate/sync/events.hpp"
#include "sim/output/event_filter.hpp"
#include "sim/output/gtkw_writer.hpp"
#include "sim/output/vcd_writer.hpp"

namespace secmmu {
namespace {

constexpr std::string_view kIdlePrefix = "idle/";
constexpr std::string_view kMmapLock = "mmap_lock(";
constexpr unsigned kCountBits = 16;
constexpr unsigned kSequenceBits = 32;
constexpr unsigned kFrameBits = 40;

// How many instants with a change are shown around the first violation.
constexpr std::size_t kShownBefore = 120;
constexpr std::size_t kShownAfter = 30;

enum class LockState : std::uint8_t { free, read, write };
enum class SpaceState : std::uint8_t { none, alive, released, freed };
enum class Mode : std::uint8_t { idle, program, syscall, fault, callback, spin, irq };

const std::vector<std::string> kLockStates{"free", "read", "write"};
const std::vector<std::string> kSpaceStates{"none", "alive", "released", "freed"};
const std::vector<std::string> kModes{"idle", "program", "syscall", "fault", "callback", "spin", "irq"};
const std::vector<std::string> kContextStates{"idle", "running", "fault", "call_os", "halted", "other"};
const std::vector<std::string> kCallbacks{
    "none",  "release", "clear_flush_young", "clear_young", "test_young", "change_pte", "page",
    "start", "end",     "secondary_tlbs"};

template <class State>
std::uint64_t code_of(State state) {
  return static_cast<std::uint64_t>(state);
}

// A count that does not fit shows as the highest that does.
std::uint64_t clamped(std::int64_t count, unsigned bits) {
  return std::min(static_cast<std::uint64_t>(std::max<std::int64_t>(count, 0)), (std::uint64_t{1} << bits) - 1);
}

VcdOptions vcd_options(const RunDescription& run, const SinkOptions& options) {
  return {.from = options.from,
          .to = options.to,
          .max_changes = options.max_events,
          .title = run.scenario + ", kernel " + run.kernel + ", seed " + std::to_string(run.seed)};
}

}  // namespace

struct Waveform::Impl {
  struct Space {
    VcdSignal state, lock, ranges, sequence, subscribers;
    std::set<std::uint64_t> open;
    std::set<std::uint64_t> serials;
    std::uint64_t readers = 0;
    bool ever_shared = false;
  };
  struct Device {
    std::vector<VcdSignal> contexts;
    VcdSignal callback, entries, active, faults, purges, access;
    std::int64_t valid = 0;
    std::map<std::uint32_t, std::int64_t> active_of;  // by mm
    std::int64_t faulting = 0;
    std::int64_t purging = 0;
    std::vector<Callback> callbacks;  // that run now
  };
  struct Core {
    VcdSignal mode, task;
    std::optional<unsigned> running;  // task's number
    unsigned interrupts = 0;
    bool spins_in_interrupt = false;
  };
  // What a task does, the innermost last.
  struct TaskModes {
    std::vector<Mode> stack;
  };
  struct Marker {
    Time at;
    std::string rule;
  };

  Impl(ByteSink& sink, const RunDescription& description, SinkOptions sink_options)
      : run(description), options(std::move(sink_options)), dump(sink, vcd_options(run, options)) {
    declare();
  }

  void declare() {
    std::vector<std::string> rule_names{"none"};
    rule_names.insert(rule_names.end(), run.rules.begin(), run.rules.end());
    rule_names.emplace_back("other");
    const VcdScope oracle = dump.scope("oracle");
    violation_pulse = dump.pulse(oracle, "violation");
    rule = dump.coded(oracle, "rule", dump.code("rule", std::move(rule_names)));

    const VcdCode lock_states = dump.code("mmap_lock", kLockStates);
    const VcdCode space_states = dump.code("address_space", kSpaceStates);
    for (const std::string& name : run.processes) {
      if (!options.shows(name) || spaces.contains(name)) continue;
      const VcdScope scope = dump.scope(name);
      Space& space = spaces[name];
      space.state = dump.coded(scope, "state", space_states);
      space.lock = dump.coded(scope, "mmap_lock", lock_states);
      space.ranges = dump.vector(scope, "open_ranges", kCountBits);
      space.sequence = dump.vector(scope, "range_sequence", kSequenceBits);
      space.subscribers = dump.vector(scope, "subscribers", kCountBits);
      space_order.push_back(name);
    }

    const VcdCode context_states = dump.code("context", kContextStates);
    const VcdCode callbacks = dump.code("callback", kCallbacks);
    for (const RunDescription::DeviceInfo& info : run.devices) {
      if (!options.shows(info.name) || devices.contains(info.name)) continue;
      const VcdScope scope = dump.scope(info.name);
      Device& device = devices[info.name];
      for (unsigned context = 0; context < info.contexts; ++context)
        device.contexts.push_back(dump.coded(scope, "context" + std::to_string(context), context_states));
      device.callback = dump.coded(scope, "callback", callbacks);
      device.active = dump.vector(scope, "active_ranges", kCountBits);
      device.entries = dump.vector(scope, "valid_entries", kSequenceBits);
      device.faults = dump.vector(scope, "faults_in_flight", kCountBits);
      device.purges = dump.vector(scope, "purges_in_flight", kCountBits);
      device.access = dump.pulse(scope, "watched_access");
      device_order.push_back(info.name);
    }

    std::vector<std::string> task_names{"idle"};
    for (const RunDescription::TaskInfo& task : run.tasks) task_names.push_back(task.name);
    const VcdCode task_code = dump.code("task", std::move(task_names));
    const VcdCode modes = dump.code("mode", kModes);
    for (unsigned number = 0; number < run.cores; ++number) {
      cores.emplace_back();
      const std::string name = core_name(static_cast<int>(number));
      if (!options.shows(name)) continue;
      const VcdScope scope = dump.scope(name);
      cores.back().emplace();
      cores.back()->mode = dump.coded(scope, "mode", modes);
      cores.back()->task = dump.coded(scope, "task", task_code);
    }
    tasks.resize(run.tasks.size());
    free_frames = dump.vector(dump.scope("memory"), "free_frames", kFrameBits,
                              clamped(static_cast<std::int64_t>(run.frames), kFrameBits));
  }

  // --- time, and what of it is interesting ---

  Time arrive(Time at) {
    if (at <= now) return now;
    now = at;
    if (markers.empty()) {
      instants.push_back(at);
      if (instants.size() > kShownBefore) instants.pop_front();
    } else if (shown_after < kShownAfter) {
      ++shown_after;
      show_to = at;
    }
    return now;
  }
  void set(VcdSignal signal, std::uint64_t value, Time at) { dump.change(signal, value, arrive(at)); }
  void set_count(VcdSignal signal, std::int64_t count, Time at) { set(signal, clamped(count, kCountBits), at); }

  // --- cores ---

  void show_core(int number, Time at) {
    if (number < 0 || static_cast<std::size_t>(number) >= cores.size() || !cores[number]) return;
    const Core& core = *cores[number];
    Mode mode = Mode::idle;
    if (core.interrupts > 0)
      mode = core.spins_in_interrupt ? Mode::spin : Mode::irq;
    else if (core.running)
      mode = *core.running < tasks.size() && !tasks[*core.running].stack.empty() ? tasks[*core.running].stack.back()
                                                                                 : Mode::program;
    set(core.mode, code_of(mode), at);
    set(core.task, core.running && *core.running < run.tasks.size() ? *core.running + 1 : 0, at);
  }
  Core* core_of(int number) {
    return number >= 0 && static_cast<std::size_t>(number) < cores.size() && cores[number] ? &*cores[number] : nullptr;
  }

  void on(const CoreSwitched& event, const Stamp& stamp) {
    Core* core = core_of(event.core);
    if (core == nullptr) return;
    core->running.reset();
    if (!event.task.empty() && !event.task.starts_with(kIdlePrefix)) core->running = stamp.task;
    show_core(event.core, stamp.at);
  }
  void on(const InterruptEntered& event, const Stamp& stamp) {
    if (Core* core = core_of(event.core)) ++core->interrupts;
    show_core(event.core, stamp.at);
  }
  void on(const InterruptLeft& event, const Stamp& stamp) {
    if (Core* core = core_of(event.core); core != nullptr && core->interrupts > 0) --core->interrupts;
    show_core(event.core, stamp.at);
  }
  void enter(Mode mode, const Stamp& stamp) {
    if (stamp.in_interrupt) {
      if (Core* core = core_of(stamp.processor); core != nullptr && mode == Mode::spin) core->spins_in_interrupt = true;
    } else if (stamp.task < tasks.size()) {
      tasks[stamp.task].stack.push_back(mode);
    }
    show_core(stamp.processor, stamp.at);
  }
  // Ends the innermost `mode` and whatever was left open inside it.
  void leave(Mode mode, const Stamp& stamp) {
    if (stamp.in_interrupt) {
      if (Core* core = core_of(stamp.processor); core != nullptr && mode == Mode::spin)
        core->spins_in_interrupt = false;
    } else if (stamp.task < tasks.size()) {
      std::vector<Mode>& stack = tasks[stamp.task].stack;
      const auto wanted = std::find(stack.rbegin(), stack.rend(), mode);
      if (wanted != stack.rend()) stack.erase(wanted.base() - 1, stack.end());
    }
    show_core(stamp.processor, stamp.at);
  }
  void on(const TaskWaits& event, const Stamp& stamp) {
    if (!event.sleeps) enter(Mode::spin, stamp);
  }
  void on(const TaskGoesOn&, const Stamp& stamp) { leave(Mode::spin, stamp); }
  void on(const SyscallBegin&, const Stamp& stamp) { enter(Mode::syscall, stamp); }
  void on(const SyscallEnd&, const Stamp& stamp) { leave(Mode::syscall, stamp); }
  void on(const PageFault&, const Stamp& stamp) { enter(Mode::fault, stamp); }
  void on(const FaultHandled&, const Stamp& stamp) { leave(Mode::fault, stamp); }

  // --- address spaces ---

  Space* space_of(std::string_view mm) {
    const auto known = spaces.find(mm);
    if (known != spaces.end()) return &known->second;
    if (options.shows(mm)) unannounced.emplace(mm);
    return nullptr;
  }

  void on(const MmCreated& event, const Stamp& stamp) {
    Space* space = space_of(event.mm);
    if (space == nullptr) return;
    space->open.clear();
    space->serials.clear();
    set(space->state, code_of(SpaceState::alive), stamp.at);
    set(space->ranges, 0, stamp.at);
    set(space->subscribers, 0, stamp.at);
  }
  void on(const MmReleaseBegin& event, const Stamp& stamp) {
    if (Space* space = space_of(event.mm)) set(space->state, code_of(SpaceState::released), stamp.at);
  }
  void on(const MmFreed& event, const Stamp& stamp) {
    if (Space* space = space_of(event.mm)) set(space->state, code_of(SpaceState::freed), stamp.at);
  }
  void on(const Registered& event, const Stamp& stamp) {
    Space* space = space_of(event.mm);
    if (space == nullptr) return;
    space->ever_shared = true;
    space->serials.insert(event.serial);
    set_count(space->subscribers, static_cast<std::int64_t>(space->serials.size()), stamp.at);
  }
  void on(const Unlinked& event, const Stamp& stamp) {
    Space* space = space_of(event.mm);
    if (space == nullptr) return;
    space->serials.erase(event.serial);
    set_count(space->subscribers, static_cast<std::int64_t>(space->serials.size()), stamp.at);
  }
  void on(const InvalidateStart& event, const Stamp& stamp) {
    Space* space = space_of(event.mm);
    if (space == nullptr) return;
    space->ever_shared = true;
    space->open.insert(event.id);
    set(space->sequence, event.id & ((std::uint64_t{1} << kSequenceBits) - 1), stamp.at);
    set_count(space->ranges, static_cast<std::int64_t>(space->open.size()), stamp.at);
  }
  // Who was refused has nothing open: it changes no PTE, and there will be no end.
  void on(const InvalidateStarted& event, const Stamp& stamp) {
    if (event.result != Errno::ok) close_range(event.mm, event.id, stamp.at);
  }
  void on(const InvalidateEnded& event, const Stamp& stamp) { close_range(event.mm, event.id, stamp.at); }
  void close_range(std::string_view mm, std::uint64_t id, Time at) {
    Space* space = space_of(mm);
    if (space == nullptr || space->open.erase(id) == 0) return;
    set_count(space->ranges, static_cast<std::int64_t>(space->open.size()), at);
  }
  Space* space_of_lock(std::string_view lock) {
    if (!lock.starts_with(kMmapLock) || !lock.ends_with(')')) return nullptr;
    return space_of(lock.substr(kMmapLock.size(), lock.size() - kMmapLock.size() - 1));
  }
  void on(const LockAcquired& event, const Stamp& stamp) {
    Space* space = space_of_lock(event.lock);
    if (space == nullptr) return;
    if (event.shared) ++space->readers;
    set(space->lock, code_of(event.shared ? LockState::read : LockState::write), stamp.at);
  }
  void on(const LockReleased& event, const Stamp& stamp) {
    Space* space = space_of_lock(event.lock);
    if (space == nullptr) return;
    if (space->readers > 0) --space->readers;
    set(space->lock, code_of(space->readers > 0 ? LockState::read : LockState::free), stamp.at);
  }
  void on(const MmapLockWanted& event, const Stamp& stamp) {
    Space* space = space_of(event.mm);
    const auto state = std::find(kLockStates.begin(), kLockStates.end(), event.state);
    if (space == nullptr || state == kLockStates.end()) return;
    set(space->lock, static_cast<std::uint64_t>(state - kLockStates.begin()), stamp.at);
  }

  // --- devices and memory ---

  Device* device_of(std::string_view name) {
    const auto known = devices.find(name);
    return known == devices.end() ? nullptr : &known->second;
  }
  void on(const DeviceState& event, const Stamp& stamp) {
    const Device* device = device_of(event.device);
    if (device == nullptr || event.context >= device->contexts.size()) return;
    const auto state = std::find(kContextStates.begin(), kContextStates.end() - 1, event.state);
    set(device->contexts[event.context], static_cast<std::uint64_t>(state - kContextStates.begin()), stamp.at);
  }
  void on(const CallbackBegin& event, const Stamp& stamp) {
    enter(Mode::callback, stamp);
    Device* device = device_of(event.subscriber);
    if (device == nullptr) return;
    device->callbacks.push_back(event.callback);
    show_callback(*device, stamp.at);
  }
  void on(const CallbackEnd& event, const Stamp& stamp) {
    leave(Mode::callback, stamp);
    Device* device = device_of(event.subscriber);
    if (device == nullptr) return;
    const auto ended = std::find(device->callbacks.begin(), device->callbacks.end(), event.callback);
    if (ended != device->callbacks.end()) device->callbacks.erase(ended);
    show_callback(*device, stamp.at);
  }
  // Of several at a time the one that came last.
  void show_callback(const Device& device, Time at) {
    set(device.callback, device.callbacks.empty() ? 0 : code_of(device.callbacks.back()) + 1, at);
  }
  void on(const DeviceFill& event, const Stamp& stamp) { count_entries(event.device, +1, stamp.at); }
  void on(const DeviceDrop& event, const Stamp& stamp) { count_entries(event.device, -1, stamp.at); }
  void count_entries(std::string_view name, std::int64_t change, Time at) {
    if (Device* device = device_of(name)) set(device->entries, clamped(device->valid += change, kSequenceBits), at);
  }
  void on(const DeviceRangeActive& event, const Stamp& stamp) {
    Device* device = device_of(event.device);
    if (device == nullptr) return;
    device->active_of[event.mm_id] = event.active;
    std::int64_t sum = 0;
    for (const auto& [mm, active] : device->active_of) sum += active;
    set_count(device->active, sum, stamp.at);
  }
  void on(const DeviceFaultBegin& event, const Stamp& stamp) {
    if (Device* device = device_of(event.device)) set_count(device->faults, ++device->faulting, stamp.at);
  }
  void on(const DeviceFaultEnd& event, const Stamp& stamp) {
    if (Device* device = device_of(event.device)) set_count(device->faults, --device->faulting, stamp.at);
  }
  void on(const DevicePurgeBegin& event, const Stamp& stamp) {
    if (Device* device = device_of(event.device)) set_count(device->purges, ++device->purging, stamp.at);
  }
  void on(const DevicePurgeEnd& event, const Stamp& stamp) {
    if (Device* device = device_of(event.device)) set_count(device->purges, --device->purging, stamp.at);
  }
  void on(const DeviceMarkedAccess& event, const Stamp& stamp) {
    if (!event.is_for_traces()) return;
    if (const Device* device = device_of(event.device)) dump.strike(device->access, arrive(stamp.at));
  }
  void on(const FrameAllocated& event, const Stamp& stamp) { show_free(event.free_left, stamp.at); }
  void on(const FrameFreed& event, const Stamp& stamp) { show_free(event.free_left, stamp.at); }
  void show_free(std::uint64_t free, Time at) {
    set(free_frames, clamped(static_cast<std::int64_t>(free), kFrameBits), at);
  }

  void on(const Violation& violation) {
    const Time at = arrive(violation.at);
    dump.strike(violation_pulse, at);
    const auto known = std::find(run.rules.begin(), run.rules.end(), violation.rule);
    dump.change(rule, static_cast<std::uint64_t>(known - run.rules.begin()) + 1, at);
    if (markers.empty()) show_to = at;
    markers.push_back({at, violation.rule});
  }

  template <class... Events>
  void listen(Bus& bus) {
    (bus.listen<Events>([this](const Events& event, const Stamp& stamp) { on(event, stamp); }), ...);
  }

  // --- the save file ---

  GtkwWriter view() const {
    GtkwWriter waves(dump);
    // Red is what the oracle says, orange what belongs to an invalidation.
    waves.open_group("oracle");
    waves.trace(violation_pulse, GtkwColour::red);
    waves.trace(rule, GtkwColour::red);
    waves.close_group();
    for (const std::string& name : space_order) {
      const Space& space = spaces.at(name);
      // Nobody invalidated anything there, and nobody wanted to know.
      waves.open_group("address space " + name, !space.ever_shared);
      waves.trace(space.state, GtkwColour::yellow);
      waves.trace(space.lock, GtkwColour::yellow);
      waves.trace(space.ranges, GtkwColour::orange);
      waves.trace(space.sequence, GtkwColour::orange);
      waves.trace(space.subscribers, GtkwColour::yellow);
      waves.close_group();
    }
    for (const std::string& name : device_order) {
      const Device& device = devices.at(name);
      waves.open_group("device " + name);
      for (const VcdSignal context : device.contexts) waves.trace(context, GtkwColour::green);
      waves.trace(device.callback, GtkwColour::orange);
      waves.trace(device.active, GtkwColour::orange);
      waves.trace(device.purges, GtkwColour::orange);
      waves.trace(device.faults, GtkwColour::green);
      waves.trace(device.entries, GtkwColour::green);
      waves.trace(device.access, GtkwColour::yellow);
      waves.close_group();
    }
    for (std::size_t number = 0; number < cores.size(); ++number) {
      if (!cores[number]) continue;
      waves.open_group(core_name(static_cast<int>(number)));
      waves.trace(cores[number]->task, GtkwColour::yellow);
      waves.trace(cores[number]->mode);
      waves.close_group();
    }
    waves.open_group("memory");
    waves.trace(free_frames, GtkwColour::plain, GtkwRadix::steps);
    waves.close_group();
    if (dump.truncated()) {
      waves.heading("too many changes: the rest was left out");
      waves.trace(dump.truncated_signal(), GtkwColour::red);
    }
    if (!options.lanes.empty()) waves.heading("other lanes were left out");
    if (!unannounced.empty()) {
      std::string names;
      for (const std::string& name : unannounced) names += " " + name;
      waves.heading("not shown, for nobody announced them:" + names);
    }
    for (const Marker& marker : markers) waves.marker(marker.at, marker.rule);
    show_the_race(waves);
    return waves;
  }

  // A short run is shown whole, a long one around its first violation.
  void show_the_race(GtkwWriter& waves) const {
    if (markers.empty()) return;
    const Time from = instants.size() < kShownBefore ? dump.first() : std::max(instants.front(), dump.first());
    const Time to = shown_after < kShownAfter ? dump.last() : std::min(show_to, dump.last());
    if (from < to) waves.show(from, to);
  }

  const RunDescription run;
  const SinkOptions options;
  VcdWriter dump;
  Time now{};
  VcdSignal violation_pulse, rule, free_frames;
  std::map<std::string, Space, std::less<>> spaces;
  std::map<std::string, Device, std::less<>> devices;
  std::vector<std::string> space_order;
  std::vector<std::string> device_order;
  std::vector<std::optional<Core>> cores;  // none: not asked for
  std::vector<TaskModes> tasks;            // by number
  std::set<std::string> unannounced;
  std::vector<Marker> markers;
  std::deque<Time> instants;  // the last ones before the first violation
  std::size_t shown_after = 0;
  Time show_to{};
};

Waveform::Waveform(ByteSink& vcd, const RunDescription& run, SinkOptions options)
    : impl_(std::make_unique<Impl>(vcd, run, std::move(options))) {}

Waveform::~Waveform() = default;

void Waveform::attach(Bus& bus) {
  impl_->listen<CoreSwitched, InterruptEntered, InterruptLeft, TaskWaits, TaskGoesOn, SyscallBegin, SyscallEnd,
                PageFault, FaultHandled, MmCreated, MmReleaseBegin, MmFreed, Registered, Unlinked, InvalidateStart,
                InvalidateStarted, InvalidateEnded, LockAcquired, LockReleased, MmapLockWanted, DeviceState,
                CallbackBegin, CallbackEnd, DeviceFill, DeviceDrop, DeviceRangeActive, DeviceFaultBegin, DeviceFaultEnd,
                DevicePurgeBegin, DevicePurgeEnd, DeviceMarkedAccess, FrameAllocated, FrameFreed>(bus);
}

void Waveform::violation(const Violation& violation) { impl_->on(violation); }

void Waveform::finish(Time end) { impl_->dump.finish(impl_->arrive(end)); }

void Waveform::write_view(const FileSet& files, std::string_view name, std::string_view dump_name) const {
  impl_->view().write(files, name, dump_name);
}

}  // namespace secmmu
