#include "sim/output/pftrace_writer.hpp"

#include <doctest/doctest.h>

#include <map>
#include <protozero/pbf_reader.hpp>
#include <stdexcept>

using namespace secmmu;
using namespace secmmu::literals;

namespace {

// The timeline as lines "time lane kind name {note=value}", read with a reader that is not our writer.
class Reader {
 public:
  explicit Reader(const std::string& bytes) {
    protozero::pbf_reader file(bytes);
    while (file.next(1)) packet(file.get_message());
  }
  std::string events;
  std::map<std::uint64_t, std::string> tracks;

 private:
  void packet(protozero::pbf_reader fields) {
    std::uint64_t time = 0;
    protozero::data_view event;
    while (fields.next()) switch (fields.tag()) {
        case 8:
          time = fields.get_uint64();
          break;
        case 11:
          event = fields.get_view();
          break;
        case 12:
          learn(fields.get_message());
          break;
        case 60:
          track(fields.get_message());
          break;
        default:
          fields.skip();
      }
    // Names may stand behind the event in the same packet.
    if (event.data() != nullptr) events += std::to_string(time) + " " + line(event) + "\n";
  }
  void learn(protozero::pbf_reader tables) {
    while (tables.next()) {
      auto& names = tables.tag() == 2 ? event_names_ : note_names_;
      protozero::pbf_reader entry = tables.get_message();
      std::uint64_t id = 0;
      while (entry.next())
        if (entry.tag() == 1)
          id = entry.get_uint64();
        else
          names[id] = entry.get_string();
    }
  }
  void track(protozero::pbf_reader fields) {
    std::uint64_t uuid = 0;
    while (fields.next()) switch (fields.tag()) {
        case 1:
          uuid = fields.get_uint64();
          break;
        case 2:
          tracks[uuid] = fields.get_string();
          break;
        default:
          fields.skip();
      }
  }
  std::string line(protozero::data_view bytes) {
    std::string lane, kind, name, rest;
    protozero::pbf_reader fields(bytes);
    while (fields.next()) switch (fields.tag()) {
        case 9:
          kind = std::vector<std::string>{"?", "begin", "end", "instant", "count"}.at(fields.get_uint32());
          break;
        case 11:
          lane = tracks.at(fields.get_uint64());
          break;
        case 10:
          name = " " + event_names_.at(fields.get_uint64());
          break;
        case 23:
          name = " '" + fields.get_string() + "'";
          break;
        case 30:
          rest += " " + std::to_string(fields.get_int64());
          break;
        case 47:
          rest += " ->" + std::to_string(fields.get_fixed64());
          break;
        case 48:
          rest += " ->|" + std::to_string(fields.get_fixed64());
          break;
        case 4:
          rest += " " + note(fields.get_message());
          break;
        default:
          rest += " field " + std::to_string(fields.tag());
          fields.skip();
      }
    return lane + " " + kind + name + rest;
  }
  std::string note(protozero::pbf_reader fields) {
    std::string name, value;
    while (fields.next()) switch (fields.tag()) {
        case 1:
          name = note_names_.at(fields.get_uint64());
          break;
        case 2:
          value = fields.get_bool() ? "yes" : "no";
          break;
        case 4:
          value = std::to_string(fields.get_int64());
          break;
        case 6:
          value = fields.get_string();
          break;
        case 7:
          value = "at " + std::to_string(fields.get_uint64());
          break;
        case 10:
          name = "'" + fields.get_string() + "'";
          break;
        default:
          value = "?";
          fields.skip();
      }
    return name + "=" + value;
  }
  std::map<std::uint64_t, std::string> event_names_, note_names_;
};

std::string events_of(const StringSink& sink) { return Reader(sink.text).events; }

}  // namespace

TEST_CASE("a timeline has lanes with slices, instants, counters, arrows and notes") {
  StringSink sink;
  PftraceWriter timeline(sink);
  const PftraceTrack cpu = timeline.track("cpu0");
  const PftraceTrack gru = timeline.track("gru0", timeline.track("devices"), "a TLB and nothing else");
  const PftraceTrack frames = timeline.counter("free frames", "frames");
  const PftraceFlow arrow = timeline.new_flow();
  timeline.begin(cpu, 1_ns, "munmap", {.notes = {{"from", VirtAddr{4096}}, {"pages", 2U}, {"blockable", true}}});
  timeline.begin(cpu, 2_ns, "start", {.flows = {arrow}});
  timeline.begin(gru, 2_ns, "flush", {.notes = {{"why", "munmap"}}, .ends_flows = {arrow}});
  timeline.count(frames, 3_ns, -7);
  timeline.instant(gru, 3_ns, "purge");
  timeline.end(gru, 4_ns);
  timeline.end(cpu, 4_ns, {.notes = {{"result", -11}}});
  CHECK(timeline.depth(cpu) == 1);
  timeline.end(cpu, 5_ns);
  timeline.finish(6_ns);
  CHECK(events_of(sink) ==
        "1000 cpu0 begin munmap from=at 4096 pages=2 blockable=yes\n"
        "2000 cpu0 begin start ->1\n"
        "2000 gru0 begin flush ->|1 why=munmap\n"
        "3000 free frames count -7\n"
        "3000 gru0 instant purge\n"
        "4000 gru0 end\n"
        "4000 cpu0 end result=-11\n"
        "5000 cpu0 end\n");
  CHECK(Reader(sink.text).tracks[1] == "time axis: 1 ns shown = 1 ps modelled");
  CHECK(timeline.events() == 8);
}

TEST_CASE("what is open at the end is closed, innermost first, and marked") {
  StringSink sink;
  PftraceWriter timeline(sink);
  const PftraceTrack lane = timeline.track("lane");
  timeline.begin(lane, 1_ns, "outer");
  timeline.begin(lane, 2_ns, "inner");
  timeline.finish(3_ns);
  timeline.finish(3_ns);
  CHECK(events_of(sink) ==
        "1000 lane begin outer\n2000 lane begin inner\n3000 lane end unfinished=yes\n3000 lane end unfinished=yes\n");
}

TEST_CASE("a timeline of a window shows what was open at its start and says that it ends") {
  StringSink sink;
  PftraceWriter timeline(sink, {.from = 10_ns, .to = 20_ns});
  const PftraceTrack lane = timeline.track("lane");
  const PftraceTrack quiet = timeline.track("quiet");
  const PftraceTrack level = timeline.counter("level", "");
  timeline.begin(quiet, 1_ns, "long", {.notes = {{"page", 5}}});
  timeline.begin(lane, 2_ns, "gone");
  timeline.end(lane, 3_ns);
  timeline.begin(lane, 4_ns, "outer");
  timeline.begin(lane, 5_ns, "inner");
  timeline.count(level, 5_ns, 1);
  timeline.count(level, 6_ns, 2);
  timeline.end(lane, 12_ns);
  timeline.count(level, 13_ns, 3);
  timeline.begin(lane, 14_ns, "last");
  timeline.end(lane, 21_ns);
  timeline.end(lane, 22_ns);
  timeline.instant(lane, 23_ns, "late");
  timeline.finish(30_ns);
  CHECK(events_of(sink) ==
        "10000 lane begin outer began_before_the_window=4ns\n"
        "10000 lane begin inner began_before_the_window=5ns\n"
        "12000 lane end\n"
        "10000 level count 2\n"
        "13000 level count 3\n"
        "14000 lane begin last\n"
        "20000 lane end unfinished=yes\n"
        "20000 lane end unfinished=yes\n"
        "10000 quiet begin long page=5 began_before_the_window=1ns\n"
        "20000 quiet end unfinished=yes\n"
        "20000 time axis: 1 ns shown = 1 ps modelled instant the window ends here: what came later was left out\n");
}

TEST_CASE("too many events are left out, and the timeline says so") {
  StringSink sink;
  PftraceWriter timeline(sink, {.max_events = 3});
  const PftraceTrack lane = timeline.track("lane");
  timeline.begin(lane, 1_ns, "outer");
  for (std::uint64_t step = 2; step < 9; ++step) timeline.instant(lane, 1_ns * step, "step");
  timeline.end(lane, 9_ns);
  timeline.finish(10_ns);
  CHECK(timeline.truncated());
  CHECK(events_of(sink) ==
        "1000 lane begin outer\n2000 lane instant step\n3000 lane instant step\n4000 lane end unfinished=yes\n"
        "4000 time axis: 1 ns shown = 1 ps modelled instant too many events: what came later was left out\n");
}

TEST_CASE("things that overlap take lanes, and free ones are used again") {
  StringSink sink;
  PftraceWriter timeline(sink);
  PftraceLanes faults(timeline, "faults");
  const PftraceTrack first = faults.take();
  const PftraceTrack second = faults.take();
  CHECK(first.index != second.index);
  faults.give_back(first);
  CHECK(faults.take().index == first.index);
  timeline.finish(1_ns);
  CHECK(Reader(sink.text).tracks[second.index + 1] == "faults 2");
}

TEST_CASE("names made from values stay right when there are too many to number") {
  StringSink sink;
  PftraceWriter timeline(sink);
  const PftraceTrack lane = timeline.track("lane");
  for (int number = 0; number < 5'000; ++number) timeline.instant(lane, 1_ns, "name" + std::to_string(number));
  timeline.finish(1_ns);
  const std::string events = events_of(sink);
  CHECK(events.find("lane instant name4095\n") != std::string::npos);
  CHECK(events.find("lane instant 'name4999'\n") != std::string::npos);
}

TEST_CASE("a timeline refuses what the viewer would draw wrong") {
  StringSink sink;
  PftraceWriter timeline(sink);
  const PftraceTrack lane = timeline.track("lane");
  const PftraceTrack level = timeline.counter("level", "");
  CHECK_THROWS_AS(timeline.end(lane, 0_ns), std::logic_error);
  CHECK_THROWS_AS(timeline.count(lane, 0_ns, 1), std::logic_error);
  CHECK_THROWS_AS(timeline.instant(level, 0_ns, "x"), std::logic_error);
  CHECK_THROWS_AS(timeline.track("below", level), std::logic_error);
  timeline.instant(lane, 2_ns, "x");
  CHECK_THROWS_AS(timeline.instant(lane, 1_ns, "x"), std::logic_error);
  timeline.finish(2_ns);
  CHECK_THROWS_AS(timeline.instant(lane, 3_ns, "x"), std::logic_error);
}
