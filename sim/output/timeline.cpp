#include "sim/output/timeline.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include "models/cpu/events.hpp"
#include "models/devices/events.hpp"
#include "models/memory/events.hpp"
#include "models/mm/events.hpp"
#include "notifier/events.hpp"
#include "notifier/substrate/sync/events.hpp"
#include "sim/output/event_filter.hpp"
#include "sim/output/pftrace_writer.hpp"

namespace secmmu {
namespace {

constexpr std::string_view kIdlePrefix = "idle/";
constexpr std::string_view kMmapLock = "mmap_lock(";

// What can be open on a lane. An end names the kind and, where several can be open, which.
enum class Open : std::uint8_t { task, interrupt, syscall, fault, callback, wait, release, unregister, shootdown };

std::string in_short(PageRange pages) {
  if (pages == kWholeSpace) return "everything";
  return fmt::format("{:#x} +{}", address_of(pages.first).value, pages.pages());
}

// "mutex gru0.gms (held by unmapper since 1.2us)" without its bracket: a name that is the same every time.
std::string_view without_detail(std::string_view what) { return what.substr(0, what.find(" (")); }

// "gru1/0" is part of gru1, "gru10/0" is not.
bool is_part_of(std::string_view task, std::string_view device) {
  if (!task.starts_with(device)) return false;
  const char next = task.size() == device.size() ? '/' : task[device.size()];
  return next == '/' || next == '.' || next == ' ' || next == '-';
}

PftraceNote pages_note(PageRange pages) { return {"pages", std::string_view(to_text(pages))}; }

}  // namespace

struct Timeline::Impl {
  // A lane's open slices, so that an end whose begin nobody saw, or a slice that was never ended, does no harm.
  struct Lane {
    PftraceTrack track;
    std::vector<std::pair<Open, std::uint64_t>> open;
  };
  struct Space {
    std::string name;
    std::optional<PftraceTrack> open_ranges;
    std::optional<PftraceLanes> invalidations;
    std::optional<PftraceTrack> lock;
    std::int64_t open = 0;
    std::uint64_t lock_holders = 0;
    std::vector<std::pair<std::uint64_t, std::string>> subscribers;  // serial and name, in order of registration
  };
  struct Range {  // an open invalidation
    PftraceTrack lane;
    std::map<std::uint64_t, PftraceFlow> starts;  // by serial: arrows to callbacks that are still to come
    std::map<std::uint64_t, PftraceFlow> ends;
  };
  struct Flight {  // a fault or purge of a device
    PftraceTrack lane;
    PftraceFlow arrow;
  };
  struct DeviceTracks {
    std::vector<PftraceTrack> contexts;
    std::vector<bool> busy;
    std::optional<PftraceTrack> engines;
    std::optional<PftraceLanes> faults;
    std::optional<PftraceLanes> purges;
    std::optional<PftraceTrack> entries;
    std::optional<PftraceTrack> active;
    std::int64_t valid = 0;
    std::map<std::uint32_t, std::int64_t> active_of;  // by mm
    std::map<std::uint64_t, Flight> open_faults;
    std::map<std::uint64_t, Flight> open_purges;
  };
  struct Shootdown {
    std::map<int, PftraceFlow> arrows;  // by target
  };

  Impl(ByteSink& sink, const RunDescription& description, SinkOptions sink_options)
      : run(description),
        options(std::move(sink_options)),
        writer(sink, {.from = options.from, .to = options.to, .max_events = options.max_events}) {
    declare();
  }

  void declare() {
    violations = writer.track("violations", {}, "what the oracle found");
    if (!options.lanes.empty()) {
      std::string names;
      for (const std::string& lane : options.lanes) names += (names.empty() ? "" : ", ") + lane;
      writer.instant({}, options.from, "other lanes were left out; shown: " + names);
    }
    tasks.resize(run.tasks.size());
    const PftraceTrack core_group = writer.track("cores");
    for (unsigned core = 0; core < run.cores; ++core) {
      cores.emplace_back();
      const bool shown = options.shows(core_name(static_cast<int>(core)));
      if (shown)
        cores.back() = Lane{
            writer.track(core_name(static_cast<int>(core)), core_group, "the task that it runs, and interrupts"), {}};
      for (std::size_t id = 0; id < run.tasks.size(); ++id) {
        const RunDescription::TaskInfo& task = run.tasks[id];
        if (task.core != static_cast<int>(core) || !task.actor || !(shown || options.shows(task.name))) continue;
        tasks[id] = Lane{writer.track(task.name, shown ? cores.back()->track : core_group), {}};
      }
    }
    for (const RunDescription::DeviceInfo& info : run.devices)
      if (options.shows(info.name)) declare_device(info);
    declare_threads();
    spaces_group = writer.track("address spaces");
    for (const std::string& process : run.processes) declare_space(process);
    free_frames = writer.counter("free frames", "frames");
  }

  void declare_device(const RunDescription::DeviceInfo& info) {
    DeviceTracks& device = devices[info.name];
    const PftraceTrack group = writer.track(info.name, {}, info.kind);
    for (unsigned context = 0; context < info.contexts; ++context)
      device.contexts.push_back(writer.track(fmt::format("{} context {}", info.name, context), group));
    device.busy.assign(info.contexts, false);
    for (std::size_t id = 0; id < run.tasks.size(); ++id) {
      if (run.tasks[id].core >= 0 || !is_part_of(run.tasks[id].name, info.name)) continue;
      if (!device.engines) device.engines = writer.track(info.name + " engines", group);
      tasks[id] = Lane{writer.track(run.tasks[id].name, *device.engines), {}};
    }
    device.faults.emplace(writer, info.name + " faults", group);
    device.purges.emplace(writer, info.name + " purges", group);
    device.entries = writer.counter(info.name + " valid entries", "entries", group);
    device.active = writer.counter(info.name + " open ranges", "ranges", group);
  }

  // Whatever is neither on a core as an actor nor part of a device: workers, services.
  void declare_threads() {
    std::optional<PftraceTrack> group;
    for (std::size_t id = 0; id < run.tasks.size(); ++id) {
      const std::string& name = run.tasks[id].name;
      if (tasks[id] || name.starts_with(kIdlePrefix) || !options.shows(name)) continue;
      if (!group) group = writer.track("kernel threads");
      tasks[id] = Lane{writer.track(name, *group), {}};
    }
  }

  Space& declare_space(std::string_view name) {
    Space& space = spaces[std::string(name)];
    space.name = name;
    if (space.open_ranges || !options.shows(name)) return space;
    const PftraceTrack group = writer.track(name, spaces_group);
    space.lock = writer.track(space.name + " mmap_lock", group);
    space.open_ranges = writer.counter(space.name + " open invalidations", "ranges", group);
    space.invalidations.emplace(writer, space.name + " invalidations", group);
    return space;
  }

  // --- lanes ---

  Time arrive(Time at) { return now = std::max(now, at); }

  // Where what runs now is shown: an interrupt on its core, a task on its own lane.
  Lane* lane_of(const Stamp& stamp) {
    if (stamp.in_interrupt) return lane_of_core(stamp.processor);
    if (stamp.task >= tasks.size() || !tasks[stamp.task]) return nullptr;
    return &*tasks[stamp.task];
  }

  Lane* lane_of_core(int core) {
    if (core < 0 || static_cast<std::size_t>(core) >= cores.size() || !cores[core]) return nullptr;
    return &*cores[core];
  }

  void begin(Lane* lane, Time at, Open kind, std::uint64_t which, std::string_view name, const PftraceDetail& detail) {
    if (lane == nullptr) return;
    writer.begin(lane->track, arrive(at), name, detail);
    lane->open.emplace_back(kind, which);
  }

  void end(Lane* lane, Time at, Open kind, std::uint64_t which, const PftraceDetail& detail = {}) {
    if (lane == nullptr) return;
    const auto wanted = std::find(lane->open.rbegin(), lane->open.rend(), std::pair(kind, which));
    if (wanted == lane->open.rend()) return;
    for (auto inner = wanted - lane->open.rbegin(); inner > 0; --inner) {
      writer.end(lane->track, arrive(at), {.notes = {{"unfinished", true}}});
      lane->open.pop_back();
    }
    writer.end(lane->track, arrive(at), detail);
    lane->open.pop_back();
  }

  void instant(Lane* lane, Time at, std::string_view name, const PftraceDetail& detail) {
    if (lane != nullptr) writer.instant(lane->track, arrive(at), name, detail);
  }

  // --- cores and tasks ---

  void on(const CoreSwitched& event, const Stamp& stamp) {
    Lane* core = lane_of_core(event.core);
    if (core == nullptr) return;
    for (; !core->open.empty(); core->open.pop_back()) writer.end(core->track, arrive(stamp.at));
    if (!event.task.empty() && !event.task.starts_with(kIdlePrefix))
      begin(core, stamp.at, Open::task, 0, event.task, {});
  }
  void on(const InterruptEntered& event, const Stamp& stamp) {
    begin(lane_of_core(event.core), stamp.at, Open::interrupt, 0, fmt::format("irq {}", event.interrupt), {});
  }
  void on(const InterruptLeft& event, const Stamp& stamp) {
    end(lane_of_core(event.core), stamp.at, Open::interrupt, 0);
  }
  void on(const TaskWaits& event, const Stamp& stamp) {
    begin(lane_of(stamp), stamp.at, Open::wait, 0,
          fmt::format("{} {}", event.sleeps ? "sleeps:" : "spins:",
                      event.what.starts_with("a timer") ? "timer" : without_detail(event.what)),
          {.notes = {{"for", event.what}}});
  }
  void on(const TaskGoesOn&, const Stamp& stamp) { end(lane_of(stamp), stamp.at, Open::wait, 0); }
  void on(const TaskFinished&, const Stamp& stamp) {
    Lane* lane = lane_of(stamp);
    if (lane == nullptr) return;
    for (; !lane->open.empty(); lane->open.pop_back()) writer.end(lane->track, arrive(stamp.at));
  }

  void on(const SyscallBegin& event, const Stamp& stamp) {
    begin(lane_of(stamp), stamp.at, Open::syscall, 0, event.call,
          {.notes = {{"mm", event.mm}, pages_note(event.pages)}});
  }
  void on(const SyscallEnd& event, const Stamp& stamp) {
    end(lane_of(stamp), stamp.at, Open::syscall, 0, {.notes = {{"result", event.result}}});
  }
  void on(const PageFault& event, const Stamp& stamp) {
    begin(lane_of(stamp), stamp.at, Open::fault, 0, event.write ? "write fault" : "read fault",
          {.notes = {{"address", event.address}}});
  }
  void on(const FaultHandled& event, const Stamp& stamp) {
    Lane* lane = lane_of(stamp);
    if (lane == nullptr) return;
    if (!lane->open.empty() && lane->open.back().first == Open::fault)
      end(lane, stamp.at, Open::fault, 0, {.notes = {{"how", event.how}}});
    else
      instant(lane, stamp.at, fmt::format("fault: {}", event.how),
              {.notes = {{"mm", event.mm}, {"page", address_of(event.page)}}});
  }
  void on(const CpuMarkedAccess& event, const Stamp& stamp) {
    instant(lane_of(stamp), stamp.at, event.write ? "writes" : "reads",
            {.notes = {{"address", event.address}, {"pfn", event.pfn.value}, {"value", event.value}}});
  }
  void on(const ShootdownSent& event, const Stamp& stamp) {
    PftraceDetail detail{.notes = {pages_note(event.pages)}};
    Shootdown& shootdown = shootdowns[event.id];
    for (int core = 0; core < static_cast<int>(cores.size()); ++core) {
      if ((event.targets >> core & 1) == 0 || core == event.core) continue;
      detail.flows.push_back(shootdown.arrows[core] = writer.new_flow());
    }
    begin(lane_of(stamp), stamp.at, Open::shootdown, event.id, "shootdown", detail);
  }
  void on(const ShootdownAcked& event, const Stamp& stamp) {
    PftraceDetail detail;
    const auto shootdown = shootdowns.find(event.id);
    if (shootdown != shootdowns.end())
      if (const auto arrow = shootdown->second.arrows.extract(event.core); !arrow.empty())
        detail.flows.push_back(arrow.mapped());
    instant(lane_of_core(event.core), stamp.at, "flushed", detail);
  }
  void on(const ShootdownDone& event, const Stamp& stamp) {
    shootdowns.erase(event.id);
    end(lane_of(stamp), stamp.at, Open::shootdown, event.id);
  }

  // --- address spaces ---

  void on(const MmCreated& event, const Stamp&) { declare_space(event.mm); }
  Space& space_of(std::string_view mm) {
    const auto known = spaces.find(mm);
    return known != spaces.end() ? known->second : declare_space(mm);
  }

  void on(const Registered& event, const Stamp& stamp) {
    space_of(event.mm).subscribers.emplace_back(event.serial, event.subscriber);
    instant(lane_of(stamp), stamp.at, fmt::format("{} subscribes to {}", event.subscriber, event.mm), {});
  }
  void on(const Unlinked& event, const Stamp& stamp) {
    std::erase_if(space_of(event.mm).subscribers, [&](const auto& entry) { return entry.first == event.serial; });
    instant(lane_of(stamp), stamp.at, fmt::format("{} unlinked from {}", event.subscriber, event.mm), {});
  }
  void on(const UnregisterBegin& event, const Stamp& stamp) {
    begin(lane_of(stamp), stamp.at, Open::unregister, event.serial, fmt::format("unregister {}", event.subscriber),
          {.notes = {{"mm", event.mm}}});
  }
  void on(const UnregisterEnd& event, const Stamp& stamp) {
    end(lane_of(stamp), stamp.at, Open::unregister, event.serial);
  }
  void on(const MmReleaseBegin& event, const Stamp& stamp) {
    begin(lane_of(stamp), stamp.at, Open::release, event.mm_id, fmt::format("release {}", event.mm), {});
  }
  void on(const MmReleaseEnd& event, const Stamp& stamp) { end(lane_of(stamp), stamp.at, Open::release, event.mm_id); }

  void on(const InvalidateStart& event, const Stamp& stamp) {
    Space& space = space_of(event.mm);
    if (space.invalidations) {
      Range& range = ranges[{event.mm_id, event.id}];
      PftraceDetail detail{.notes = {{"range", event.id},
                                     pages_note(event.pages),
                                     {"event", invalidate_event_name(event.event)},
                                     {"blockable", event.blockable},
                                     {"by", task_name(stamp)}}};
      for (const auto& [serial, name] : space.subscribers)
        detail.flows.push_back(range.starts[serial] = writer.new_flow());
      range.lane = space.invalidations->take();
      writer.begin(range.lane, arrive(stamp.at),
                   fmt::format("{} {}", invalidate_event_name(event.event), in_short(event.pages)), detail);
    }
    count_ranges(space, stamp.at, +1);
  }
  void on(const InvalidateStarted& event, const Stamp& stamp) {
    const auto range = ranges.find({event.mm_id, event.id});
    if (range != ranges.end())
      writer.instant(range->second.lane, arrive(stamp.at), "everyone was told of the start",
                     {.notes = {{"result", errno_name(event.result)}}});
    // Who was refused has nothing open: it changes no PTE, and there will be no end.
    if (event.result != Errno::ok) close_range(event.mm, event.mm_id, event.id, stamp.at);
  }
  void on(const InvalidateEnd& event, const Stamp& stamp) {
    const auto range = ranges.find({event.mm_id, event.id});
    if (range == ranges.end()) return;
    PftraceDetail detail;
    for (const auto& [serial, name] : space_of(event.mm).subscribers)
      detail.flows.push_back(range->second.ends[serial] = writer.new_flow());
    writer.instant(range->second.lane, arrive(stamp.at), "the PTEs have changed", detail);
  }
  void on(const InvalidateEnded& event, const Stamp& stamp) {
    if (event.id != 0) close_range(event.mm, event.mm_id, event.id, stamp.at);
  }
  void close_range(std::string_view mm, std::uint32_t mm_id, std::uint64_t id, Time at) {
    Space& space = space_of(mm);
    const auto range = ranges.extract({mm_id, id});
    if (!range.empty()) {
      writer.end(range.mapped().lane, arrive(at));
      space.invalidations->give_back(range.mapped().lane);
    }
    count_ranges(space, at, -1);
  }
  void count_ranges(Space& space, Time at, std::int64_t change) {
    space.open += change;
    if (space.open_ranges) writer.count(*space.open_ranges, arrive(at), space.open);
  }

  void on(const CallbackBegin& event, const Stamp& stamp) {
    PftraceDetail detail{.notes = {{"mm", event.mm}, pages_note(event.pages), {"range", event.range_id}}};
    if (const auto range = ranges.find({event.mm_id, event.range_id}); range != ranges.end()) {
      auto& arrows = event.callback == Callback::end ? range->second.ends : range->second.starts;
      if (const auto arrow = arrows.extract(event.serial); !arrow.empty()) detail.flows.push_back(arrow.mapped());
    }
    begin(lane_of(stamp), stamp.at, Open::callback, event.serial,
          fmt::format("{}: {}", event.subscriber, callback_name(event.callback)), detail);
  }
  void on(const CallbackEnd& event, const Stamp& stamp) {
    end(lane_of(stamp), stamp.at, Open::callback, event.serial,
        {.notes = {{"result", errno_name(event.result)}, {"young", event.young}}});
  }
  void on(const NotifierWarning& event, const Stamp& stamp) {
    instant(lane_of(stamp), stamp.at, "WARNING", {.notes = {{"what", event.what}, {"subscriber", event.subscriber}}});
  }

  void on(const LockAcquired& event, const Stamp& stamp) {
    Space* space = space_of_lock(event.lock);
    if (space == nullptr || space->lock_holders++ != 0) return;
    writer.begin(*space->lock, arrive(stamp.at), event.shared ? "read" : "write",
                 {.notes = {{"by", task_name(stamp)}}});
  }
  void on(const LockReleased& event, const Stamp& stamp) {
    Space* space = space_of_lock(event.lock);
    if (space == nullptr || space->lock_holders == 0 || --space->lock_holders != 0) return;
    writer.end(*space->lock, arrive(stamp.at));
  }
  Space* space_of_lock(std::string_view lock) {
    if (!lock.starts_with(kMmapLock) || !lock.ends_with(')')) return nullptr;
    Space& space = space_of(lock.substr(kMmapLock.size(), lock.size() - kMmapLock.size() - 1));
    return space.lock ? &space : nullptr;
  }

  // --- devices and memory ---

  DeviceTracks* device_of(std::string_view name) {
    const auto known = devices.find(name);
    return known == devices.end() ? nullptr : &known->second;
  }

  void on(const DeviceState& event, const Stamp& stamp) {
    DeviceTracks* device = device_of(event.device);
    if (device == nullptr || event.context >= device->contexts.size()) return;
    const PftraceTrack track = device->contexts[event.context];
    if (device->busy[event.context]) writer.end(track, arrive(stamp.at));
    device->busy[event.context] = event.state != "idle";
    if (device->busy[event.context]) writer.begin(track, arrive(stamp.at), event.state);
  }
  void on(const DeviceFill& event, const Stamp& stamp) {
    held.insert(event.pfn);
    instant(lane_of(stamp), stamp.at, fmt::format("{} fills", event.device),
            {.notes = {{"page", address_of(event.page)}, {"pfn", event.pfn.value}, {"writable", event.writable}}});
    count_entries(event.device, stamp.at, +1);
  }
  void on(const DeviceDrop& event, const Stamp& stamp) { count_entries(event.device, stamp.at, -1); }
  void count_entries(std::string_view name, Time at, std::int64_t change) {
    if (DeviceTracks* device = device_of(name)) writer.count(*device->entries, arrive(at), device->valid += change);
  }
  void on(const DeviceRangeActive& event, const Stamp& stamp) {
    DeviceTracks* device = device_of(event.device);
    if (device == nullptr) return;
    device->active_of[event.mm_id] = event.active;
    std::int64_t sum = 0;
    for (const auto& [mm, active] : device->active_of) sum += active;
    writer.count(*device->active, arrive(stamp.at), sum);
  }
  void on(const DeviceMarkedAccess& event, const Stamp& stamp) {
    if (!event.is_for_traces()) return;
    instant(
        lane_of(stamp), stamp.at, fmt::format("{} {}", event.device, event.write ? "writes" : "reads"),
        {.notes = {{"mm", event.mm}, {"address", event.address}, {"pfn", event.pfn.value}, {"value", event.value}}});
  }
  void on(const DeviceFaultBegin& event, const Stamp& stamp) {
    DeviceTracks* device = device_of(event.device);
    if (device == nullptr || device->open_faults.contains(event.id)) return;
    const PftraceTrack lane = device->faults->take();
    device->open_faults[event.id] = {lane, {}};
    writer.begin(lane, arrive(stamp.at), fmt::format("fault {:#x}", address_of(event.page).value),
                 {.notes = {{"fault", event.id}, {"mm", event.mm}, {"write", event.write}}});
  }
  void on(const DeviceFaultRetry& event, const Stamp& stamp) {
    DeviceTracks* device = device_of(event.device);
    if (device == nullptr) return;
    const auto fault = device->open_faults.find(event.id);
    if (fault != device->open_faults.end())
      writer.instant(fault->second.lane, arrive(stamp.at), fmt::format("retry: {}", event.why));
  }
  void on(const DeviceFaultEnd& event, const Stamp& stamp) {
    DeviceTracks* device = device_of(event.device);
    if (device == nullptr) return;
    const auto fault = device->open_faults.extract(event.id);
    if (fault.empty()) return;
    writer.end(fault.mapped().lane, arrive(stamp.at), {.notes = {{"result", errno_name(event.result)}}});
    device->faults->give_back(fault.mapped().lane);
  }
  // Asked for on the lane of whoever runs, done on the device's, acknowledged on the former.
  void on(const DevicePurgeBegin& event, const Stamp& stamp) {
    DeviceTracks* device = device_of(event.device);
    if (device == nullptr || device->open_purges.contains(event.id)) return;
    const Flight purge{device->purges->take(), writer.new_flow()};
    device->open_purges[event.id] = purge;
    instant(lane_of(stamp), stamp.at, fmt::format("purge {}", event.device), {.flows = {purge.arrow}});
    writer.begin(purge.lane, arrive(stamp.at), fmt::format("purge {}", in_short(event.pages)),
                 {.notes = {{"purge", event.id}, {"mm", event.mm}, pages_note(event.pages)}, .flows = {purge.arrow}});
  }
  void on(const DevicePurgeEnd& event, const Stamp& stamp) {
    DeviceTracks* device = device_of(event.device);
    if (device == nullptr) return;
    const auto purge = device->open_purges.extract(event.id);
    if (purge.empty()) return;
    writer.end(purge.mapped().lane, arrive(stamp.at));
    device->purges->give_back(purge.mapped().lane);
    instant(lane_of(stamp), stamp.at, fmt::format("{} acknowledges", event.device), {.flows = {purge.mapped().arrow}});
  }
  void on(const DeviceDetached& event, const Stamp& stamp) {
    instant(lane_of(stamp), stamp.at, fmt::format("{} holds nothing of {}", event.device, event.mm), {});
  }

  void on(const FrameAllocated& event, const Stamp& stamp) {
    writer.count(free_frames, arrive(stamp.at), static_cast<std::int64_t>(event.free_left));
  }
  void on(const FrameFreed& event, const Stamp& stamp) {
    writer.count(free_frames, arrive(stamp.at), static_cast<std::int64_t>(event.free_left));
    // Only frames that a device has known: an exit frees thousands.
    if (held.erase(event.pfn) != 0)
      instant(lane_of(stamp), stamp.at, fmt::format("frees frame {:#x}", event.pfn.value),
              {.notes = {{"allocation", event.allocation}, {"use", event.use}}});
  }

  std::string_view task_name(const Stamp& stamp) const {
    return stamp.task < run.tasks.size() ? std::string_view(run.tasks[stamp.task].name) : std::string_view("?");
  }

  template <class... Events>
  void listen(Bus& bus) {
    (bus.listen<Events>([this](const Events& event, const Stamp& stamp) { on(event, stamp); }), ...);
  }

  const RunDescription run;
  const SinkOptions options;
  PftraceWriter writer;
  Time now{};
  PftraceTrack violations;
  PftraceTrack spaces_group;
  PftraceTrack free_frames;
  std::vector<std::optional<Lane>> cores;  // none: not asked for
  std::vector<std::optional<Lane>> tasks;  // by id
  std::map<std::string, DeviceTracks, std::less<>> devices;
  std::map<std::string, Space, std::less<>> spaces;
  std::map<std::pair<std::uint32_t, std::uint64_t>, Range> ranges;  // by mm and range
  std::map<std::uint64_t, Shootdown> shootdowns;
  std::set<Pfn> held;
};

Timeline::Timeline(ByteSink& out, const RunDescription& run, SinkOptions options)
    : impl_(std::make_unique<Impl>(out, run, std::move(options))) {}

Timeline::~Timeline() = default;

void Timeline::attach(Bus& bus) {
  impl_->listen<CoreSwitched, InterruptEntered, InterruptLeft, TaskWaits, TaskGoesOn, TaskFinished, SyscallBegin,
                SyscallEnd, PageFault, FaultHandled, CpuMarkedAccess, ShootdownSent, ShootdownAcked, ShootdownDone,
                MmCreated, Registered, Unlinked, UnregisterBegin, UnregisterEnd, MmReleaseBegin, MmReleaseEnd,
                InvalidateStart, InvalidateStarted, InvalidateEnd, InvalidateEnded, CallbackBegin, CallbackEnd,
                NotifierWarning, LockAcquired, LockReleased, DeviceState, DeviceFill, DeviceDrop, DeviceRangeActive,
                DeviceMarkedAccess, DeviceFaultBegin, DeviceFaultRetry, DeviceFaultEnd, DevicePurgeBegin,
                DevicePurgeEnd, DeviceDetached, FrameAllocated, FrameFreed>(bus);
}

void Timeline::violation(const Violation& violation) {
  PftraceDetail detail{.notes = {{"what", violation.summary}, {"task", violation.task}}};
  for (std::size_t line = 0; line < violation.story.size(); ++line)
    detail.notes.emplace_back(fmt::format("story {}", line + 1), violation.story[line]);
  detail.notes.emplace_back("forbidden_by", violation.forbidden_by);
  impl_->writer.instant(impl_->violations, impl_->arrive(violation.at), violation.rule, detail);
}

void Timeline::finish(Time end) { impl_->writer.finish(impl_->arrive(end)); }

}  // namespace secmmu
