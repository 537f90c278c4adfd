// What only the whole file shows: names, places, waits.
#include <doctest/doctest.h>

#include <algorithm>

#include "sim/scenario/test_catalogue.hpp"

using namespace secmmu;

namespace {

const std::string kHead =
    "scenario: 1\nname: x\nmachine: {cpus: 2}\nprocesses:\n  app: {buffers: {buf: {pages: 4}}}\n  other: {buffers: "
    "{far: {pages: 1}}}\n"
    "devices:\n  gru0: {kind: gru, attach: app}\n  probe0: {kind: probe, attach: [app, other]}\n";

std::string actors(const std::string& lines, const std::string& more = "") {
  return kHead + more + "actors:\n" + lines;
}

std::string steps(const std::string& list, const std::string& more = "") {
  return actors("  one: {cpu: 0, process: app, do: [" + list + "]}\n", more);
}

void check_mistake(const std::string& text, const std::string& message, int count = 1) {
  const std::string found = test::mistakes(text);
  INFO("messages:\n" << found);
  CHECK_MESSAGE(found.find("error: " + message) != std::string::npos, "missing: ", message);
  CHECK(std::count(found.begin(), found.end(), '^') == count);
}

void check_fine(const std::string& text) { CHECK(test::mistakes(text) == ""); }

}  // namespace

TEST_CASE("names that do not exist") {
  check_mistake(steps("{read: {buffer: bug}}"),
                "actors.one.do.0.read.buffer: 'bug' is no buffer of app, expected buf; did you mean 'buf'?");
  check_mistake(steps("{read: {buffer: far}}"), "actors.one.do.0.read.buffer: 'far' is no buffer of app");
  check_mistake(actors("  a: {cpu: 0, process: ap, do: [{read: {buffer: buf}}]}\n"),
                "actors.a.process: 'ap' is no process");
  check_mistake(actors("  a: {device: gru, do: [{read: {buffer: buf}}]}\n"),
                "actors.a.device: 'gru' is no device, expected gru0 or probe0; did you mean 'gru0'?");
  check_mistake(steps("{register: gru1}"), "actors.one.do.0.register: 'gru1' is no device");
  check_mistake(steps("{after: one.b, id: a, delay: 1us}"),
                "actors.one.do.0.after: 'one.b' is no step (actor.id), expected one.a; did you mean 'one.a'?");
  check_mistake(steps("{id: a, delay: 1us}, {id: a, delay: 1us}"),
                "actors.one.do.1.id: another step of actors.one has the id 'a'");
  check_mistake(
      steps("exit", "watch: [app.bug]\n"),
      "watch.0: 'app.bug' is no buffer (process.buffer), expected app.buf or other.far; did you mean 'app.buf'?");
  check_mistake(steps("exit", "expect: {values: [{process: app, buffer: buf, page: 4, value: 1}]}\n"),
                "expect.values.0.page: '4' reaches beyond the end of buf, expected pages within 0..4");
  check_mistake(steps("exit", "expect: {values: [{process: other, buffer: buf, page: 0, value: 1}]}\n"),
                "expect.values.0.buffer: 'buf' is no buffer of other");
  check_mistake(steps("exit", "expect: {order: [{first: {event: frame_fre}, then: {event: odd}}]}\n"),
                "expect.order.0.first.event: 'frame_fre' is no event");
  check_mistake(steps("exit", "expect: {order: [{first: {event: frame_free, pnf: 1}, then: {event: odd}}]}\n"),
                "expect.order.0.first.pnf: 'pnf' is no key of a pattern for frame_free, expected event, by or pfn; did "
                "you mean 'pfn'?");
  check_mistake(steps("exit", "expect: {order: [{first: {event: odd, by: on}, then: {event: odd}}]}\n"),
                "expect.order.0.first.by: 'on' is no actor, device or kernel thread");
  check_mistake(steps("exit", "expect: {per_kernel: {v3.2: {}}}\n"),
                "expect.per_kernel.v3.2: 'v3.2' is none of this scenario's kernels");
}

TEST_CASE("counters that do not exist") {
  const auto counter = [](const std::string& text) {
    return steps("exit", "expect: {counters: [\"" + text + "\"]}\n");
  };
  check_fine(counter("gru0.faults >= 4"));
  check_fine(counter("cpu1.shootdowns>=0x4"));
  check_fine(counter("other.page_faults != -4"));
  check_mistake(counter("gru0.fault > 1"),
                "expect.counters.0: there is no counter 'gru0.fault', expected gru0.faults or gru0.retries; did you "
                "mean 'gru0.faults'?");
  check_mistake(counter("cpu2.shootdowns > 1"), "expect.counters.0: there is no counter 'cpu2.shootdowns'");
  check_mistake(
      counter("frames.fre > 1"),
      "expect.counters.0: there is no counter 'frames.fre', expected frames.free; did you mean 'frames.free'?");
  check_mistake(counter("gru0.faults"), "expect.counters.0: 'gru0.faults' is no comparison");
  check_mistake(counter("gru0.faults => 1"), "expect.counters.0: '=>' compares nothing");
  check_mistake(counter("gru0.faults > x"), "expect.counters.0: 'x' is no number of 63 bits");
}

TEST_CASE("pages lie inside their buffer, whoever made it") {
  check_mistake(steps("{read: {buffer: buf, pages: 2..5}}"),
                "actors.one.do.0.read.pages: '2..5' reaches beyond the end of buf, expected pages within 0..4");
  check_mistake(steps("{read: {pages: 4, buffer: buf}}"), "actors.one.do.0.read.pages: '4' reaches beyond");
  check_fine(steps("{read: {buffer: new, pages: 7}}, {mmap: {buffer: new, pages: 8}}"));
  check_mistake(steps("{read: {buffer: new, pages: 8}}, {mmap: {buffer: new, pages: 8}}"),
                "actors.one.do.0.read.pages: '8' reaches beyond the end of new");
  check_fine(steps("{mremap: {buffer: buf, grow_to: 6}}, {read: {buffer: buf, pages: 5}}"));
  check_mistake(steps("{mremap: {buffer: buf, pages: 2, to: b}}, {read: {buffer: b, pages: 1}}"),
                "actors.one.do.1.read.pages: '1' reaches beyond the end of b, expected 0, its only page");
  check_fine(
      actors("  one: {cpu: 0, process: app, do: [{mmap: {buffer: m, pages: 2}}, {fork: c}]}\n"
             "  two: {cpu: 1, process: c, do: [{read: {buffer: m}}, {fork: d}]}\n"
             "  three: {cpu: 1, process: d, do: [{read: {buffer: m, pages: 1}}, {read: {buffer: buf}}]}\n"));
}

TEST_CASE("cores and contexts") {
  check_mistake(actors("  a: {cpu: 2, do: [{delay: 1us}]}\n"), "actors.a.cpu: there is no core 2, expected 0 to 1");
  check_mistake(actors("  a: {device: gru0, context: 2, do: [{delay: 1us}]}\n"),
                "actors.a.context: there is no context 2, expected 0 to 1 (gru0.contexts is 2)");
  check_mistake(actors("  a: {device: probe0, process: app, context: 0, do: [{delay: 1us}]}\n"),
                "actors.a.context: a device of the kind probe has no contexts");
  check_mistake(actors("  a: {cpu: 0, context: 0, do: [{delay: 1us}]}\n"),
                "actors.a.context: only the program of a device has a context");
  check_mistake(actors("  a: {device: probe0, do: [{delay: 1us}]}\n"),
                "actors.a.device: 'probe0' is not attached to exactly one process");
  const std::string more =
      "  a: {device: gru0, do: [{delay: 1us}]}\n  b: {device: gru0, context: 0, do: [{delay: 1us}]}\n";
  const ParseResult result = test::parse(actors(more));
  REQUIRE(result.scenario);
  CHECK(result.scenario->actors[0].context == 1);
  check_mistake(actors(more + "  c: {device: gru0, do: [{delay: 1us}]}\n"), "actors.c: no context of gru0 is left");
  check_mistake(actors("  a: {device: gru0, context: 0, do: [{delay: 1us}]}\n  b: {device: gru0, context: 0, process: "
                       "other, do: [{delay: 1us}]}\n"),
                "actors.b: context 0 of gru0 belongs to app (actor a)");
}

TEST_CASE("waits that end in a circle") {
  check_mistake(actors("  a: {cpu: 0, do: [{id: x, after: b.z, delay: 1us}]}\n  b: {cpu: 1, do: [{id: z, after: a.x, "
                       "delay: 1us}]}\n"),
                "actors.a.do.0: this waits for itself: actors.a.do.0, which waits for actors.b.do.0, and so on");
  check_mistake(actors("  a: {cpu: 0, do: [{after: a.x, delay: 1us}, {id: x, delay: 1us}]}\n"),
                "actors.a.do.0: this waits for itself");
  check_mistake(actors("  a: {cpu: 0, do: [{id: x, loop: {times: 2, do: [{after: a.x, delay: 1us}]}}]}\n"),
                "actors.a.do.0.loop.do.0: this waits for itself");
  check_mistake(actors("  a: {cpu: 0, process: c, do: [{id: x, delay: 1us}]}\n  b: {cpu: 1, process: app, do: [{after: "
                       "a.x, fork: c}]}\n"),
                "actors.b.do.0: this waits for itself");
  check_fine(
      actors("  a: {cpu: 0, do: [{id: x, delay: 1us}, {after: b.z, delay: 1us}]}\n  b: {cpu: 1, do: [{id: z, after: "
             "a.x, delay: 1us}]}\n"));
}

TEST_CASE("a barrier is for at least two") {
  check_mistake(actors("  a: {cpu: 0, do: [{barrier: gap}, {barrier: gap}]}\n"),
                "actors.a.do.0.barrier: nobody else comes to the barrier 'gap'", 2);
  check_mistake(actors("  a: {cpu: 0, do: [{barrier: gap}]}\n  b: {cpu: 0, do: [{barrier: gpa}]}\n"),
                "actors.b.do.0.barrier: nobody else comes to the barrier 'gpa', expected at least two who name it; did "
                "you mean 'gap'?",
                2);
  check_fine(
      actors("  a: {cpu: 0, do: [{barrier: gap}]}\n  b: {cpu: 0, do: [{loop: {times: 1, do: [{barrier: gap}]}}]}\n"));
}

TEST_CASE("places in memory") {
  const auto memory = [](const std::string& buffers) {
    return "scenario: 1\nname: x\nprocesses: {app: {buffers: {" + buffers +
           "}}}\nactors: {a: {cpu: 0, do: [{delay: 1us}]}}\n";
  };
  check_mistake(memory("a: {at: 0x10000, pages: 4}, b: {at: 0x13000, pages: 1}"),
                "processes.app.buffers.b: the buffer overlaps 'a'");
  check_fine(memory("a: {at: 0x10000, pages: 4}, b: {at: 0x14000, pages: 1}"));
  check_mistake(memory("a: {at: 0x7fff_ffff_f000, pages: 2}"),
                "processes.app.buffers.a: the buffer reaches beyond the end of user space");
}

TEST_CASE("a name means one thing") {
  const auto named = [](const std::string& process, const std::string& device) {
    return "scenario: 1\nname: x\nprocesses: {" + process + ": {}}\ndevices: {" + device +
           ": {kind: gru}}\nactors: {a: {cpu: 0, do: [{delay: 1us}]}}\n";
  };
  check_mistake(named("a", "a"), "devices.a: something else is called 'a' too");
  check_mistake(named("cpu1", "a"), "processes.cpu1: 'cpu1' is the name of a core");
  check_mistake(named("frames", "a"), "processes.frames: something else is called 'frames' too");
}

TEST_CASE("attachments and locks of scripts") {
  const auto probe = [](const std::string& keys, const std::string& list = "{delay: 1us}") {
    return "scenario: 1\nname: x\nprocesses: {app: {buffers: {buf: {pages: 1}}}}\ndevices: {p: {kind: probe, " + keys +
           "}}\nactors: {a: {cpu: 0, process: app, do: [" + list + "]}}\n";
  };
  check_mistake(probe("attach: [app, app]"), "devices.p.attach.1: 'app' is there twice");
  check_mistake(probe("attach: c", "{fork: c}"), "devices.p.attach: the process 'c' is not there before its fork");
  check_mistake(probe("callbacks: {start: [{unlock: a}]}"),
                "devices.p.callbacks.start.0.unlock: 'a' is no lock that any script takes");
  check_mistake(probe("callbacks: {start: [{lock: a}, {lock: {name: a, kind: spinlock}}]}"),
                "devices.p.callbacks.start.1.lock.name: the lock 'a' is a mutex elsewhere");
  check_mistake(probe("callbacks: {start: [{at: 1us, sleep: 1us}]}"),
                "devices.p.callbacks.start.0.at: 'at' has no meaning in a probe's script");
  check_mistake(probe("attach: app, callbacks: {start: [{munmap: {buffer: bug}}]}"),
                "devices.p.callbacks.start.0.munmap.buffer: 'bug' is no buffer of app");
}

TEST_CASE("recorded programs") {
  const auto program = [](const std::string& keys) {
    return actors("  a: {" + keys + ", program: {lackey: no-such.gz}}\n");
  };
  check_mistake(program("cpu: 0, process: app"),
                "actors.a.program.lackey: there is no file 'no-such.gz' beside the scenario");
  check_mistake(program("cpu: 0, process: other, mirror: gru0"), "actors.a.mirror: 'gru0' is not attached to other", 2);
  check_mistake(program("device: gru0"), "actors.a.program: a recorded program runs on a CPU", 2);
  check_mistake(program("cpu: 0"), "actors.a.program: a recorded program needs a process", 2);
  check_mistake(program("cpu: 0, process: app, do: [exit]"), "actors.a.program: an actor has one program", 2);
  check_mistake(actors("  a: {cpu: 0, process: app, mirror: gru0, do: [exit]}\n"),
                "actors.a.mirror: there is no recorded program to mirror");
}
