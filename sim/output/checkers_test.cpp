// The writers against readers that are not ours: a strict parser of VCD, and protoc. To look at the demonstration in a
// viewer, name a directory for it: SECMMU_KEEP_DEMO=out/demo, then .ci/view_waves.sh out/demo out/demo/waves.png
#include <doctest/doctest.h>

#include <cstdlib>

#include "sim/output/gtkw_writer.hpp"
#include "sim/output/pftrace_writer.hpp"
#include "sim/output/scratch_directory.hpp"
#include "sim/output/vcd_writer.hpp"

using namespace secmmu;
using namespace secmmu::literals;

namespace {

// Status and output of a checker, run at the top of the repository as all tests are.
std::string checked(const std::string& checker, const std::filesystem::path& argument,
                    const ScratchDirectory& scratch) {
  const std::filesystem::path said = scratch.path() / "said.txt";
  const std::string command = "python3 .ci/" + checker + " '" + argument.string() + "' > '" + said.string() + "' 2>&1";
  const int status = std::system(command.c_str());
  std::string text = contents_of(said);
  const std::string place = argument.string() + ": ";
  if (text.starts_with(place)) text.erase(0, place.size());
  return status == 0 ? text : "failed: " + text;
}

std::filesystem::path demo_directory(const ScratchDirectory& scratch) {
  const char* keep = std::getenv("SECMMU_KEEP_DEMO");
  return keep != nullptr ? std::filesystem::path(keep) : scratch.path() / "demo";
}

// A GRU that misses a munmap, as a picture: made up, no machine behind it.
void write_demo_waves(const FileSet& files, VcdOptions options) {
  OutputFile file = files.open("waves.vcd");
  VcdWriter dump(file, std::move(options));
  const VcdCode lock_states = dump.code("mmap_lock", {"free", "read", "write"});
  const VcdCode device_states = dump.code("device", {"idle", "running", "fault", "wait for range"});
  const VcdScope mm = dump.scope("mm0");
  const VcdScope gru = dump.scope("gru0");
  const VcdSignal lock = dump.coded(mm, "mmap_lock", lock_states);
  const VcdSignal ranges = dump.vector(mm, "open_ranges", 8);
  const VcdSignal sequence = dump.vector(mm, "sequence", 32);
  const VcdSignal state = dump.coded(gru, "state", device_states);
  const VcdSignal entries = dump.vector(gru, "valid_entries", 16);
  const VcdSignal frames = dump.vector(dump.scope("memory"), "free_frames", 32, 64);
  const VcdSignal violation = dump.pulse(dump.scope("oracle"), "violation");
  const Time use_after_free = 41'000_ns;
  for (std::uint64_t round = 0; round < 12; ++round) {
    const Time start = 5'000_ns * round;
    dump.change(state, round % 3 == 2 ? 3 : 1, start);
    dump.change(entries, 3 + round % 5, start + 200_ns);
    dump.change(lock, 2, start + 1'000_ns);
    if (start + 1'000_ns == use_after_free) dump.strike(violation, use_after_free);
    dump.change(ranges, 1, start + 1'500_ns);
    dump.change(sequence, 2 * round + 1, start + 1'500_ns);
    dump.change(entries, 0, start + 2'000_ns);
    dump.change(frames, 64 - round % 7, start + 2'500_ns);
    dump.change(ranges, 0, start + 3'000_ns);
    dump.change(lock, 0, start + 3'100_ns);
    dump.change(lock, 1, start + 3'500_ns);
    dump.change(state, 2, start + 3'500_ns);
    dump.change(lock, 0, start + 4'000_ns);
  }
  dump.finish(60'000_ns);
  file.commit();

  GtkwWriter waves(dump);
  waves.open_group("mm0");
  waves.trace(lock, GtkwColour::yellow);
  waves.trace(ranges);
  waves.trace(sequence, GtkwColour::plain, GtkwRadix::hex);
  waves.close_group();
  waves.open_group("gru0");
  waves.trace(state, GtkwColour::blue);
  waves.trace(entries, GtkwColour::plain, GtkwRadix::steps);
  waves.close_group();
  waves.heading("machine");
  waves.trace(frames, GtkwColour::plain, GtkwRadix::steps);
  waves.trace(violation, GtkwColour::red);
  waves.trace(dump.truncated_signal());
  waves.marker(use_after_free, "violation");
  waves.write(files, "waves.gtkw", "waves.vcd");
}

void write_demo_timeline(const FileSet& files, PftraceOptions options) {
  OutputFile file = files.open("timeline.pftrace");
  PftraceWriter timeline(file, options);
  const PftraceTrack cpus = timeline.track("cores");
  const PftraceTrack cpu = timeline.track("cpu0", cpus);
  const PftraceTrack devices = timeline.track("devices");
  const PftraceTrack gru = timeline.track("gru0", devices, "a TLB and nothing else");
  PftraceLanes faults(timeline, "gru0 faults", devices);
  const PftraceTrack frames = timeline.counter("free frames", "frames");
  for (std::uint64_t round = 0; round < 100; ++round) {
    const Time start = 5'000_ns * round;
    const PftraceFlow arrow = timeline.new_flow();
    timeline.begin(cpu, start, "munmap", {.notes = {{"start", VirtAddr{0x7f0000001000}}, {"pages", round}}});
    timeline.begin(cpu, start + 100_ns, "invalidate_range_start", {.flows = {arrow}});
    timeline.begin(gru, start + 200_ns, "flush", {.ends_flows = {arrow}});
    timeline.end(gru, start + 700_ns);
    timeline.end(cpu, start + 800_ns, {.notes = {{"result", 0}}});
    const PftraceTrack first = faults.take();
    const PftraceTrack second = faults.take();
    timeline.begin(first, start + 900_ns, "fault", {.notes = {{"in_interrupt", true}}});
    timeline.begin(second, start + 1'000_ns, "fault");
    timeline.instant(gru, start + 1'200_ns, "retry", {.notes = {{"why", "a range is open"}}});
    timeline.end(first, start + 1'500_ns);
    timeline.end(second, start + 1'700_ns);
    faults.give_back(first);
    faults.give_back(second);
    timeline.count(frames, start + 2'000_ns, static_cast<std::int64_t>(64 - round % 9));
    timeline.end(cpu, start + 3'000_ns);
  }
  timeline.begin(cpu, 600'000_ns, "exit");
  timeline.finish(700'000_ns);
  file.commit();
}

}  // namespace

TEST_CASE("the checkers of waveforms and timelines find what is broken") {
  const ScratchDirectory scratch;
  CHECK(checked("check_vcd.py", "--self-test", scratch) == "");
  CHECK(checked("check_pftrace.py", "--self-test", scratch) == "");
}

TEST_CASE("a strict parser accepts our waveforms") {
  const ScratchDirectory scratch;
  const FileSet demo(demo_directory(scratch));
  write_demo_waves(demo, {.pulse_width = 100_ns, .title = "demonstration"});
  CHECK(checked("check_vcd.py", demo.directory() / "waves.vcd", scratch) ==
        "8 signals, 144 changes from 0 to 60000000\n");
  const FileSet window(scratch.path() / "window");
  write_demo_waves(window, {.from = 11'700_ns, .to = 23'000_ns});
  CHECK(checked("check_vcd.py", window.directory() / "waves.vcd", scratch) ==
        "8 signals, 27 changes from 11700000 to 23000001\n");
  const FileSet cut(scratch.path() / "cut");
  write_demo_waves(cut, {.max_changes = 30});
  CHECK(checked("check_vcd.py", cut.directory() / "waves.vcd", scratch) ==
        "8 signals, 38 changes from 0 to 60000000\n");
}

TEST_CASE("protoc reads our timelines and their slices balance") {
  const ScratchDirectory scratch;
  const FileSet demo(demo_directory(scratch));
  write_demo_timeline(demo, {});
  CHECK(checked("check_pftrace.py", demo.directory() / "timeline.pftrace", scratch) ==
        "9 tracks, 501 slices, 100 instants, 100 counts, 100 arrows\n");
  const FileSet window(scratch.path() / "window");
  write_demo_timeline(window, {.from = 101'000_ns, .to = 200'600_ns});
  CHECK(checked("check_pftrace.py", window.directory() / "timeline.pftrace", scratch) ==
        "9 tracks, 101 slices, 21 instants, 21 counts, 20 arrows\n");
  const FileSet cut(scratch.path() / "cut");
  write_demo_timeline(cut, {.max_events = 250});
  CHECK(checked("check_pftrace.py", cut.directory() / "timeline.pftrace", scratch).starts_with("9 tracks, "));
}
