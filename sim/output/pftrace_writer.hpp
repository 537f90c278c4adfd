// Writes a timeline for Perfetto (ui.perfetto.dev) in its protobuf form, packet by packet: memory does not
// grow with the length of the run.
//
// Time: Perfetto counts nanoseconds, the model picoseconds. A picosecond is written as a nanosecond, so that
// nothing is rounded and no two slices come to overlap; the name of the root track says so.
//
// Slices of one track must nest, so a track has a stack: end() ends the innermost open slice. What can
// overlap (requests in flight) takes tracks of a PftraceLanes. Time may not go back on a track.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "notifier/substrate/address.hpp"
#include "notifier/substrate/time.hpp"
#include "sim/output/byte_sink.hpp"

namespace secmmu {

struct PftraceTrack {
  std::uint32_t index = 0;  // 0: the root
};

// An arrow: it runs through all events that carry it, in the order of time.
struct PftraceFlow {
  std::uint64_t id = 0;
};

// A named value, shown when its slice is selected.
struct PftraceNote {
  std::string name;
  std::variant<std::int64_t, bool, std::string, VirtAddr> value;  // an address is shown in hexadecimal

  PftraceNote(std::string_view field, std::same_as<bool> auto flag) : name(field), value(flag) {}
  PftraceNote(std::string_view field, std::integral auto number) requires(!std::same_as<decltype(number), bool>)
      : name(field), value(static_cast<std::int64_t>(number)) {}
  PftraceNote(std::string_view field, std::string_view text) : name(field), value(std::string(text)) {}
  PftraceNote(std::string_view field, const char* text) : name(field), value(std::string(text)) {}
  PftraceNote(std::string_view field, VirtAddr address) : name(field), value(address) {}
};

struct PftraceDetail {
  std::vector<PftraceNote> notes{};
  std::vector<PftraceFlow> flows{};       // arrows that begin here or pass through
  std::vector<PftraceFlow> ends_flows{};  // arrows that end here
};

struct PftraceOptions {
  // The window, both ends in it. A slice that was open at its start is shown from there.
  Time from{};
  Time to = kForever;
  std::uint64_t max_events = 4'000'000;  // then everything open is closed, and the root track says so
};

class PftraceWriter {
 public:
  explicit PftraceWriter(ByteSink& sink, PftraceOptions options = {});

  // Tracks are shown in the order of their making, below their parent.
  PftraceTrack track(std::string_view name, PftraceTrack parent = {}, std::string_view about = {});
  PftraceTrack counter(std::string_view name, std::string_view unit, PftraceTrack parent = {});

  void begin(PftraceTrack track, Time at, std::string_view name, const PftraceDetail& detail = {});
  void end(PftraceTrack track, Time at, const PftraceDetail& detail = {});
  void instant(PftraceTrack track, Time at, std::string_view name, const PftraceDetail& detail = {});
  void count(PftraceTrack counter, Time at, std::int64_t value);
  PftraceFlow new_flow() { return {++flows_}; }

  // Ends what is still open, innermost first, and marks it as unfinished.
  void finish(Time end);

  std::size_t depth(PftraceTrack track) const { return tracks_.at(track.index).open.size(); }
  bool truncated() const { return truncated_; }
  std::uint64_t events() const { return events_; }

 private:
  struct Slice {
    std::string name;  // name, detail: only until it is written
    PftraceDetail detail;
    Time began;
    bool written = false;
  };
  struct Track {
    bool is_counter = false;
    std::uint32_t children = 0;
    Time now{};
    std::vector<Slice> open;
    bool has_early_value = false;  // a counter's value from before the window
    std::int64_t early_value = 0;
  };
  enum class Kind : std::uint8_t { begin = 1, end = 2, instant = 3, counter = 4 };
  enum class Where : std::uint8_t { before, inside, past };

  PftraceTrack declare(std::string_view name, PftraceTrack parent, std::string_view about, bool is_counter,
                       std::string_view unit);
  Where arrive(PftraceTrack track, Time at, bool at_counter);
  void catch_up(PftraceTrack track);
  void close_all(Time at, bool unfinished);
  void stop(Time at, std::string_view why);
  void write_event(PftraceTrack track, Time at, Kind kind, std::string_view name, const PftraceDetail* detail,
                   std::int64_t value = 0);
  void write_packet(std::string_view body);

  // Names seen before are written as a number.
  struct Names {
    std::unordered_map<std::string, std::uint64_t> ids;
    std::vector<std::pair<std::uint64_t, std::string>> fresh;  // to be told in this packet
    std::uint64_t id(std::string_view name);                   // 0: no more numbers, write the name itself
  };

  ByteSink& sink_;
  PftraceOptions options_;
  std::vector<Track> tracks_;
  Names event_names_;
  Names note_names_;
  std::string body_;  // kept between packets for their memory
  std::string frame_;
  std::uint64_t flows_ = 0;
  std::uint64_t events_ = 0;
  Time latest_{};
  bool stopped_ = false;
  bool truncated_ = false;
  bool finished_ = false;
};

// A group of tracks for things that overlap: each takes a free track, and a new one is made only when none
// is free.
class PftraceLanes {
 public:
  PftraceLanes(PftraceWriter& writer, std::string_view name, PftraceTrack parent = {});
  PftraceTrack take();
  void give_back(PftraceTrack lane);

 private:
  PftraceWriter& writer_;
  std::string name_;
  PftraceTrack group_;
  std::vector<PftraceTrack> lanes_;
  std::vector<bool> taken_;
};

}  // namespace secmmu
