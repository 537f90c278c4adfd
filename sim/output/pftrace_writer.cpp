#include "sim/output/pftrace_writer.hpp"

#include <algorithm>
#include <protozero/pbf_writer.hpp>
#include <stdexcept>

namespace secmmu {
namespace {

using Field = protozero::pbf_tag_type;

// Field numbers of Perfetto's messages. A wrong one fails silently in the viewer, so each has its name here
// and in secmmu_trace.proto, and a test reads our output with the latter.
namespace trace {
constexpr Field kPacket = 1;
}
namespace packet {
constexpr Field kTimestamp = 8;
constexpr Field kSequenceId = 10;
constexpr Field kTrackEvent = 11;
constexpr Field kInternedData = 12;
constexpr Field kSequenceFlags = 13;
constexpr Field kTrackDescriptor = 60;
}  // namespace packet
namespace descriptor {
constexpr Field kUuid = 1;
constexpr Field kName = 2;
constexpr Field kParentUuid = 5;
constexpr Field kCounter = 8;
constexpr Field kChildOrdering = 11;
constexpr Field kSiblingOrderRank = 12;
constexpr Field kDescription = 14;
}  // namespace descriptor
namespace counter_descriptor {
constexpr Field kUnitName = 6;
}
namespace event {
constexpr Field kDebugAnnotation = 4;
constexpr Field kType = 9;
constexpr Field kNameId = 10;
constexpr Field kTrackUuid = 11;
constexpr Field kName = 23;
constexpr Field kCounterValue = 30;
constexpr Field kFlowId = 47;
constexpr Field kTerminatingFlowId = 48;
}  // namespace event
namespace annotation {
constexpr Field kNameId = 1;
constexpr Field kBool = 2;
constexpr Field kInt = 4;
constexpr Field kString = 6;
constexpr Field kPointer = 7;
constexpr Field kName = 10;
}  // namespace annotation
namespace interned {
constexpr Field kEventName = 2;
constexpr Field kAnnotationName = 3;
constexpr Field kId = 1;
constexpr Field kText = 2;
}  // namespace interned

// All packets are of one sequence; any number but 0 will do.
constexpr std::uint32_t kSequence = 1;
constexpr std::uint32_t kStateCleared = 1;
constexpr std::uint32_t kNeedsState = 2;
constexpr std::int32_t kOrderedByRank = 3;
constexpr std::size_t kMaxNames = 4'096;
constexpr const char* kRootName = "time axis: 1 ns shown = 1 ps modelled";

std::uint64_t uuid_of(PftraceTrack track) { return std::uint64_t{track.index} + 1; }

}  // namespace

std::uint64_t PftraceWriter::Names::id(std::string_view name) {
  const auto [known, is_new] = ids.try_emplace(std::string(name), ids.size() + 1);
  if (!is_new) return known->second;
  if (ids.size() > kMaxNames) {
    // Somebody makes names from values. They stay correct, only longer.
    ids.erase(known);
    return 0;
  }
  fresh.emplace_back(known->second, known->first);
  return known->second;
}

PftraceWriter::PftraceWriter(ByteSink& sink, PftraceOptions options) : sink_(sink), options_(options) {
  if (options_.to <= options_.from) throw std::invalid_argument("the window of a timeline is empty");
  declare(kRootName, {}, {}, false, {});
}

PftraceTrack PftraceWriter::track(std::string_view name, PftraceTrack parent, std::string_view about) {
  return declare(name, parent, about, false, {});
}

PftraceTrack PftraceWriter::counter(std::string_view name, std::string_view unit, PftraceTrack parent) {
  return declare(name, parent, {}, true, unit);
}

PftraceTrack PftraceWriter::declare(std::string_view name, PftraceTrack parent, std::string_view about, bool is_counter,
                                    std::string_view unit) {
  const PftraceTrack track{static_cast<std::uint32_t>(tracks_.size())};
  const bool is_root = track.index == 0;
  std::string text;
  {
    protozero::pbf_writer fields{text};
    fields.add_uint64(descriptor::kUuid, uuid_of(track));
    if (!is_root) {
      Track& above = tracks_.at(parent.index);
      if (above.is_counter) throw std::logic_error("a counter has no tracks below it");
      fields.add_uint64(descriptor::kParentUuid, uuid_of(parent));
      fields.add_int32(descriptor::kSiblingOrderRank, static_cast<std::int32_t>(above.children++));
    }
    fields.add_string(descriptor::kName, name.data(), name.size());
    if (!about.empty()) fields.add_string(descriptor::kDescription, about.data(), about.size());
    if (is_counter) {
      protozero::pbf_writer counter_fields{fields, descriptor::kCounter};
      counter_fields.add_string(counter_descriptor::kUnitName, unit.data(), unit.size());
    } else {
      fields.add_enum(descriptor::kChildOrdering, kOrderedByRank);
    }
  }
  tracks_.push_back({});
  tracks_.back().is_counter = is_counter;
  body_.clear();
  protozero::pbf_writer fields{body_};
  fields.add_uint32(packet::kSequenceId, kSequence);
  if (is_root) fields.add_uint32(packet::kSequenceFlags, kStateCleared);
  fields.add_message(packet::kTrackDescriptor, text);
  write_packet(body_);
  return track;
}

void PftraceWriter::begin(PftraceTrack track, Time at, std::string_view name, const PftraceDetail& detail) {
  const Where where = arrive(track, at, false);
  if (where == Where::inside) write_event(track, at, Kind::begin, name, &detail);
  Slice slice{{}, {}, at, where == Where::inside};
  if (where == Where::before) {
    slice.name = name;
    slice.detail = detail;
  }
  tracks_[track.index].open.push_back(std::move(slice));
}

void PftraceWriter::end(PftraceTrack track, Time at, const PftraceDetail& detail) {
  const Where where = arrive(track, at, false);
  std::vector<Slice>& open = tracks_[track.index].open;
  if (open.empty()) throw std::logic_error("no slice is open on track " + std::to_string(track.index));
  if (where == Where::inside) write_event(track, at, Kind::end, {}, &detail);
  open.pop_back();
}

void PftraceWriter::instant(PftraceTrack track, Time at, std::string_view name, const PftraceDetail& detail) {
  if (arrive(track, at, false) == Where::inside) write_event(track, at, Kind::instant, name, &detail);
}

void PftraceWriter::count(PftraceTrack counter, Time at, std::int64_t value) {
  const Where where = arrive(counter, at, true);
  if (where == Where::inside) write_event(counter, at, Kind::counter, {}, nullptr, value);
  if (where == Where::before) {
    tracks_[counter.index].has_early_value = true;
    tracks_[counter.index].early_value = value;
  }
}

PftraceWriter::Where PftraceWriter::arrive(PftraceTrack handle, Time at, bool at_counter) {
  Track& track = tracks_.at(handle.index);
  if (finished_) throw std::logic_error("a timeline was added to after its end");
  if (track.is_counter != at_counter) throw std::logic_error("a counter takes counts, and only a counter does");
  if (at < track.now) throw std::logic_error("a timeline's track went back in time to " + to_text(at));
  track.now = at;
  latest_ = std::max(latest_, at);
  if (!stopped_ && at > options_.to) {
    stop(options_.to, "the window ends here: what came later was left out");
  } else if (!stopped_ && events_ >= options_.max_events) {
    truncated_ = true;
    stop(latest_, "too many events: what came later was left out");
  }
  if (stopped_) return Where::past;
  if (at < options_.from) return Where::before;
  catch_up(handle);
  return Where::inside;
}

// The first event of a track inside the window: what was already so when the window began comes first.
void PftraceWriter::catch_up(PftraceTrack handle) {
  Track& track = tracks_[handle.index];
  if (std::exchange(track.has_early_value, false))
    write_event(handle, options_.from, Kind::counter, {}, nullptr, track.early_value);
  for (Slice& slice : track.open) {
    if (slice.written) continue;
    slice.detail.notes.emplace_back("began_before_the_window", to_text(slice.began));
    write_event(handle, options_.from, Kind::begin, slice.name, &slice.detail);
    slice.written = true;
    slice.name.clear();
    slice.detail = {};
  }
}

void PftraceWriter::close_all(Time at, bool unfinished) {
  PftraceDetail detail;
  if (unfinished) detail.notes.emplace_back("unfinished", true);
  for (std::uint32_t index = 0; index < tracks_.size(); ++index) {
    catch_up({index});
    for (std::size_t depth = tracks_[index].open.size(); depth-- > 0;) write_event({index}, at, Kind::end, {}, &detail);
  }
}

// The slices stay on their stacks: their ends, still to come, must find them.
void PftraceWriter::stop(Time at, std::string_view why) {
  close_all(at, true);
  write_event({}, at, Kind::instant, why, nullptr);
  stopped_ = true;
}

void PftraceWriter::finish(Time end) {
  if (finished_) return;
  if (!stopped_ && end > options_.to) stop(options_.to, "the window ends here: what came later was left out");
  if (!stopped_ && end >= options_.from) close_all(std::max(end, latest_), true);
  finished_ = true;
}

void PftraceWriter::write_event(PftraceTrack track, Time at, Kind kind, std::string_view name,
                                const PftraceDetail* detail, std::int64_t value) {
  ++events_;
  body_.clear();
  protozero::pbf_writer fields{body_};
  fields.add_uint64(packet::kTimestamp, at.ps);
  fields.add_uint32(packet::kSequenceId, kSequence);
  fields.add_uint32(packet::kSequenceFlags, kNeedsState);
  {
    protozero::pbf_writer event_fields{fields, packet::kTrackEvent};
    event_fields.add_enum(event::kType, static_cast<std::int32_t>(kind));
    event_fields.add_uint64(event::kTrackUuid, uuid_of(track));
    if (!name.empty()) {
      if (const std::uint64_t id = event_names_.id(name); id != 0)
        event_fields.add_uint64(event::kNameId, id);
      else
        event_fields.add_string(event::kName, name.data(), name.size());
    }
    if (kind == Kind::counter) event_fields.add_int64(event::kCounterValue, value);
    if (detail != nullptr) {
      for (const PftraceFlow flow : detail->flows) event_fields.add_fixed64(event::kFlowId, flow.id);
      for (const PftraceFlow flow : detail->ends_flows) event_fields.add_fixed64(event::kTerminatingFlowId, flow.id);
      for (const PftraceNote& note : detail->notes) {
        protozero::pbf_writer note_fields{event_fields, event::kDebugAnnotation};
        if (const std::uint64_t id = note_names_.id(note.name); id != 0)
          note_fields.add_uint64(annotation::kNameId, id);
        else
          note_fields.add_string(annotation::kName, note.name);
        if (const auto* number = std::get_if<std::int64_t>(&note.value))
          note_fields.add_int64(annotation::kInt, *number);
        else if (const auto* flag = std::get_if<bool>(&note.value))
          note_fields.add_bool(annotation::kBool, *flag);
        else if (const auto* text = std::get_if<std::string>(&note.value))
          note_fields.add_string(annotation::kString, *text);
        else
          note_fields.add_uint64(annotation::kPointer, std::get<VirtAddr>(note.value).value);
      }
    }
  }
  if (!event_names_.fresh.empty() || !note_names_.fresh.empty()) {
    protozero::pbf_writer table{fields, packet::kInternedData};
    const auto tell = [&](Names& names, Field field) {
      for (const auto& [id, text] : names.fresh) {
        protozero::pbf_writer entry{table, field};
        entry.add_uint64(interned::kId, id);
        entry.add_string(interned::kText, text);
      }
      names.fresh.clear();
    };
    tell(event_names_, interned::kEventName);
    tell(note_names_, interned::kAnnotationName);
  }
  write_packet(body_);
}

void PftraceWriter::write_packet(std::string_view body) {
  frame_.clear();
  protozero::pbf_writer fields{frame_};
  fields.add_bytes(trace::kPacket, body.data(), body.size());
  sink_.write(frame_);
}

PftraceLanes::PftraceLanes(PftraceWriter& writer, std::string_view name, PftraceTrack parent)
    : writer_(writer), name_(name), group_(writer.track(name, parent)) {}

PftraceTrack PftraceLanes::take() {
  for (std::size_t index = 0; index < lanes_.size(); ++index) {
    if (taken_[index]) continue;
    taken_[index] = true;
    return lanes_[index];
  }
  lanes_.push_back(writer_.track(name_ + " " + std::to_string(lanes_.size() + 1), group_));
  taken_.push_back(true);
  return lanes_.back();
}

void PftraceLanes::give_back(PftraceTrack lane) {
  for (std::size_t index = 0; index < lanes_.size(); ++index)
    if (lanes_[index].index == lane.index) taken_[index] = false;
}

}  // namespace secmmu
