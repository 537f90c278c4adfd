#include "sim/output/statistics.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <tuple>

#include "models/cpu/events.hpp"
#include "models/devices/events.hpp"
#include "models/mm/events.hpp"
#include "notifier/events.hpp"
#include "notifier/substrate/sync/events.hpp"

namespace secmmu {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kFormat = "secmmu.statistics/1";

std::uint64_t bucket_low(std::size_t bucket) { return bucket == 0 ? 0 : std::uint64_t{1} << (bucket - 1); }
std::uint64_t bucket_high(std::size_t bucket) {
  return bucket == 0 ? 0 : bucket >= 64 ? UINT64_MAX : (std::uint64_t{1} << bucket) - 1;
}

// The class of a lock is its name without the instance: "mmap_lock(app)" is a mmap_lock.
std::string_view class_of(std::string_view lock) { return lock.substr(0, lock.find('(')); }

// The lock in "rw-semaphore mmap_lock(app) (held by unmapper since 1.2us)"; none: it is no lock.
std::optional<std::string_view> awaited_lock(std::string_view what) {
  for (const std::string_view kind : {"spinlock ", "mutex ", "rw-semaphore "})
    if (what.starts_with(kind)) return what.substr(kind.size(), what.find(" (") - kind.size());
  return std::nullopt;
}

}  // namespace

void Histogram::add(std::uint64_t value) {
  const auto bucket = static_cast<std::size_t>(std::bit_width(value));
  if (buckets_.size() <= bucket) buckets_.resize(bucket + 1);
  ++buckets_[bucket];
  min_ = count_ == 0 ? value : std::min(min_, value);
  max_ = std::max(max_, value);
  sum_ += value;
  ++count_;
}

std::uint64_t Histogram::at_most(unsigned percent) const {
  std::uint64_t below = 0;
  for (std::size_t bucket = 0; bucket < buckets_.size(); ++bucket) {
    below += buckets_[bucket];
    if (count_ - below <= count_ / 100 * (100 - percent) + count_ % 100 * (100 - percent) / 100)
      return std::min(bucket_high(bucket), max_);
  }
  return max_;
}

struct Statistics::Impl {
  struct Spread {  // of times
    std::string sentence;
    Histogram histogram;
  };
  using Context = std::pair<unsigned, bool>;  // a task, or an interrupt on top of it
  static Context context_of(const Stamp& stamp) { return {stamp.task, stamp.in_interrupt}; }

  explicit Impl(const RunDescription& description) : run(description) {}

  void took(const std::string& name, std::string_view sentence, Time from, Time to) {
    Spread& spread = spreads[name];
    if (spread.sentence.empty()) spread.sentence = sentence;
    spread.histogram.add((to - from).ps);
  }
  void count(const std::string& name, std::string_view unit, std::string_view sentence) {
    StatisticRow& row = rows[name];
    if (row.name.empty()) row = {name, std::string(unit), std::string(sentence), 0};
    ++row.value;
  }

  void event(const AnyEvent& event) {
    const unsigned index = event.type.index;
    if (kinds.size() <= index) kinds.resize(index + 1);
    ++kinds[index];
  }

  void on(const DeviceFaultBegin& event, const Stamp& stamp) {
    faults.try_emplace({std::string(event.device), event.id}, stamp.at);
  }
  void on(const DeviceFaultRetry& event, const Stamp&) {
    count(fmt::format("{}.fault.retries", event.device), "retries", "Times that a fault of this device began again.");
    count(fmt::format("{}.fault.retries.{}", event.device, event.why), "retries", "Those for this reason.");
  }
  void on(const DeviceFaultEnd& event, const Stamp& stamp) {
    const auto fault = faults.extract({std::string(event.device), event.id});
    if (!fault.empty())
      took(fmt::format("{}.fault.latency", event.device), "From a miss to the end of its fault.", fault.mapped(),
           stamp.at);
  }
  void on(const DevicePurgeBegin& event, const Stamp& stamp) {
    purges.try_emplace({std::string(event.device), event.id}, stamp.at);
  }
  void on(const DevicePurgeEnd& event, const Stamp& stamp) {
    const auto purge = purges.extract({std::string(event.device), event.id});
    if (!purge.empty())
      took(fmt::format("{}.purge.latency", event.device), "From a purge to the device's acknowledgement.",
           purge.mapped(), stamp.at);
  }
  void on(const InvalidateStart& event, const Stamp& stamp) { ranges[{event.mm_id, event.id}] = stamp.at; }
  void on(const InvalidateStarted& event, const Stamp&) {
    if (event.result == Errno::ok) return;
    ranges.erase({event.mm_id, event.id});
    count(fmt::format("{}.invalidation.refused", event.mm), "ranges", "Invalidations that a subscriber refused.");
  }
  void on(const InvalidateEnded& event, const Stamp& stamp) {
    const auto range = ranges.extract({event.mm_id, event.id});
    if (!range.empty())
      took(fmt::format("{}.invalidation.latency", event.mm),
           "From the announcement of an invalidation until everyone knows of its end.", range.mapped(), stamp.at);
  }
  void on(const CallbackBegin& event, const Stamp& stamp) {
    callbacks[{context_of(stamp), event.serial, event.callback}] = stamp.at;
  }
  void on(const CallbackEnd& event, const Stamp& stamp) {
    const auto callback = callbacks.extract({context_of(stamp), event.serial, event.callback});
    if (!callback.empty())
      took(fmt::format("{}.callback.{}.latency", event.subscriber, callback_name(event.callback)),
           "How long this subscriber's callback ran.", callback.mapped(), stamp.at);
  }
  void on(const ShootdownSent& event, const Stamp& stamp) { shootdowns[event.id] = stamp.at; }
  void on(const ShootdownDone& event, const Stamp& stamp) {
    const auto shootdown = shootdowns.extract(event.id);
    if (!shootdown.empty())
      took("cpu.shootdown.latency", "From a TLB shootdown until every target has flushed.", shootdown.mapped(),
           stamp.at);
  }
  void on(const TaskWaits& event, const Stamp& stamp) {
    if (const auto lock = awaited_lock(event.what)) waits[context_of(stamp)] = {std::string(class_of(*lock)), stamp.at};
  }
  void on(const TaskGoesOn&, const Stamp& stamp) {
    const auto wait = waits.extract(context_of(stamp));
    if (!wait.empty())
      took(fmt::format("lock.{}.wait", wait.mapped().first), "How long a task waited for a lock of this class.",
           wait.mapped().second, stamp.at);
  }
  void on(const LockAcquired& event, const Stamp&) {
    count(fmt::format("lock.{}.taken", class_of(event.lock)), "times", "How often a lock of this class was taken.");
  }
  void on(const SyscallBegin& event, const Stamp& stamp) { syscalls[stamp.task].emplace_back(event.call, stamp.at); }
  void on(const SyscallEnd& event, const Stamp& stamp) {
    auto& open = syscalls[stamp.task];
    if (open.empty()) return;
    took(fmt::format("mm.{}.latency", event.call), "How long this system call took.", open.back().second, stamp.at);
    open.pop_back();
  }
  void on(const PageFault&, const Stamp& stamp) { page_faults[stamp.task] = stamp.at; }
  void on(const FaultHandled& event, const Stamp& stamp) {
    count(fmt::format("mm.faults.{}", event.how), "faults", "Faults that the kernel answered in this way.");
    const auto fault = page_faults.extract(stamp.task);
    if (!fault.empty())
      took("cpu.fault.latency", "From a core's page fault until the kernel has answered it.", fault.mapped(), stamp.at);
  }
  void on(const GracePeriodEnded& event, const Stamp& stamp) {
    took(fmt::format("grace_period.{}", event.domain), "How long synchronize() waited.", stamp.at - event.took,
         stamp.at);
  }

  template <class... Events>
  void listen(Bus& bus) {
    (bus.listen<Events>([this](const Events& event, const Stamp& stamp) { on(event, stamp); }), ...);
  }

  const RunDescription run;
  Time end{};
  std::map<std::string, StatisticRow> rows;
  std::map<std::string, Spread> spreads;
  std::vector<std::uint64_t> kinds;  // by the index of the kind

  // What is under way, with the time at which it began.
  std::map<std::pair<std::string, std::uint64_t>, Time> faults;
  std::map<std::pair<std::string, std::uint64_t>, Time> purges;
  std::map<std::pair<std::uint32_t, std::uint64_t>, Time> ranges;
  std::map<std::tuple<Context, std::uint64_t, Callback>, Time> callbacks;
  std::map<std::uint64_t, Time> shootdowns;
  std::map<Context, std::pair<std::string, Time>> waits;
  std::map<unsigned, std::vector<std::pair<std::string, Time>>> syscalls;
  std::map<unsigned, Time> page_faults;
};

Statistics::Statistics(const RunDescription& run) : impl_(std::make_unique<Impl>(run)) {}

Statistics::~Statistics() = default;

void Statistics::attach(Bus& bus) {
  impl_->listen<DeviceFaultBegin, DeviceFaultRetry, DeviceFaultEnd, DevicePurgeBegin, DevicePurgeEnd, InvalidateStart,
                InvalidateStarted, InvalidateEnded, CallbackBegin, CallbackEnd, ShootdownSent, ShootdownDone, TaskWaits,
                TaskGoesOn, LockAcquired, SyscallBegin, SyscallEnd, PageFault, FaultHandled, GracePeriodEnded>(bus);
  bus.listen_to_all([impl = impl_.get()](const AnyEvent& event) { impl->event(event); });
}

void Statistics::violation(const Violation& violation) {
  impl_->count("oracle.violations", "violations", "Breaches of a rule that the oracle found.");
  impl_->count("oracle.violations." + violation.rule, "violations", "Breaches of this rule.");
}

void Statistics::finish(Time end) {
  impl_->end = end;
  for (const EventType* type : all_event_types()) {
    const std::uint64_t count = type->index < impl_->kinds.size() ? impl_->kinds[type->index] : 0;
    add({fmt::format("events.{}", type->name), "events", std::string(type->about), count});
  }
  add({"run.time", "ps", "Modelled time at the end of the run.", end.ps});
}

void Statistics::add(StatisticRow row) {
  std::string name = row.name;
  impl_->rows.insert_or_assign(std::move(name), std::move(row));
}

void Statistics::add(const std::vector<StatisticRow>& rows) {
  for (const StatisticRow& row : rows) add(row);
}

std::string Statistics::json() const {
  Json values = Json::array();
  for (const auto& [name, row] : impl_->rows)
    values.push_back({{"name", name}, {"unit", row.unit}, {"sentence", row.sentence}, {"value", row.value}});
  Json histograms = Json::array();
  for (const auto& [name, spread] : impl_->spreads) {
    const Histogram& histogram = spread.histogram;
    Json buckets = Json::array();
    for (std::size_t bucket = 0; bucket < histogram.buckets().size(); ++bucket)
      if (histogram.buckets()[bucket] != 0)
        buckets.push_back({bucket_low(bucket), bucket_high(bucket), histogram.buckets()[bucket]});
    histograms.push_back({{"name", name},
                          {"unit", "ps"},
                          {"sentence", spread.sentence},
                          {"count", histogram.count()},
                          {"sum", histogram.sum()},
                          {"min", histogram.min()},
                          {"max", histogram.max()},
                          {"buckets", buckets}});
  }
  const Json document{{"format", kFormat},           {"scenario", impl_->run.scenario},
                      {"kernel", impl_->run.kernel}, {"seed", impl_->run.seed},
                      {"end", impl_->end.ps},        {"values", values},
                      {"histograms", histograms}};
  return document.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string Statistics::text() const {
  std::size_t name_width = 0;
  std::size_t value_width = 0;
  std::size_t unit_width = 0;
  for (const auto& [name, row] : impl_->rows) {
    if (row.value == 0) continue;
    name_width = std::max(name_width, name.size());
    value_width = std::max(value_width, std::to_string(row.value).size());
    unit_width = std::max(unit_width, row.unit.size());
  }
  for (const auto& [name, spread] : impl_->spreads) name_width = std::max(name_width, name.size());

  std::string text;
  for (const auto& [name, row] : impl_->rows)
    if (row.value != 0)
      text += fmt::format("{:<{}}  {:>{}} {:<{}}  {}\n", name, name_width, row.value, value_width, row.unit, unit_width,
                          row.sentence);
  if (impl_->spreads.empty()) return text;
  constexpr std::size_t kTimeWidth = 13;
  text += fmt::format("\n{:<{}}  {:>9}  {:>{}}  {:>{}}  {:>{}}  {:>{}}\n", "latencies", name_width, "count", "min",
                      kTimeWidth, "mean", kTimeWidth, "90% within", kTimeWidth, "max", kTimeWidth);
  for (const auto& [name, spread] : impl_->spreads) {
    const Histogram& histogram = spread.histogram;
    text += fmt::format("{:<{}}  {:>9}  {:>{}}  {:>{}}  {:>{}}  {:>{}}\n", name, name_width, histogram.count(),
                        to_text(Time{histogram.min()}), kTimeWidth, to_text(Time{histogram.mean()}), kTimeWidth,
                        to_text(Time{histogram.at_most(90)}), kTimeWidth, to_text(Time{histogram.max()}), kTimeWidth);
  }
  return text;
}

}  // namespace secmmu
