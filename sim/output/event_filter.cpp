#include "sim/output/event_filter.hpp"

#include <algorithm>

#include "models/mm/events.hpp"

namespace secmmu {
namespace {

// Does a field name something that is shown? Only the fields that say whom an event is about count: a task's
// name in a sentence does not put the event into its lane.
class LaneFinder final : public FieldVisitor {
 public:
  LaneFinder(const SinkOptions& options, const std::map<std::uint32_t, std::string>& spaces)
      : options_(options), spaces_(spaces) {}
  bool found() const { return found_; }

  void integer(std::string_view field, std::int64_t value) override {
    if (field == "core") {
      found_ = found_ || options_.shows(core_name(static_cast<int>(value)));
    } else if (field == "asid") {
      const auto space = spaces_.find(static_cast<std::uint32_t>(value));
      found_ = found_ || (space != spaces_.end() && options_.shows(space->second));
    }
  }
  void address(std::string_view, VirtAddr) override {}
  void frame(std::string_view, Pfn) override {}
  void range(std::string_view, PageRange) override {}
  void time(std::string_view, Time) override {}
  void flag(std::string_view, bool) override {}
  void text(std::string_view field, std::string_view value) override {
    if (field == "mm" || field == "device" || field == "subscriber" || field == "task" || field == "owner")
      found_ = found_ || (!value.empty() && options_.shows(value));
  }

 private:
  const SinkOptions& options_;
  const std::map<std::uint32_t, std::string>& spaces_;
  bool found_ = false;
};

}  // namespace

bool SinkOptions::shows(std::string_view name) const {
  return lanes.empty() ||
         std::any_of(lanes.begin(), lanes.end(), [name](const std::string& lane) { return name.starts_with(lane); });
}

std::string core_name(int core) { return "cpu" + std::to_string(core); }

bool EventFilter::wants(const AnyEvent& event) {
  ++seen_;
  if (const auto* created = event.as<MmCreated>()) spaces_[created->mm_id] = created->mm;
  if (event.stamp.at < options_.from || event.stamp.at > options_.to) {
    ++outside_;
    return false;
  }
  if (!options_.lanes.empty() && !in_a_lane(event)) {
    ++other_lanes_;
    return false;
  }
  if (written() > options_.max_events) {
    ++too_many_;
    return false;
  }
  return true;
}

bool EventFilter::in_a_lane(const AnyEvent& event) const {
  const Stamp& stamp = event.stamp;
  if (stamp.task < run_.tasks.size() && options_.shows(run_.tasks[stamp.task].name)) return true;
  if (stamp.processor >= 0 && options_.shows(core_name(stamp.processor))) return true;
  LaneFinder finder(options_, spaces_);
  event.describe(finder);
  return finder.found();
}

std::string EventFilter::left_out() const {
  std::string text;
  const auto add = [&text](std::uint64_t count, const std::string& why) {
    if (count != 0) text += (text.empty() ? "" : ", ") + std::to_string(count) + " " + why;
  };
  add(outside_, "outside the window");
  add(other_lanes_, "in other lanes");
  add(too_many_, "after the first " + std::to_string(options_.max_events));
  return text;
}

}  // namespace secmmu
