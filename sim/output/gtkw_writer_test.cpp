#include "sim/output/gtkw_writer.hpp"

#include <doctest/doctest.h>

#include <stdexcept>

#include "sim/output/scratch_directory.hpp"

using namespace secmmu;
using namespace secmmu::literals;

TEST_CASE("a save file has groups, colours, names of values and a marker") {
  StringSink sink;
  VcdWriter dump(sink, {});
  std::vector<std::string> states;
  for (int number = 0; number < 17; ++number) states.push_back("state " + std::to_string(number));
  const VcdCode code = dump.code("gru-state", states);
  const VcdScope gru = dump.scope("gru0");
  const VcdSignal state = dump.coded(gru, "state", code);
  const VcdSignal twin = dump.coded(gru, "twin", code);
  const VcdSignal entries = dump.vector(gru, "entries", 8);
  const VcdSignal violation = dump.pulse({}, "violation");
  dump.finish(3'000_ns);

  GtkwWriter waves(dump);
  waves.heading("all");
  waves.open_group("GRU", true);
  waves.trace(state);
  waves.trace(twin, GtkwColour::yellow);
  waves.trace(entries, GtkwColour::plain, GtkwRadix::steps);
  waves.close_group();
  waves.trace(violation, GtkwColour::red);
  waves.marker(1'500_ns, "violation");
  waves.marker(2'000_ns, "second\nline");

  const ScratchDirectory scratch;
  const FileSet files(scratch.path());
  waves.write(files, "waves.gtkw", "waves.vcd");
  std::string unset;
  for (int letter = 2; letter < 26; ++letter) unset += " -1";
  CHECK(contents_of(scratch.path() / "waves.gtkw") ==
        "[*] written by secmmu\n"
        "[dumpfile] \"waves.vcd\"\n"
        "[savefile] \"waves.gtkw\"\n"
        "[timestart] 0\n"
        "[size] 1400 800\n"
        "[pos] -1 -1\n"
        "*-19.75 1500000 1500000 2000000" +
            unset +
            "\n"
            "[markername] Aviolation\n"
            "[markername] Bsecond_line\n"
            "[treeopen] secmmu.\n"
            "[sst_width] 180\n"
            "[signals_width] 260\n"
            "[sst_expanded] 1\n"
            "@200\n-all\n"
            "@c00200\n-GRU\n"
            "@2022\n^1 waves.gru_state.txt\nsecmmu.gru0.state[4:0]\n"
            "@2022\n[color] 3\n^1 waves.gru_state.txt\nsecmmu.gru0.twin[4:0]\n"
            "@8024\nsecmmu.gru0.entries[7:0]\n@20000\n-\n"
            "@1000200\n-GRU\n"
            "@28\n[color] 1\nsecmmu.violation\n");
  const std::string table = contents_of(scratch.path() / "waves.gru_state.txt");
  CHECK(table.starts_with("00 state 0\n01 state 1\n"));
  CHECK(table.ends_with("0f state 15\n10 state 16\n"));
}

TEST_CASE("a save file refuses groups that do not close, and more than 26 markers are left out") {
  StringSink sink;
  VcdWriter dump(sink, {});
  dump.finish(1_ns);
  const ScratchDirectory scratch;
  GtkwWriter waves(dump);
  CHECK_THROWS_AS(waves.close_group(), std::logic_error);
  for (int number = 0; number < 30; ++number) waves.marker(1_ns, "m");
  waves.open_group("open");
  CHECK_THROWS_AS(waves.write(FileSet(scratch.path()), "waves.gtkw", "waves.vcd"), std::logic_error);
  waves.close_group();
  waves.write(FileSet(scratch.path()), "waves.gtkw", "waves.vcd");
  CHECK(contents_of(scratch.path() / "waves.gtkw").find("[markername] Zm\n[treeopen]") != std::string::npos);
}
