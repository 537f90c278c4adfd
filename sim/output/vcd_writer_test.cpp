#include "sim/output/vcd_writer.hpp"

#include <doctest/doctest.h>

#include <stdexcept>

using namespace secmmu;
using namespace secmmu::literals;

namespace {

// What follows the header and the values at the start.
std::string body_of(const std::string& dump) {
  const std::string mark = "$end\n#";
  const std::size_t start = dump.rfind(mark);
  return start == std::string::npos ? "" : dump.substr(start + mark.size() - 1);
}

}  // namespace

TEST_CASE("a waveform is what the standard says, byte for byte") {
  StringSink sink;
  VcdWriter dump(sink, {.title = "tour/first, v6.10 $end \xc3\xa4"});
  const VcdCode lock_state = dump.code("mmap_lock", {"free", "read", "write"});
  const VcdScope mm = dump.scope("mm0");
  const VcdScope table = dump.scope("pte", mm);
  const VcdSignal lock = dump.coded(mm, "lock", lock_state);
  const VcdSignal sequence = dump.vector(mm, "sequence", 16, 2);
  const VcdSignal present = dump.wire(table, "present", true);
  dump.change(lock, 2, 5_ns);
  dump.change(sequence, 3, 5_ns);
  dump.change(present, 0, 7_ns);
  dump.finish(9_ns);
  CHECK(sink.text ==
        "$date the same for every run $end\n"
        "$version secmmu $end\n"
        "$comment tour/first, v6.10 _end __ $end\n"
        "$comment window: 0ns to the end $end\n"
        "$comment mmap_lock: 0 free 1 read 2 write $end\n"
        "$timescale 1ps $end\n"
        "$scope module secmmu $end\n"
        "$var wire 1 ! truncated $end\n"
        "$scope module mm0 $end\n"
        "$var wire 2 \" lock [1:0] $end\n"
        "$var wire 16 # sequence [15:0] $end\n"
        "$scope module pte $end\n"
        "$var wire 1 $ present $end\n"
        "$upscope $end\n"
        "$upscope $end\n"
        "$upscope $end\n"
        "$enddefinitions $end\n"
        "#0\n$dumpvars\n0!\nb0 \"\nb10 #\n1$\n$end\n"
        "#5000\nb10 \"\nb11 #\n"
        "#7000\n0$\n"
        "#9000\n");
  CHECK(dump.full_name(sequence) == "secmmu.mm0.sequence[15:0]");
  CHECK(dump.full_name(present) == "secmmu.mm0.pte.present");
  CHECK(dump.code_of(lock)->values[1] == "read");
  CHECK(dump.code_of(present) == nullptr);
  CHECK(dump.changes() == 3);
}

TEST_CASE("names become plain identifiers and stay apart") {
  StringSink sink;
  VcdWriter dump(sink, {});
  const VcdScope scope = dump.scope("gru-0");
  CHECK(dump.full_name(dump.wire(scope, "tlb.valid[3]")) == "secmmu.gru_0.tlb_valid_3_");
  CHECK(dump.full_name(dump.wire(scope, "tlb valid 3 ")) == "secmmu.gru_0.tlb_valid_3__2");
  CHECK(dump.full_name(dump.wire(scope, "2nd")) == "secmmu.gru_0._2nd");
  CHECK(dump.full_name(dump.wire(dump.scope("gru_0"), "")) == "secmmu.gru_0_2._");
}

TEST_CASE("of several values at one instant the last counts, and none if it is the old one") {
  StringSink sink;
  VcdWriter dump(sink, {});
  const VcdSignal first = dump.wire({}, "first");
  const VcdSignal second = dump.vector({}, "second", 8);
  dump.change(first, 1, 0_ns);
  dump.change(second, 9, 1_ns);
  dump.change(first, 0, 1_ns);
  dump.change(first, 1, 1_ns);
  dump.change(second, 0, 2_ns);
  dump.change(second, 5, 2_ns);
  dump.change(first, 0, 2_ns);
  dump.change(second, 5, 3_ns);
  dump.finish(4_ns);
  CHECK(sink.text.find("#0\n$dumpvars\n0!\n1\"\nb0 #\n$end\n") != std::string::npos);
  CHECK(body_of(sink.text) == "#1000\nb1001 #\n#2000\n0\"\nb101 #\n#4000\n");
}

TEST_CASE("a pulse has a width, and one that is struck again stays up") {
  StringSink sink;
  VcdWriter dump(sink, {.pulse_width = 3_ns});
  const VcdSignal violation = dump.pulse({}, "violation");
  const VcdSignal other = dump.wire({}, "other");
  dump.strike(violation, 1_ns);
  dump.strike(violation, 1_ns);
  dump.change(other, 1, 2_ns);
  dump.change(other, 0, 6_ns);
  dump.strike(violation, 10_ns);
  dump.strike(violation, 12_ns);
  dump.change(other, 1, 15_ns);
  dump.strike(violation, 20_ns);
  dump.finish(20_ns);
  CHECK(
      body_of(sink.text) ==
      "#1000\n1\"\n#2000\n1#\n#4000\n0\"\n#6000\n0#\n#10000\n1\"\n#15000\n0\"\n1#\n#20000\n1\"\n#23000\n0\"\n#23001\n");
}

TEST_CASE("a waveform of a window starts with what was and ends at its end") {
  StringSink sink;
  VcdWriter dump(sink, {.from = 10_ns, .to = 20_ns, .pulse_width = 2_ns});
  const VcdSignal level = dump.vector({}, "level", 4);
  const VcdSignal pulse = dump.pulse({}, "pulse");
  dump.change(level, 1, 3_ns);
  dump.strike(pulse, 9_ns);
  dump.change(level, 2, 10_ns);
  dump.change(level, 3, 15_ns);
  dump.strike(pulse, 20_ns);
  dump.change(level, 4, 21_ns);
  dump.finish(90_ns);
  CHECK(sink.text.find("$comment window: 10ns to 20ns $end\n") != std::string::npos);
  CHECK(sink.text.find("#10000\n$dumpvars\n0!\nb10 \"\n1#\n$end\n") != std::string::npos);
  CHECK(body_of(sink.text) == "#11000\n0#\n#15000\nb11 \"\n#20000\n1#\n#20001\n");
  CHECK_FALSE(dump.truncated());
}

TEST_CASE("a run that ends before the window, or at once, still is a waveform") {
  for (const Time from : {0_ns, 10_ns}) {
    StringSink sink;
    VcdWriter dump(sink, {.from = from});
    dump.change(dump.wire({}, "level"), 1, 0_ns);
    dump.finish(0_ns);
    dump.finish(0_ns);
    CHECK(sink.text.find("$dumpvars\n0!\n1\"\n$end\n#" + std::to_string(from.ps + 1) + "\n") != std::string::npos);
  }
}

TEST_CASE("too many changes are left out, and the waveform shows from where") {
  StringSink sink;
  VcdWriter dump(sink, {.max_changes = 3});
  const VcdSignal level = dump.vector({}, "level", 8);
  const VcdSignal steady = dump.wire({}, "steady");
  for (std::uint64_t step = 1; step <= 9; ++step) dump.change(level, step, 1_ns * step);
  dump.finish(12_ns);
  CHECK(body_of(sink.text) == "#1000\nb1 \"\n#2000\nb10 \"\n#3000\nb11 \"\n#4000\n1!\nbx \"\nx#\n#12000\n");
  CHECK(dump.truncated());
  CHECK(dump.full_name(steady) == "secmmu.steady");
}

TEST_CASE("a waveform refuses what it could only show wrong") {
  StringSink sink;
  VcdWriter dump(sink, {});
  const VcdSignal narrow = dump.vector({}, "narrow", 4);
  const VcdSignal wide = dump.vector({}, "wide", 64);
  const VcdSignal pulse = dump.pulse({}, "pulse");
  CHECK_THROWS_AS(dump.change(narrow, 16, 0_ns), std::logic_error);
  CHECK_THROWS_AS(dump.change(pulse, 1, 0_ns), std::logic_error);
  CHECK_THROWS_AS(dump.strike(narrow, 0_ns), std::logic_error);
  CHECK_THROWS_AS(dump.vector({}, "too_wide", 65), std::invalid_argument);
  CHECK_THROWS_AS(dump.code("empty", {}), std::invalid_argument);
  dump.change(wide, UINT64_MAX, 5_ns);
  CHECK_THROWS_AS(dump.change(narrow, 1, 4_ns), std::logic_error);
  CHECK_THROWS_AS(dump.wire({}, "late"), std::logic_error);
  dump.finish(6_ns);
  CHECK_THROWS_AS(dump.change(narrow, 1, 7_ns), std::logic_error);
}

TEST_CASE("a waveform of many signals has short identifiers that differ") {
  StringSink sink;
  VcdWriter dump(sink, {});
  for (int number = 0; number < 200; ++number) dump.wire({}, "wire" + std::to_string(number));
  dump.finish(1_ns);
  CHECK(sink.text.find("$var wire 1 ~ wire92 $end\n$var wire 1 !\" wire93 $end\n") != std::string::npos);
}
