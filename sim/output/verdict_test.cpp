#include "sim/output/verdict.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "sim/output/made_up_race.hpp"

using namespace secmmu;

namespace {

RunVerdict clean() {
  RunVerdict verdict;
  verdict.scenario = "tour/01-first-munmap";
  verdict.path = "scenarios/tour/01-first-munmap.yaml";
  verdict.kernel = "v6.10";
  verdict.rules = {{"use-after-free", false, false}, {"stale-mapping", false, false}};
  verdict.expectations = 4;
  verdict.end = Time{20'000'000};
  verdict.steps = 1'234;
  verdict.events = 112;
  return verdict;
}

RunVerdict failed() {
  RunVerdict verdict = clean();
  verdict.scenario = "races/gru-range-active-check";
  verdict.path = "scenarios/races/gru-range-active-check.yaml";
  verdict.about = "A GRU whose driver does not look at its count of open ranges.";
  verdict.outcome = Outcome::failed;
  verdict.rules[0].violated = true;
  verdict.violations = {MadeUpRace::violation()};
  verdict.failed = {{"rule use-after-free: clean", "violated at 14.2us", verdict.path + ":31:5"}};
  verdict.findings = {{"stale-mapping", Time{10'900'000}, "gru0 maps frame 0x2a at a page of app whose range is open"}};
  verdict.counters = {{"gru0.tlb.hits", 123}};
  verdict.directory = "out/gru-range-active-check/v6.10";
  verdict.files = {"events.jsonl", "timeline.pftrace", "trace.txt", "waves.gtkw"};
  return verdict;
}

}  // namespace

TEST_CASE("the report of a clean run has two lines") {
  CHECK(report_text(clean(), false) ==
        "passed  tour/01-first-munmap, kernel v6.10, seed 1\n"
        "        4 expectations held; 20us modelled, 1,234 steps, 112 events\n");
  CHECK(report_text(clean(), true).starts_with("\x1b[1;32mpassed\x1b[0m  "));
}

TEST_CASE("the report of a violation reads like a bug report") {
  CHECK(report_text(failed(), false) == R"(FAILED  races/gru-range-active-check, kernel v6.10, seed 1
        A GRU whose driver does not look at its count of open ranges.

  use-after-free at 14.2us by gru0/0
  gru0 wrote 66 to 0x7f0000001008 through a translation of app to frame 0x2a, which thief owns since 13.6us

     4.6us  app.main (irq)  gru0 fills page 0x7f0000001000 of app with frame 0x2a, writable
     9.2us  unmapper        munmap announces range 1, [0x7f0000001000,0x7f0000003000)
    10.3us  unmapper        gru0 acknowledges the purge: nothing of the range is left in it
    10.9us  idle/0 (irq)    gru0 fills page 0x7f0000001000 again although range 1 is open
    12.9us  unmapper        frame 0x2a is freed
    13.6us  app.main        frame 0x2a is allocated to thief
  > 14.2us  gru0/0          writes 66 to it
    held then by app.main: mmap_lock(thief)

  forbidden  Between invalidate_range_start and invalidate_range_end a driver may not put a translation of the
             range into its device.
  the rule   secmmu explain use-after-free

  1 expectation not met
    scenarios/races/gru-range-active-check.yaml:31:5
      expected  rule use-after-free: clean
      but got   violated at 14.2us

  noticed    stale-mapping at 10.9us: gru0 maps frame 0x2a at a page of app whose range is open
  scenario   scenarios/races/gru-range-active-check.yaml
  run        20us modelled, 1,234 steps, 112 events
  outputs    out/gru-range-active-check/v6.10
             waves.gtkw        signals over time: gtkwave waves.gtkw, in that directory
             timeline.pftrace  who did what when: open it at ui.perfetto.dev
             trace.txt         the same as text, in ftrace's form
)");
}

TEST_CASE("a violation that the scenario expects is told, and no failure") {
  RunVerdict verdict = failed();
  verdict.outcome = Outcome::passed;
  verdict.failed.clear();
  verdict.rules[0].expected = true;
  const std::string report = report_text(verdict, false);
  CHECK(report.starts_with("passed  races/gru-range-active-check, kernel v6.10, seed 1\n"));
  CHECK(report.find("use-after-free at 14.2us by gru0/0, as the scenario expects\n") != std::string::npos);
  CHECK(headline(verdict).starts_with("use-after-free at 14.2us: gru0 wrote 66"));
}

TEST_CASE("a run in one line names the rules that were violated") {
  RunVerdict verdict = failed();
  CHECK(line_text(clean(), false) == "passed  tour/01-first-munmap, kernel v6.10, seed 1\n");
  CHECK(line_text(verdict, false)
            .starts_with("FAILED  races/gru-range-active-check, kernel v6.10, seed 1: use-after-free at 14.2us: gru0"));
  verdict.outcome = Outcome::passed;
  verdict.variant = "rules kept";
  CHECK(line_text(verdict, false) ==
        "passed  races/gru-range-active-check, kernel v6.10, rules kept, seed 1: use-after-free, as the scenario "
        "expects\n");
}

TEST_CASE("a clean run with outputs tells where they are, and a sentence ends without blank lines") {
  RunVerdict verdict = clean();
  verdict.directory = "out/first/v6.10";
  CHECK(report_text(verdict, false).ends_with("112 events\n  outputs    out/first/v6.10\n"));
  verdict = failed();
  verdict.about += "\n";
  CHECK(report_text(verdict, false) == report_text(failed(), false));
}

TEST_CASE("what nobody expected comes before what was expected, and long lists are cut") {
  RunVerdict verdict = failed();
  verdict.rules[0].expected = true;
  for (std::uint64_t number = 1; number <= 7; ++number)
    verdict.violations.push_back(
        {"stale-mapping", Time{number * 1'000}, "cpu0", "stale", {"no time here"}, "", 0, {}, {}, {}});
  const std::string report = report_text(verdict, false);
  CHECK(report.find("stale-mapping at 1ns by cpu0\n") < report.find("use-after-free at 14.2us by"));
  CHECK(report.find("use-after-free at 14.2us by") < report.find("stale-mapping at 2ns: stale"));
  CHECK(report.find("stale-mapping at 2ns by") == std::string::npos);  // told once already
  CHECK(report.find("and 2 more\n") != std::string::npos);
  CHECK(headline(verdict) == "stale-mapping at 1ns: stale");
}

TEST_CASE("a run that hit a limit is inconclusive and says which") {
  RunVerdict verdict = clean();
  verdict.outcome = Outcome::inconclusive;
  verdict.limit = "steps: 1000000";
  CHECK(report_text(verdict, false)
            .starts_with("INCONCLUSIVE  tour/01-first-munmap, kernel v6.10, seed 1\n\n  A limit was "
                         "reached before the run could be judged: steps: 1000000\n"));
}

TEST_CASE("the verdict as JSON holds everything that was found, in a stable order") {
  const auto document = nlohmann::ordered_json::parse(verdict_json(failed()));
  CHECK(document["format"] == "secmmu.verdict/1");
  CHECK(document["outcome"] == "failed");
  CHECK(document["rules"].dump() == R"({"use-after-free":"violated","stale-mapping":"clean"})");
  CHECK(document["violations"][0]["at"] == 14'200'000);
  CHECK(document["violations"][0]["story"].size() == 8);
  CHECK(document["failed_expectations"][0]["place"] == "scenarios/races/gru-range-active-check.yaml:31:5");
  CHECK(document["counters"]["gru0.tlb.hits"] == 123);
  CHECK(verdict_json(failed()) == verdict_json(failed()));
}

TEST_CASE("the summary counts outcomes, known and other") {
  std::vector<SummaryEntry> entries{summary_of(clean(), "tour/v6.10"), summary_of(failed(), "races/v6.10")};
  entries.push_back({"broken", "b.yaml", "v6.10", 1, "crashed", "signal 11 while it ran step 9", ""});
  entries[1].variant = "rules kept";
  const auto document = nlohmann::ordered_json::parse(summary_json(entries));
  CHECK(document["runs"] == 3);
  CHECK(document["outcomes"].dump() == R"({"passed":1,"failed":1,"inconclusive":0,"absent":0,"crashed":1})");
  CHECK(document["results"][0]["message"] == "");
  CHECK(document["results"][0]["variant"] == "");
  CHECK(document["results"][1]["variant"] == "rules kept");
  CHECK(document["results"][1]["message"].get<std::string>().starts_with("use-after-free at 14.2us"));
}
