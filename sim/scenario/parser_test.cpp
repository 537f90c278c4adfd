#include "sim/scenario/parser.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>

#include "sim/scenario/test_catalogue.hpp"

using namespace secmmu;
using test::kEverything;

namespace {

// A small valid scenario with some lines of its own.
std::string with_steps(const std::string& steps, const std::string& actor = "cpu: 0, process: app") {
  return "scenario: 1\nname: x\nprocesses: {app: {buffers: {buf: {pages: 4}}}}\n"
         "devices: {gru0: {kind: gru, attach: app}}\nactors:\n  one: {" +
         actor + ", do: [" + steps + "]}\n";
}

std::string with(const std::string& more) {
  return "scenario: 1\nname: x\nprocesses: {app: {buffers: {buf: {pages: 4}}}}\n" + more +
         "actors: {one: {cpu: 0, process: app, do: [exit]}}\n";
}

void check_mistake(const std::string& text, const std::string& message) {
  const std::string found = test::mistakes(text);
  INFO("messages:\n" << found);
  CHECK_MESSAGE(found.find("error: " + message) != std::string::npos, "missing: ", message);
  CHECK(std::count(found.begin(), found.end(), '^') == 1);  // this one and no other
}

}  // namespace

TEST_CASE("a scenario that uses everything is understood") {
  const ParseResult result = test::parse(kEverything);
  INFO(test::messages(result));
  REQUIRE(result.scenario);
  const Scenario& scenario = *result.scenario;
  CHECK(scenario.name == "gru-munmap-race");
  CHECK(scenario.about == "A GRU reads while a CPU unmaps.\n");
  CHECK(scenario.kernels == std::vector<std::string>{"v3.2", "v6.10"});
  CHECK(scenario.seed == 16);
  CHECK(scenario.seeds == 3);
  CHECK(scenario.limit == Time{100'000'000});
  CHECK(scenario.strict);
  CHECK(scenario.machine.size() == 6);
  CHECK(scenario.machine[3].path == "machine.tlb.entries");
  CHECK(std::get<std::uint64_t>(scenario.machine[3].value) == 1024);
  CHECK(scenario.machine[5].path == "kernel.fork-notifies");

  REQUIRE(scenario.processes.size() == 3);
  CHECK(scenario.processes[0].buffers[0].at == VirtAddr{0x7f00'0000'0000});
  CHECK(scenario.processes[0].buffers[0].populate);
  CHECK(scenario.processes[0].buffers[1].backing == Backing::shared);
  CHECK(scenario.processes[2].name == "child");
  CHECK(scenario.processes[2].forked_from == "app");

  CHECK(scenario.devices[0].without == std::vector<std::string>{"range-active-check"});
  CHECK(scenario.devices[0].settings.size() == 3);
  CHECK(scenario.devices[1].attach == std::vector<std::string>{"app", "idle"});
  REQUIRE(scenario.devices[1].scripts.size() == 2);
  const std::vector<Step>& start = scenario.devices[1].scripts[1].steps;
  CHECK(start[1].lock_kind == "spinlock");
  CHECK(start[3].verb == "munmap");
  CHECK(start[3].result == "EAGAIN");
  CHECK(start[9].verb == "free");

  const ActorSpec& reader = scenario.actors[0];
  CHECK(reader.device == "gru0");
  CHECK(reader.program[0].id == "warm");
  CHECK(reader.program[0].end_page == 4);
  CHECK(reader.program[0].want == 0);
  CHECK(reader.program[1].end_page == 4);  // all of the buffer
  CHECK(reader.program[1].want_by_kernel.at("v6.10") == 2);
  CHECK(reader.program[1].times == 3);
  CHECK(reader.program[2].generator.skew_percent == 99);
  CHECK(reader.program[3].times == 2);
  CHECK(reader.program[3].body[0].value == 0x5a);
  CHECK(reader.program[3].body[0].end_page == 2);
  CHECK(scenario.actors[1].context == 1);
  CHECK(scenario.actors[1].process == "app");  // the one that gru0 is attached to
  CHECK(scenario.actors[1].cpu == 0);

  const std::vector<Step>& unmapper = scenario.actors[3].program;
  CHECK(unmapper[0].after == std::vector<std::string>{"reader.warm"});
  CHECK(unmapper[1].result_by_kernel.at("v3.2") == "ENOMEM");
  CHECK(unmapper[1].address == VirtAddr{0x10000});
  CHECK(unmapper[5].pages == 6);
  CHECK(unmapper[7].pages == 3);
  CHECK(unmapper[9].end_page == 2);  // of the part that was moved
  CHECK(unmapper[10].name == "child");
  CHECK(unmapper[14].duration == Time{5'000'000});
  CHECK(scenario.actors[4].program[1].verb == "exit");
  CHECK(scenario.actors[4].program[1].id == "gone");

  CHECK(scenario.expect.counters[0].counter == "gru0.faults");
  CHECK(scenario.expect.counters[3].op == "<=");
  CHECK(scenario.expect.counters[3].value == 16);
  CHECK(scenario.expect.sometimes[0].value == -1);
  CHECK(scenario.expect.order[0].first.by == "unmapper");
  CHECK(scenario.expect.order[0].first.fields.at("blockable") == "true");
  CHECK_FALSE(scenario.expect.values[1].value);
  CHECK(scenario.expect_by_kernel.at("v3.2").violated.size() == 2);
  CHECK(scenario.expect_by_kernel.at("v6.10").violated.size() == 1);  // the general ones

  const Expectations expected = expectations_for(scenario, "v3.2");
  CHECK(expected.violated.size() == 2);
  CHECK(expected.counters.size() == 5);
  CHECK(expectations_for(scenario, "v4.14") == scenario.expect);
}

TEST_CASE("what a scenario need not say") {
  const ParseResult result = test::parse(with(""));
  REQUIRE(result.scenario);
  CHECK(result.scenario->kernels == std::vector<std::string>{"v6.10"});
  CHECK(result.scenario->seed == 1);
  CHECK(result.scenario->seeds == 1);
  CHECK(result.scenario->machine.empty());
  CHECK_FALSE(result.scenario->strict);
  CHECK(result.scenario->expect.violated.empty());
}

TEST_CASE("a message looks like a compiler's") {
  CHECK(
      test::messages(test::parse(with("machine: {tlb: {entires: 8}}\n"), {}, "dir/x.yaml")) ==
      "dir/x.yaml:4:17: error: machine.tlb.entires: 'entires' is no key of machine.tlb, expected entries or ways; did "
      "you mean 'entries'?\n"
      "    machine: {tlb: {entires: 8}}\n"
      "                    ^\n");
}

TEST_CASE("all mistakes come at once and in the order of the file") {
  const ParseResult result = test::parse(
      "scenario: 2\nnmae: x\nlimit: 100\nstrict: yes\nprocesses:\n  App: {}\ndevices:\n  d: {kind: gruu}\n"
      "actors:\n  a: {cpu: 9, do: [{reed: {buffer: b}}, {delay: 5}]}\nexpect: {violated: [no-use-after-fee]}\n");
  unsigned line = 0;
  for (const Diagnostic& error : result.errors) {
    CHECK(error.mark.line >= line);
    line = error.mark.line;
  }
  const std::string text = test::messages(result);
  for (const char* part :
       {"scenario: this is version '2' of the language, expected 1", "nmae: 'nmae' is no key of a scenario",
        "did you mean 'name'?", "the key 'name' is missing", "limit: '100' has no unit", "did you mean '100us'?",
        "strict: 'yes' is no flag, expected true or false and nothing else; did you mean 'true'?",
        "processes.App: 'App' is no name", "did you mean 'app'?", "devices.d.kind: 'gruu' is no kind of device",
        "did you mean 'gru'?", "actors.a.cpu: there is no core 9, expected 0 to 1 (machine.cpus is 2)",
        "actors.a.do.0.reed: 'reed' is neither an operation of a CPU program nor a key of a step",
        "did you mean 'read'?", "actors.a.do.1.delay: '5' has no unit",
        "expect.violated.0: 'no-use-after-fee' is no rule of the oracle", "did you mean 'no-use-after-free'?"}) {
    INFO(text);
    CHECK_MESSAGE(text.find(part) != std::string::npos, "missing: ", part);
  }
}

TEST_CASE("mistakes in single values") {
  check_mistake(with("machine: {cpus: 65}\n"), "machine.cpus: '65' is out of range, expected 1 to 64");
  check_mistake(with("machine: {cpus: [1]}\n"), "machine.cpus: is a list, expected a number");
  check_mistake(with("machine: {memory: {bytes_per_bank: 4kb}}\n"), "machine.memory.bytes_per_bank: '4kb' is no size");
  check_mistake(with("machine: 5\n"),
                "machine: is '5', expected a mapping with keys of the machine: cpus, memory, tlb or cost");
  check_mistake(with("machine: {cost: {walk_level: 20}}\n"), "machine.cost.walk_level: '20' has no unit");
  check_mistake(with("limit: 0us\n"), "limit: nothing can happen in no time");
  check_mistake(with("seeds: 0\n"), "seeds: '0' is out of range, expected 1 or more");
  check_mistake(with("strict: \"true\"\n"), "strict: \"true\" in quotes is no flag");
  check_mistake(with("kernels: []\n"), "kernels: the list is empty");
  check_mistake(with("kernels: [v6.10, v6.10]\n"), "kernels.1: 'v6.10' is there twice");
  check_mistake(with("kernel: v6.1\n"), "kernel: 'v6.1' is no kernel, expected v3.2 or v6.10; did you mean 'v6.10'?");
  check_mistake(with("behaviour: {fork-notifies: all}\n"),
                "behaviour.fork-notifies: 'all' is no value of fork-notifies");
  check_mistake(with("behaviour: {fork-notfies: whole-mm}\n"),
                "behaviour.fork-notfies: 'fork-notfies' is no behaviour of the kernel");
  check_mistake(with("devices: {on: {kind: gru}}\n"),
                "devices.on: 'on' is no name: some readers of YAML take it for a value");
  check_mistake(with("devices: {d: {kind: gru, contxts: 1}}\n"),
                "devices.d.contxts: 'contxts' is no key of a device of the kind gru");
  check_mistake(with("devices: {d: {kind: gru, callbacks: {}}}\n"),
                "devices.d.callbacks: 'callbacks' is no key of a device of the kind gru");
  check_mistake(with("devices: {d: {attach: app}}\n"), "devices.d: the key 'kind' is missing");
  check_mistake(with("devices: {d: {kind: gru, without: flush-on-frok}}\n"),
                "devices.d.without: 'flush-on-frok' is no rule of the protocol of gru");
  check_mistake(
      with("devices: {d: {kind: probe, callbacks: {releas: [zap]}}}\n"),
      "devices.d.callbacks.releas: 'releas' is no callback, expected release, start or end; did you mean 'release'?");
  check_mistake("scenario: 1\nname: x\nactors: {}\n", "actors: there are no actors");
  check_mistake("scenario: 1\nname: X\nactors: {a: {cpu: 0, do: [{delay: 1us}]}}\n",
                "name: 'X' is no name of a scenario");
}

TEST_CASE("mistakes in buffers") {
  const auto buffer = [](const std::string& keys) {
    return "scenario: 1\nname: x\nprocesses: {app: {buffers: {b: {" + keys +
           "}}}}\nactors: {one: {cpu: 0, do: [{delay: 1us}]}}\n";
  };
  check_mistake(buffer("at: 0x1000"), "processes.app.buffers.b: the key 'pages' is missing");
  check_mistake(buffer("pages: 1, at: 0x1001"), "processes.app.buffers.b.at: '0x1001' is not the start of a page");
  check_mistake(buffer("pages: 1, at: 0x8000_0000_0000"),
                "processes.app.buffers.b.at: '0x8000_0000_0000' is no address of user space");
  check_mistake(
      buffer("pages: 1, prot: wr"),
      "processes.app.buffers.b.prot: 'wr' is no protection, expected none, r, rw, rx or rwx; did you mean 'rw'?");
  check_mistake(buffer("pages: 1, backing: disk"), "processes.app.buffers.b.backing: 'disk' is no backing");
  check_mistake(buffer("pages: 0"), "processes.app.buffers.b.pages: '0' is out of range");
}

TEST_CASE("mistakes in steps") {
  check_mistake(with_steps("{read: {buffer: buf}, write: {buffer: buf}}"),
                "actors.one.do.0.write: the step has two operations, 'read' and 'write'");
  check_mistake(with_steps("{id: a}"), "actors.one.do.0: the step names no operation, expected read, write,");
  check_mistake(with_steps("read"), "actors.one.do.0: 'read' stands alone, expected {read: {buffer: ...}}");
  check_mistake(with_steps("5"), "actors.one.do.0: '5' is no operation of a CPU program");
  check_mistake(with_steps("[exit]"), "actors.one.do.0: is a list, expected a mapping with one operation");
  check_mistake(with_steps(""), "actors.one.do: there are no steps");
  check_mistake(with_steps("{exit: 5}"), "actors.one.do.0.exit: 'exit' has no arguments");
  check_mistake(with_steps("{read: buf}"),
                "actors.one.do.0.read: is 'buf', expected a mapping with the arguments of read");
  check_mistake(with_steps("{read: {pages: 1}}"), "actors.one.do.0.read: the argument 'buffer' is missing");
  check_mistake(with_steps("{write: {buffer: buf, want: 1}}"),
                "actors.one.do.0.write.want: 'want' is no argument of write (it is one of read)");
  check_mistake(with_steps("{read: {buffer: buf, times: 2}}"),
                "actors.one.do.0.read.times: 'times' is no argument of read (it stands beside read, not in it)");
  check_mistake(with_steps("{read: {buffer: buf, offset: 4089}}"),
                "actors.one.do.0.read.offset: '4089' is out of range, expected 0 to 4088");
  check_mistake(with_steps("zap"), "actors.one.do.0: 'zap' is an operation of a probe's script, not of a CPU program");
  check_mistake(
      with_steps("{munmap: {buffer: buf}}", "device: gru0"),
      "actors.one.do.0.munmap: 'munmap' is an operation of a CPU program or a probe's script, not of a device program");
  check_mistake(with_steps("{read: {buffer: buf}, result: EFALT}"), "actors.one.do.0.result: 'EFALT' is no result");
  check_mistake(with_steps("{read: {buffer: buf}, result: {v3.2: ok}}"),
                "actors.one.do.0.result.v3.2: 'v3.2' is none of this scenario's kernels, expected v6.10");
  check_mistake(with_steps("{loop: {times: 2, do: [exit]}, times: 2}"),
                "actors.one.do.0.times: a loop says itself how often it runs");
  check_mistake(with_steps("{mremap: {buffer: buf}}"),
                "actors.one.do.0.mremap: mremap neither moves nor grows, expected one of to, onto and grow_to");
  check_mistake(with_steps("{mremap: {buffer: buf, to: b, grow_to: 5}}"),
                "actors.one.do.0.mremap: mremap moves to one place, or grows, expected one of to, onto and grow_to");
  check_mistake(with_steps("{access: {buffer: buf, pattern: chase, count: 5, stride: 8}}"),
                "actors.one.do.0.access: stride says nothing to the pattern chase");
  check_mistake(with_steps("{read: {buffer: buf}}", "cpu: 0"),
                "actors.one.do.0.read: 'read' needs the memory of a process, expected the key 'process' in actors.one");
  check_mistake(with_steps("exit", "process: app"), "actors.one: a program on a CPU does not say on which");
  check_mistake(with_steps("{loop: {times: 2, do: [{fork: c}]}}"),
                "actors.one.do.0.loop.do.0.fork: a fork in a loop would bring 'c' in more than once");
  check_mistake(with_steps("{fork: c, times: 2}"), "actors.one.do.0.fork: the fork would bring 'c' in more than once");
  check_mistake(with_steps("{fork: app}"), "actors.one.do.0.fork: there is a process 'app' already");
}

TEST_CASE("the name of a scenario is that of its file") {
  const std::string text = with("");
  CHECK(test::parse(text, {}, "a/x.yaml").scenario);
  CHECK(test::parse(text, {}, "a/07-x.yaml").scenario);
  CHECK(test::parse(text, {}, "out/x/v6.10/resolved.yaml").scenario);
  CHECK(test::messages(test::parse(text, {}, "a/07-y.yaml"))
            .find("name: the name 'x' is not that of the file, expected 'y'") != std::string::npos);
}

TEST_CASE("the nearest name") {
  const std::vector<std::string> names = {"read", "write", "munmap", "mprotect"};
  CHECK(nearest("raed", names) == "read");
  CHECK(nearest("READ", names) == "read");
  CHECK(nearest("unmap", names) == "munmap");
  CHECK(nearest("mprot", names) == "mprotect");
  CHECK(nearest("fork", names) == "");
  CHECK(nearest("", names) == "");
  CHECK(nearest(std::string(1000, 'a'), names) == "");
}

TEST_CASE("the files in scenarios/broken are refused with a place") {
  const Catalogue known = test::make_catalogue();
  unsigned files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator("scenarios")) {
    if (entry.path().parent_path().filename() != "broken" || entry.path().extension() != ".yaml") continue;
    ++files;
    CAPTURE(entry.path().string());
    const ParseResult result = parse_scenario_file(entry.path().string(), {}, known);
    CHECK_FALSE(result.scenario);
    REQUIRE_FALSE(result.errors.empty());
  }
  CHECK(files > 0);
}

TEST_CASE("kernels are named one by one, as a range of neighbours, or all") {
  const auto kernels = [](const std::string& more) {
    const ParseResult result = test::parse(with(more));
    INFO(test::messages(result));
    REQUIRE(result.scenario);
    return result.scenario->kernels;
  };
  const std::vector<std::string> both = {"v3.2", "v6.10"};
  CHECK(kernels("kernels: all\n") == both);
  CHECK(kernels("kernels: [v3.2..v6.10]\n") == both);
  CHECK(kernels("kernels: [v6.10..v6.10]\n") == std::vector<std::string>{"v6.10"});
  check_mistake(with("kernels: [v3.2, v3.2..v6.10]\n"), "kernels.1: 'v3.2' is there twice");
  check_mistake(with("kernels: [v6.10..v3.2]\n"), "kernels.0: no kernel is in v6.10..v3.2");
  check_mistake(with("kernels: [v3.2..]\n"), "kernels.0: 'v3.2..' is no range of kernels: there is no ''");
  check_mistake(with("kernels: [v3.2..v6.1]\n"), "kernels.0: 'v3.2..v6.1' is no range of kernels: there is no 'v6.1'");
}

TEST_CASE("expectations of a range of kernels, and of one that lacks something") {
  const ParseResult result = test::parse(
      with("kernels: all\nexpect: {per_kernel: {v3.2: absent, v6.10..v6.10: {violated: [no-use-after-free]}}}\n"));
  INFO(test::messages(result));
  REQUIRE(result.scenario);
  CHECK(expectations_for(*result.scenario, "v3.2").absent);
  CHECK_FALSE(expectations_for(*result.scenario, "v6.10").absent);
  CHECK(expectations_for(*result.scenario, "v6.10").violated == std::vector<std::string>{"no-use-after-free"});
  check_mistake(with("kernels: all\nexpect: {per_kernel: {v3.2: absent, all: {violated: []}}}\n"),
                "expect.per_kernel.all: the expectations of v3.2 are there twice");
}
