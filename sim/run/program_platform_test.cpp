// How programs are played: who waits for whom, when, how often; what counters there are; recordings.
#include <doctest/doctest.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "models/cpu/events.hpp"
#include "models/mm/events.hpp"
#include "sim/output/scratch_directory.hpp"
#include "sim/run/counters.hpp"
#include "sim/run/test_episode.hpp"

using namespace secmmu;
using namespace secmmu::testing;

namespace {

std::string scenario_with(const std::string& actors, const std::string& devices = "{}") {
  return "scenario: 1\nname: test\nmachine: {cpus: 4, memory: {frames: 128}}\n"
         "processes:\n  app: {buffers: {buf: {pages: 4, populate: true}, log: {pages: 8}}}\n"
         "devices: " +
         devices + "\nactors:\n" + actors + "expect: {}\n";
}

struct Heard {
  Outcome outcome = Outcome::passed;
  std::vector<std::string> failed;
  std::map<std::string, std::uint64_t> counters;
  std::vector<std::string> events;  // of those that were asked for: "name task time"
  std::string input_error;
  std::size_t violations = 0;
};

// In a child: the run of a scenario, and checks on what was heard.
void run_and(const Scenario& scenario, const std::set<std::string>& events,
             const std::function<void(const Heard&)>& look) {
  in_child([&] {
    Platform platform(platform_config(scenario));
    Episode episode(platform, scenario);
    direct(platform, [&] {
      Heard heard;
      EpisodeOptions options;
      options.listen = [&](Bus& bus) {
        bus.listen_to_all([&](const AnyEvent& event) {
          if (!events.contains(std::string(event.type.name))) return;
          heard.events.push_back(fmt::format("{} {} {}", event.type.name,
                                             platform.arbiter.tasks()[event.stamp.task]->name(),
                                             to_text(event.stamp.at)));
        });
      };
      const EpisodeResult result = episode.play(scenario.kernels.front(), scenario.seed, options);
      heard.outcome = result.verdict.outcome;
      for (const FailedExpectation& failed : result.verdict.failed)
        heard.failed.push_back(failed.text + " | " + failed.got + " | " + failed.place);
      for (const Counter& counter : result.verdict.counters) heard.counters[counter.name] = counter.value;
      heard.input_error = result.input_error;
      heard.violations = result.verdict.violations.size();
      std::string story;
      for (const std::string& failed : heard.failed) story += failed + "\n";
      for (const Violation& violation : result.verdict.violations)
        story += violation.rule + ": " + violation.summary + "\n";
      INFO(story << heard.input_error);
      look(heard);
    });
  });
}
void run_and(const std::string& text, const std::function<void(const Heard&)>& look) {
  run_and(scenario_text(text), {}, look);
}
void check_passes(const std::string& text) {
  run_and(text, [](const Heard& heard) { CHECK(heard.outcome == Outcome::passed); });
}

}  // namespace

TEST_CASE("program: after waits until the step of another actor was done") {
  check_passes(scenario_with(R"(
  late: {cpu: 0, process: app, do: [{after: [first.set, second.set], read: {buffer: buf, pages: 0, want: 5}}, {read: {buffer: buf, pages: 1, want: 6}}]}
  first: {cpu: 1, process: app, do: [{delay: 30us}, {id: set, write: {buffer: buf, pages: 0, value: 5}}]}
  second: {cpu: 2, process: app, do: [{delay: 60us}, {id: set, write: {buffer: buf, pages: 1, value: 6}}]}
)"));
}

TEST_CASE("program: without after the same reads come too early") {
  run_and(scenario_with(R"(
  early: {cpu: 0, process: app, do: [{read: {buffer: buf, pages: 0, want: 5}}]}
  first: {cpu: 1, process: app, do: [{delay: 30us}, {id: set, write: {buffer: buf, pages: 0, value: 5}}]}
)"),
          [](const Heard& heard) {
            CHECK(heard.outcome == Outcome::failed);
            CHECK(heard.failed.size() == 1);
            CHECK(heard.failed.front().find("early reads 0x5 from page 0 of buf | 0x0") != std::string::npos);
          });
}

TEST_CASE("program: a step that is repeated is done for others after all its times") {
  check_passes(scenario_with(R"(
  late: {cpu: 0, process: app, do: [{after: first.set, delay: 1ns}, {write: {buffer: buf, pages: 0, value: 9}}, {barrier: end}]}
  first: {cpu: 1, process: app, do: [{id: set, times: 20, write: {buffer: buf, pages: 0, value: 5}}, {barrier: end}, {read: {buffer: buf, pages: 0, want: 9}}]}
)"));
}

TEST_CASE("program: at waits for a time, on a core and in a device") {
  run_and(scenario_text(scenario_with(R"(
  cpu: {cpu: 0, process: app, do: [{at: 50us, munmap: {buffer: buf, pages: 0}}, {at: 20us, munmap: {buffer: buf, pages: 1}}]}
  dev: {device: probe0, process: app, do: [{at: 70us, read: {buffer: buf, pages: 3}}]}
)",
                                      "{probe0: {kind: probe, attach: app}}")),
          {"syscall_enter", "device_fault_begin", "vma_unmap"}, [](const Heard& heard) {
            CHECK(heard.outcome == Outcome::passed);
            std::string all;
            for (const std::string& event : heard.events) all += event + "\n";
            INFO(all);
            // The first at 50us or a little later, the second at once after it, the device's at 70us.
            CHECK(std::regex_search(all, std::regex("vma_unmap cpu 5[0-9.]*us")));
            CHECK_FALSE(std::regex_search(all, std::regex("cpu [2-4][0-9.]*us")));
            CHECK(std::regex_search(all, std::regex("device_fault_begin dev 70[.0-9]*us")));
          });
}

TEST_CASE("program: times and loops repeat steps, and what they hold") {
  run_and(scenario_with(R"(
  dev: {device: probe0, process: app, do: [{loop: {times: 5, do: [{read: {buffer: buf, pages: 0..2}, times: 3}, {loop: {times: 2, do: [{read: {buffer: buf, pages: 0}}]}}]}}]}
)",
                        "{probe0: {kind: probe, attach: app}}"),
          [](const Heard& heard) {
            CHECK(heard.outcome == Outcome::passed);
            CHECK(heard.counters.at("probe0.hits") == 5 * (3 * 2 + 2));
          });
}

TEST_CASE("program: a barrier holds everybody until the last one has come, again and again") {
  check_passes(scenario_with(R"(
  a: {cpu: 0, process: app, do: [{delay: 10us}, {write: {buffer: buf, pages: 0, value: 1}}, {barrier: one}, {delay: 10us}, {write: {buffer: buf, pages: 0, value: 2}}, {barrier: one}, {barrier: one}]}
  b: {cpu: 1, process: app, do: [{barrier: one}, {read: {buffer: buf, pages: 0, want: 1}}, {barrier: one}, {read: {buffer: buf, pages: 0, want: 2}}, {barrier: one}]}
  c: {device: probe0, process: app, do: [{barrier: one}, {read: {buffer: buf, pages: 0, want: 1}}, {barrier: one}, {read: {buffer: buf, pages: 0, want: 2}}, {barrier: one}]}
)",
                             "{probe0: {kind: probe, attach: app}}"));
}

TEST_CASE("program: a barrier does not wait for an actor that has finished") {
  // b meets once and ends; a meets three times. Whether b ends before or after a arrives, a goes on.
  for (const char* delay : {"1ns", "50us"})
    check_passes(scenario_with(fmt::format(R"(
  a: {{cpu: 0, process: app, do: [{{barrier: one}}, {{delay: {}}}, {{barrier: one}}, {{barrier: one}}, {{write: {{buffer: buf, pages: 0, value: 3}}}}]}}
  b: {{cpu: 1, process: app, do: [{{barrier: one}}, {{delay: 20us}}]}}
)",
                                           delay)));
}

TEST_CASE("program: whoever waits at a barrier for ever is a deadlock in words") {
  run_and(scenario_with(R"(
  a: {cpu: 0, process: app, do: [{barrier: one}, {barrier: two}]}
  b: {cpu: 1, process: app, do: [{barrier: two}, {barrier: one}]}
)"),
          [](const Heard& heard) {
            CHECK(heard.outcome == Outcome::failed);
            CHECK(heard.violations == 1);
          });
}

TEST_CASE("program: a script meets a barrier once and goes through it from then on") {
  // The callback stands still until the reader has looked; the second discarding is not held up, though the
  // reader is still there.
  run_and(scenario_with(R"(
  changer:
    cpu: 0
    process: app
    do:
      - {write: {buffer: buf, pages: 0, value: 1}}
      - {dontneed: {buffer: buf, pages: 0}, times: 2}
      - {write: {buffer: buf, pages: 1, value: 8}}
  reader:
    cpu: 1
    process: app
    do:
      - {delay: 40us}
      - {read: {buffer: buf, pages: 0, want: 1}}
      - {barrier: gap}
      - {delay: 200us}
      - {read: {buffer: buf, pages: 1, want: 8}}
)",
                        "{probe0: {kind: probe, attach: app, callbacks: {invalidate_range_start: [{barrier: gap}, "
                        "zap], invalidate_range_end: [ignore]}}}"),
          [](const Heard& heard) {
            CHECK(heard.outcome == Outcome::passed);
            CHECK(heard.counters.at("probe0.callbacks") >= 4);
          });
}

TEST_CASE("program: exit waits for what other threads do in the kernel, and then they end") {
  run_and(scenario_text(scenario_with(R"(
  forker: {cpu: 0, process: app, do: [{fork: kid}, {id: never, read: {buffer: buf, want: 99}}]}
  last: {cpu: 1, process: app, do: [{delay: 100ns}, exit, {read: {buffer: buf}, result: ESRCH}]}
  child: {cpu: 2, process: kid, do: [{read: {buffer: buf}}]}
  other: {cpu: 3, do: [{after: forker.never, delay: 1us}]}
)")),
          {"mm_release_begin", "fork"}, [](const Heard& heard) {
            CHECK(heard.outcome == Outcome::passed);
            CHECK(heard.violations == 0);
            CHECK(std::count_if(heard.events.begin(), heard.events.end(), [](const std::string& event) {
                    return event.find("mm_release_begin forker") == 0;
                  }) == 1);
          });
}

TEST_CASE("program: exit does not wait for a worker, which is none of the threads") {
  run_and(scenario_text(scenario_with(R"(
  worker: {cpu: 0, process: app, worker: true, do: [{delay: 50us}, {register: probe0}]}
  last: {cpu: 1, process: app, do: [exit]}
)",
                                      "{probe0: {kind: probe}}")),
          {"mm_release_begin"}, [](const Heard& heard) {
            CHECK(heard.outcome == Outcome::failed);
            CHECK(heard.violations == 1);  // kernel-warning: nobody is a user any more
            CHECK(heard.events.size() == 1);
          });
}

TEST_CASE("program: nobody waits at a barrier for the script of a callback that the kernel does not have") {
  const std::string text = scenario_with(R"(
  changer: {cpu: 0, process: app, do: [{barrier: one}, {dontneed: {buffer: buf}}]}
)",
                                         "{probe0: {kind: probe, attach: app, callbacks: {invalidate_range_start: "
                                         "[zap], invalidate_page: [{barrier: one}]}}}");
  check_passes(text);
}

TEST_CASE("program: an actor that nobody forks is said to have never run") {
  run_and(scenario_with(R"(
  a: {cpu: 0, process: app, do: [{after: b.never, fork: kid}]}
  b: {cpu: 1, process: app, do: [{barrier: x}, {id: never, delay: 1ns}]}
  c: {cpu: 2, process: kid, do: [{barrier: x}]}
)"),
          [](const Heard& heard) {
            CHECK(heard.outcome == Outcome::failed);
            bool said = false;
            for (const std::string& failed : heard.failed)
              said = said || failed.find("c runs | its process was never forked") == 0;
            CHECK(said);
          });
}

TEST_CASE("program: results are judged, and a wrong one names the step") {
  run_and(scenario_with(R"(
  a: {cpu: 0, process: app, do: [{munmap: {buffer: buf, pages: 0}}, {read: {buffer: buf, pages: 0}, result: SIGSEGV}, {read: {buffer: buf, pages: 0}, result: ok-or-fault}, {read: {buffer: buf, pages: 0}}, {read: {buffer: buf, pages: 1}, result: SIGSEGV}]}
)"),
          [](const Heard& heard) {
            CHECK(heard.failed.size() == 2);
            if (heard.failed.size() != 2) return;
            CHECK(heard.failed[0].find("a: read of buf gives ok | SIGSEGV") == 0);
            CHECK(heard.failed[1].find("a: read of buf gives SIGSEGV | ok") == 0);
          });
}

TEST_CASE("counters: a run has every counter that the catalogue announces, and no other") {
  const Catalogue& known = catalogue();
  std::string actors = "\n  a: {cpu: 0, process: app, do: [{fork: kid}]}\n";
  std::string devices;
  for (const DeviceKind& kind : known.devices) {
    actors += fmt::format("  {0}: {{device: {0}0, process: app, do: [{{read: {{buffer: buf}}}}]}}\n", kind.name);
    devices += fmt::format("{0}{1}0: {{kind: {1}, attach: app}}", devices.empty() ? "{" : ", ", kind.name);
  }
  const Scenario scenario = scenario_text(scenario_with(actors, devices + "}"));
  std::set<std::string> announced;
  for (const NamedSentence& counter : known.machine_counters) announced.insert(counter.name);
  for (int cpu = 0; cpu < 4; ++cpu)
    for (const NamedSentence& counter : known.core_counters)
      announced.insert(fmt::format("cpu{}.{}", cpu, counter.name));
  for (const char* process : {"app", "kid"})
    for (const NamedSentence& counter : known.process_counters) announced.insert(process + ("." + counter.name));
  for (const DeviceKind& kind : known.devices)
    for (const NamedSentence& counter : kind.counters) announced.insert(kind.name + "0." + counter.name);
  run_and(scenario, {}, [&](const Heard& heard) {
    CHECK(heard.outcome == Outcome::passed);
    std::set<std::string> counted;
    for (const auto& [name, value] : heard.counters) counted.insert(name);
    for (const std::string& name : announced) {
      INFO(name);
      CHECK(counted.contains(name));
    }
    for (const std::string& name : counted) {
      INFO(name);
      CHECK(announced.contains(name));
    }
  });
}

namespace {

// A recording in lackey's words. Page A is made, written, moved; B is unmapped; C loses and regains a right.
const char* const kRecording =
    "==7== Lackey, an example Valgrind tool\n"
    "I  00400000,3\n"
    "SYSCALL[7,1](9) sys_mmap ( 0x0, 16384, 3, 34, -1, 0 ) --> [pre-success] Success(0x4000000)\n"
    " S 04000000,8\n"
    " L 04001000,4\n"
    " M 04002ffc,4\n"
    "SYSCALL[7,1](10) sys_mprotect ( 0x4002000, 4096, 1 )[sync] --> Success(0x0)\n"
    " L 04002000,8\n"
    "SYSCALL[7,1](10) sys_mprotect ( 0x4002000, 4096, 3 )[sync] --> Success(0x0)\n"
    " S 04002008,8\n"
    "SYSCALL[7,1](11) sys_munmap ( 0x4001000, 4096 )[sync] --> Success(0x0)\n"
    "SYSCALL[7,1](28) sys_madvise ( 0x4002000, 4096, 4 )[sync] --> Success(0x0)\n"
    " L 04002000,8\n"
    "SYSCALL[7,1](12) sys_brk ( 0x0 ) --> [pre-success] Success(0x5000000)\n"
    "SYSCALL[7,1](12) sys_brk ( 0x5002000 ) --> [pre-success] Success(0x5002000)\n"
    " S 05001000,8\n"
    "SYSCALL[7,1](25) sys_mremap ( 0x4000000, 4096, 8192, 0x1 )[sync] --> Success(0x6000000)\n"
    " L 06000000,8\n"
    " S 06001000,8\n"
    "SYSCALL[7,1](10) sys_mprotect ( 0x5000000, 4096, 1 )[sync] --> Success(0x0)\n"
    "SYSCALL[7,1](39) sys_getpid ()[sync] --> Success(0x7)\n"
    "==7== \n";

class Recorded {
 public:
  explicit Recorded(const std::string& recording) {
    std::ofstream(scratch_.path() / "made.lackey") << recording;
    std::ofstream(scratch_.path() / "played.yaml")
        << "scenario: 1\nname: played\nmachine: {cpus: 2, memory: {frames: 128}}\nprocesses:\n  app: {}\n"
           "devices:\n  gru0: {kind: gru, attach: app}\n"
           "actors:\n  program: {cpu: 0, process: app, program: {lackey: made.lackey}, mirror: gru0}\nexpect: {}\n";
  }
  Scenario scenario() const { return scenario_file((scratch_.path() / "played.yaml").string()); }

 private:
  ScratchDirectory scratch_;
};

}  // namespace

TEST_CASE("recording: calls take effect in the recording's order, and a device repeats the accesses") {
  const Recorded recorded(kRecording);
  run_and(recorded.scenario(), {"syscall"}, [](const Heard& heard) {
    CHECK(heard.outcome == Outcome::passed);
    CHECK(heard.violations == 0);
    const auto count = [&](const std::string& name) {
      const auto it = heard.counters.find("program." + name);
      INFO(name);
      CHECK(it != heard.counters.end());
      return it == heard.counters.end() ? UINT64_MAX : it->second;
    };
    CHECK(count("lines") == 22);
    CHECK(count("accesses") == 10);
    CHECK(count("mm_calls") == 9);
    CHECK(count("skipped_calls") == 1);
    CHECK(count("failed_calls") == 0);
    CHECK(count("refused_calls") == 0);
    CHECK(count("made_up_values") == 5);
    CHECK(count("mapped_on_first_touch") == 1);  // the program itself
    CHECK(count("rights_raised") == 0);
    CHECK(count("mirror_failed") == 0);
    CHECK(count("outside_user_half") == 0);
    CHECK(count("advice_skipped") == 0);
    CHECK(count("file_mappings") == 0);
    // Every data access once more by the device; a modification is two. Fetches are not repeated.
    CHECK(heard.counters.at("gru0.hits") == 10);
  });
}

TEST_CASE("recording: what is left is what the calls made") {
  const Recorded recorded(kRecording);
  const Scenario scenario = recorded.scenario();
  in_child([&] {
    Platform platform(platform_config(scenario));
    Episode episode(platform, scenario);
    direct(platform, [&] {
      const EpisodeResult result = episode.play("v6.10", 1, {});
      CHECK(result.input_error.empty());
      Mm& mm = *platform.mms->find("app");
      const auto there = [&](std::uint64_t address) { return mm.peek(VirtAddr{address}.page()).present(); };
      CHECK_FALSE(there(0x4000000));  // moved away
      CHECK_FALSE(there(0x4001000));  // unmapped
      CHECK(there(0x4002000));        // discarded and touched again
      CHECK(there(0x5001000));
      CHECK(there(0x6000000));
      CHECK(there(0x6001000));
      CHECK(mm.vma_at(VirtAddr{0x4001000}.page()).pages.empty());
      CHECK(mm.vma_at(VirtAddr{0x4000000}.page()).pages.empty());
      CHECK(mm.vma_at(VirtAddr{0x4002000}.page()).attributes.rights.write);
      CHECK_FALSE(mm.vma_at(VirtAddr{0x5000000}.page()).attributes.rights.write);
      CHECK(mm.brk_start == VirtAddr{0x5000000});
      CHECK(mm.brk_end == VirtAddr{0x5002000});
      // The first store's value went along; what was discarded reads as zero.
      std::uint64_t value = 0;
      __builtin_memcpy(&value, platform.memory.bytes(mm.peek(VirtAddr{0x6000000}.page()).frame()), sizeof value);
      CHECK(value == 1);
      __builtin_memcpy(&value, platform.memory.bytes(mm.peek(VirtAddr{0x4002000}.page()).frame()) + 8, sizeof value);
      CHECK(value == 0);
      CHECK(audit(*platform.mms).empty());
    });
  });
}

TEST_CASE("recording: it can be played again and again") {
  const Recorded recorded(kRecording);
  const Scenario scenario = recorded.scenario();
  in_child([&] {
    Platform platform(platform_config(scenario));
    Episode episode(platform, scenario);
    direct(platform, [&] {
      const Played whole = play(episode, "v6.10", 1);
      for (std::uint64_t steps = 1;; ++steps) {
        const Played cut = play(episode, "v6.10", 1, steps);
        INFO("cut at step " << steps);
        CHECK(play(episode, "v6.10", 1) == whole);
        if (cut.outcome != Outcome::inconclusive) break;
      }
    });
  });
}

TEST_CASE("recording: a malformed line is an error with its number") {
  for (const auto& [recording, line] : {std::pair<std::string, int>{" L 04000000,8\n L 0400zz00,8\n", 2},
                                        {"I  00400000,3\n S 04000000,8\n\n L 1000\n", 4}}) {
    const Recorded recorded(recording);
    run_and(recorded.scenario(), {}, [line = line](const Heard& heard) {
      CHECK(heard.input_error.find(fmt::format("made.lackey:{}: ", line)) != std::string::npos);
    });
  }
}

// --- what a kernel lacks --------------------------------------------------------------------------------
// v6.10, which plays these, has no unregister_no_release.

namespace {
std::string lacking(const std::string& step, const std::string& expect) {
  return R"(scenario: 1
name: test
processes: {app: {buffers: {buf: {pages: 1, populate: true}}}}
devices: {dev: {kind: probe, attach: app, callbacks: {invalidate_range_start: [{lock: {name: l, kind: spinlock}}, {sleep: 1us}, {unlock: l}]}}}
actors: {one: {cpu: 0, process: app, do: [)" +
         step + "]}}\nexpect: " + expect + "\n";
}
}  // namespace

TEST_CASE("program: what the kernel lacks ends the run as absent, if that was stated") {
  run_and(lacking("{unregister_no_release: dev}, {munmap: {buffer: buf}}", "{absent: true}"), [](const Heard& heard) {
    CHECK(heard.outcome == Outcome::absent);
    CHECK(heard.violations == 0);  // the munmap never came
  });
}

TEST_CASE("program: what the kernel lacks, unstated, and what it has, stated as absent, both fail") {
  run_and(lacking("{unregister_no_release: dev}", "{}"), [](const Heard& heard) {
    CHECK(heard.outcome == Outcome::failed);
    CHECK(heard.failed.at(0).find("mmu_notifier_unregister_no_release does not exist") != std::string::npos);
    CHECK(std::isdigit(heard.failed.at(0).back()) != 0);  // the step's line and column
  });
  run_and(lacking("{unregister: dev}", "{absent: true}"), [](const Heard& heard) {
    CHECK(heard.outcome == Outcome::failed);
    CHECK(heard.failed.at(0).find("it has all of it") != std::string::npos);
  });
}

TEST_CASE("program: a violation before the kernel lacks something is not swallowed") {
  run_and(lacking("{munmap: {buffer: buf}}, {unregister_no_release: dev}", "{absent: true}"), [](const Heard& heard) {
    CHECK(heard.outcome == Outcome::failed);
    CHECK(heard.failed.at(0).find("sleep-in-atomic") != std::string::npos);
  });
}
