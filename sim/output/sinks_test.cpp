// The sinks on one made-up race: what they write is read by parsers that are not ours, short texts are compared, and a
// second run must give the same bytes. To look at the files: SECMMU_KEEP_SINKS=out/sinks, then
// .ci/view_waves.sh out/sinks out/sinks/waves.png, and timeline.pftrace in ui.perfetto.dev.
#include <doctest/doctest.h>

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <sstream>

#include "sim/output/event_stream.hpp"
#include "sim/output/made_up_race.hpp"
#include "sim/output/scratch_directory.hpp"
#include "sim/output/statistics.hpp"
#include "sim/output/text_trace.hpp"
#include "sim/output/timeline.hpp"
#include "sim/output/waveform.hpp"

using namespace secmmu;
using namespace secmmu::literals;

namespace {

std::string checked(const std::string& checker, const std::filesystem::path& file, const ScratchDirectory& scratch) {
  const std::filesystem::path said = scratch.path() / "said.txt";
  const std::string command = "python3 .ci/" + checker + " '" + file.string() + "' > '" + said.string() + "' 2>&1";
  const int status = std::system(command.c_str());
  std::string text = contents_of(said);
  const std::string place = file.string() + ": ";
  if (text.starts_with(place)) text.erase(0, place.size());
  return status == 0 ? text : "failed: " + text;
}

// Every sink of the run into one directory.
void write_all(const std::filesystem::path& directory, const SinkOptions& options = {}) {
  const FileSet files(directory);
  OutputFile events = files.open("events.jsonl");
  OutputFile trace = files.open("trace.txt");
  OutputFile timeline = files.open("timeline.pftrace");
  OutputFile waves = files.open("waves.vcd");
  const RunDescription run = MadeUpRace::description();
  EventStream stream(events, run, options);
  TextTrace text(trace, run, options);
  Timeline lanes(timeline, run, options);
  Waveform signals(waves, run, options);
  Statistics statistics(run);
  MadeUpRace race;
  race.play({&stream, &text, &lanes, &signals, &statistics});
  statistics.add({"gru0.tlb.hits", "accesses", "Accesses that found a translation.", 123});
  for (OutputFile* file : {&events, &trace, &timeline, &waves}) file->commit();
  signals.write_view(files);
  files.write("stats.json", statistics.json());
  files.write("stats.txt", statistics.text());
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("other people's parsers accept what the sinks write") {
  const ScratchDirectory scratch;
  const char* keep = std::getenv("SECMMU_KEEP_SINKS");
  const std::filesystem::path out = keep != nullptr ? std::filesystem::path(keep) : scratch.path() / "out";
  write_all(out);
  CHECK(checked("check_ftrace.py", out / "trace.txt", scratch) ==
        "105 events of 47 kinds, 3 tasks, 2 cores, 1 engines\n");
  CHECK(checked("check_vcd.py", out / "waves.vcd", scratch) == "25 signals, 94 changes from 0 to 20000000\n");
  CHECK(checked("check_pftrace.py", out / "timeline.pftrace", scratch) ==
        "30 tracks, 36 slices, 13 instants, 11 counts, 5 arrows\n");
  std::size_t events = 0;
  std::uint64_t last = 0;
  for (const std::string& line : lines_of(contents_of(out / "events.jsonl"))) {
    const auto object = nlohmann::json::parse(line);
    if (!object.contains("event")) continue;
    ++events;
    CHECK(object["n"].get<std::uint64_t>() == events - 1);
    CHECK(object["t"].get<std::uint64_t>() >= last);
    last = object["t"];
  }
  CHECK(events == 105);
  CHECK(nlohmann::json::parse(contents_of(out / "stats.json"))["format"] == "secmmu.statistics/1");
}

TEST_CASE("the checker of text traces finds what is broken") {
  const ScratchDirectory scratch;
  CHECK(checked("check_ftrace.py", "--self-test", scratch) == "");
}

TEST_CASE("equal runs give equal bytes in every output") {
  const ScratchDirectory scratch;
  write_all(scratch.path() / "one");
  write_all(scratch.path() / "two");
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(scratch.path() / "one")) {
    CAPTURE(entry.path().filename().string());
    CHECK(contents_of(entry.path()) == contents_of(scratch.path() / "two" / entry.path().filename()));
    ++files;
  }
  CHECK(files >= 7);
}

TEST_CASE("windows, lanes and caps trim every output and are owned up to") {
  const ScratchDirectory scratch;
  const auto sound = [&scratch](const std::filesystem::path& out) {
    CHECK(!checked("check_ftrace.py", out / "trace.txt", scratch).starts_with("failed"));
    CHECK(!checked("check_vcd.py", out / "waves.vcd", scratch).starts_with("failed"));
    CHECK(!checked("check_pftrace.py", out / "timeline.pftrace", scratch).starts_with("failed"));
    for (const std::string& line : lines_of(contents_of(out / "events.jsonl"))) CHECK(nlohmann::json::accept(line));
  };
  SUBCASE("a window") {
    const std::filesystem::path out = scratch.path() / "window";
    write_all(out, {.from = 9'300_ns, .to = 12'300_ns});
    sound(out);
    CHECK(lines_of(contents_of(out / "events.jsonl")).back() ==
          R"({"end":20000000,"events":105,"listed":30,"left_out":"75 outside the window"})");
    CHECK(contains(contents_of(out / "trace.txt"), "# left out: 75 outside the window\n"));
  }
  SUBCASE("some lanes") {
    const std::filesystem::path out = scratch.path() / "lanes";
    write_all(out, {.lanes = {"gru0"}});
    sound(out);
    CHECK(contains(contents_of(out / "trace.txt"), "# left out: 75 in other lanes\n"));
    CHECK(!contains(contents_of(out / "waves.vcd"), "mmap_lock [1:0]"));
    CHECK(contains(contents_of(out / "waves.vcd"), "active_ranges"));
    CHECK(contains(contents_of(out / "waves.gtkw"), "other lanes were left out"));
  }
  SUBCASE("a cap") {
    const std::filesystem::path out = scratch.path() / "cap";
    write_all(out, {.max_events = 20});
    sound(out);
    CHECK(contains(contents_of(out / "trace.txt"), "# left out: 85 after the first 20\n"));
    CHECK(contains(contents_of(out / "waves.gtkw"), "too many changes"));
  }
}

TEST_CASE("the event stream has exact numbers and says what it omits") {
  StringSink out;
  EventStream stream(out, MadeUpRace::description());
  MadeUpRace race;
  race.play({&stream});
  const std::vector<std::string> lines = lines_of(out.text);
  CHECK(
      lines.front() ==
      R"({"format":"secmmu.events/1","scenario":"gru-without-range-active-check","kernel":"v6.10","seed":7,"cores":2,)"
      R"("time_unit":"ps","omits":"hits are counted, not listed, except on watched pages","watched":["app.buf"]})");
  CHECK(lines.back() == R"({"end":20000000,"events":105})");
  CHECK(contains(out.text, R"({"t":9200000,"n":43,"task":"unmapper","core":1,"event":"invalidate_start",)"
                           R"("fields":{"mm":"app","id":1,"pages":["0x7f0000001000","0x7f0000003000"],)"
                           R"("reason":"UNMAP","blockable":true}})"));
  CHECK(contains(out.text, R"("task":"idle/0","core":0,"irq":true,"event":"device_fill")"));
  CHECK(contains(out.text, R"("old_pfn":null)"));
  CHECK(contains(out.text, R"("task":"gru0/0","event":"device_access")"));  // on no core
  CHECK(contains(out.text, R"("violation":"use-after-free","summary":"gru0 wrote 66)"));
}

TEST_CASE("JSON texts survive any bytes") {
  const auto quoted = [](std::string_view text) {
    std::string json;
    append_json_text(json, text);
    return json;
  };
  const auto back = [&quoted](std::string_view text) { return nlohmann::json::parse(quoted(text)).get<std::string>(); };
  for (int byte = 0; byte < 0x80; ++byte) {
    const std::string text(1, static_cast<char>(byte));
    CHECK(back(text) == text);
  }
  for (const std::string_view text : {"", "\"\\/", "a\u00e9\u20ac\U0001F600z", "\xF4\x8F\xBF\xBF"})
    CHECK(back(text) == text);
  // Broken UTF-8: cut short, longer than needed, half a surrogate, past the end, a byte on its own.
  CHECK(back("a\xE2\x82") == "a\uFFFD\uFFFD");
  CHECK(back("\xC0\xAF") == "\uFFFD\uFFFD");
  CHECK(back("\xED\xA0\x80") == "\uFFFD\uFFFD\uFFFD");
  CHECK(back("\xF4\x90\x80\x80x") == "\uFFFD\uFFFD\uFFFD\uFFFDx");
  CHECK(back("\x80\xFFx") == "\uFFFD\uFFFDx");
}

TEST_CASE("the text trace reads like one of ftrace") {
  StringSink out;
  TextTrace trace(out, MadeUpRace::description());
  MadeUpRace race;
  race.play({&trace});
  CHECK(
      out.text.starts_with("# tracer: nop\n#\n# secmmu gru-without-range-active-check, kernel v6.10, seed 7, #P:2\n"
                           "# CPU# 002 stands for gru0/0, which runs on no core\n"));
  for (const std::string_view line :
       {"        unmapper-4       [001] ..... 0.000009200000: invalidate_start: mm=app id=1 "
        "pages=[0x7f0000001000,0x7f0000003000) reason=UNMAP blockable=1\n",
        "        unmapper-4       [001] ...1. 0.000011200000: lock_acquire: lock=page_table_lock(app) kind=spinlock "
        "shared=0\n",
        "        unmapper-4       [001] ..... 0.000011500000: tlb_shootdown: id=1",
        "          <idle>-0       [000] d.h.. 0.000011700000: irq_entry: core=0 irq=shootdown\n",
        "          gru0/0-5       [002] ..... 0.000014200000: violation: rule=use-after-free summary=\"gru0 wrote 66 "
        "to "})
    CHECK_MESSAGE(contains(out.text, line), line);
}

TEST_CASE("the waveform's save file stands at the first violation") {
  const ScratchDirectory scratch;
  write_all(scratch.path());
  const std::string view = contents_of(scratch.path() / "waves.gtkw");
  CHECK(contains(view, " 14200000 14200000 -1 "));
  CHECK(contains(view, "[markername] Ause-after-free\n"));
  for (const std::string_view signal :
       {"secmmu.oracle.violation", "secmmu.app.mmap_lock[1:0]", "secmmu.app.open_ranges[15:0]",
        "secmmu.gru0.context0[2:0]", "secmmu.gru0.active_ranges[15:0]", "secmmu.cpu1.task[2:0]",
        "secmmu.memory.free_frames[39:0]"})
    CHECK_MESSAGE(contains(view, signal), signal);
}

TEST_CASE("a long waveform opens around its first violation") {
  const ScratchDirectory scratch;
  const FileSet files(scratch.path());
  StringSink vcd;
  Waveform waves(vcd, MadeUpRace::description());
  Bus bus;
  Stamp stamp;
  bus.set_clock([&stamp] { return stamp; });
  waves.attach(bus);
  for (std::uint64_t step = 0; step < 2'000; ++step) {
    stamp.at = Time{step * 1'000};
    bus.emit(FrameFreed{{1}, 1, "anonymous", step % 2});
    Violation violation = MadeUpRace::violation();
    violation.at = stamp.at;
    if (step == 1'000 || step == 1'900) waves.violation(violation);
  }
  waves.finish(2'000_ns);
  waves.write_view(files);
  const std::string view = contents_of(scratch.path() / "waves.gtkw");
  CHECK(contains(view, "[timestart] 881000\n"));  // 120 instants before it
  CHECK(contains(view, "*-15.25 1000000 1000000 1900000 -1 "));
  CHECK(contains(view, "[markername] Buse-after-free\n"));
}

TEST_CASE("sinks take events that do not balance, and names that nobody announced") {
  StringSink events;
  StringSink trace;
  StringSink timeline;
  StringSink waves;
  const RunDescription nothing;
  EventStream stream(events, nothing);
  TextTrace text(trace, nothing);
  Timeline lanes(timeline, nothing);
  Waveform signals(waves, nothing);
  Statistics statistics(nothing);
  MadeUpRace race;
  race.play({&stream, &text, &lanes, &signals, &statistics});
  Bus bus;
  StringSink half_out;
  Timeline half(half_out, MadeUpRace::description());
  half.attach(bus);
  bus.emit(SyscallEnd{"app", 1, "munmap", "ok"});
  bus.emit(CallbackEnd{"app", 1, "gru0", 1, Callback::start, {}, 1, Errno::ok, false});
  bus.emit(InvalidateEnded{"app", 1, 9});
  bus.emit(DevicePurgeEnd{"gru0", "app", 1, 3});
  bus.emit(DeviceFaultEnd{"gru0", "app", 1, 3, {}, Errno::ok});
  bus.emit(SyscallBegin{"app", 1, "munmap", {}});
  half.finish(1_us);
}

TEST_CASE("statistics count and measure, in a stable order") {
  Statistics statistics(MadeUpRace::description());
  MadeUpRace race;
  race.play({&statistics});
  statistics.add({{"gru0.tlb.hits", "accesses", "Accesses that found a translation.", 123}});
  const auto document = nlohmann::json::parse(statistics.json());
  const auto named = [](const nlohmann::json& list, std::string_view name) {
    for (const auto& entry : list)
      if (entry["name"] == name) return entry;
    return nlohmann::json();
  };
  const auto& values = document["values"];
  CHECK(
      std::is_sorted(values.begin(), values.end(), [](const auto& a, const auto& b) { return a["name"] < b["name"]; }));
  CHECK(named(values, "gru0.tlb.hits")["value"] == 123);
  CHECK(named(values, "events.device_fill")["value"] == 2);
  CHECK(named(values, "oracle.violations.use-after-free")["value"] == 1);
  CHECK(named(values, "lock.mmap_lock.taken")["value"] == 4);
  const auto& histograms = document["histograms"];
  const auto faults = named(histograms, "gru0.fault.latency");
  CHECK(faults["count"] == 2);
  CHECK(faults["min"] == 550'000);
  CHECK(faults["max"] == 800'000);
  CHECK(faults["sum"] == 1'350'000);
  CHECK(faults["buckets"] == nlohmann::json::array({{524'288, 1'048'575, 2}}));
  CHECK(named(histograms, "app.invalidation.latency")["min"] == 3'500'000);
  CHECK(named(histograms, "gru0.callback.invalidate_range_start.latency")["min"] == 1'000'000);
  CHECK(named(histograms, "cpu.shootdown.latency")["min"] == 600'000);
  CHECK(named(histograms, "mm.munmap.latency")["min"] == 4'300'000);
  CHECK(contains(statistics.text(), "gru0.tlb.hits"));
}

TEST_CASE("a histogram's buckets are powers of two") {
  Histogram histogram;
  CHECK(histogram.at_most(90) == 0);
  for (const std::uint64_t value : {0, 1, 2, 3, 4, 7, 8, 1000}) histogram.add(value);
  CHECK(histogram.buckets() == std::vector<std::uint64_t>{1, 1, 2, 2, 1, 0, 0, 0, 0, 0, 1});
  CHECK(histogram.count() == 8);
  CHECK(histogram.min() == 0);
  CHECK(histogram.max() == 1000);
  CHECK(histogram.mean() == 128);
  CHECK(histogram.at_most(100) == 1000);
  CHECK(histogram.at_most(50) == 3);
  histogram.add(UINT64_MAX);
  CHECK(histogram.buckets().size() == 65);
  CHECK(histogram.at_most(100) == UINT64_MAX);
}
