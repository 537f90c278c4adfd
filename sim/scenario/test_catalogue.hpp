// A small catalogue for the tests of the language: nothing here depends on what the machine can do today.
#pragma once

#include <string>

#include "sim/scenario/parser.hpp"

namespace secmmu::test {

struct MachineRows {
  std::uint64_t cpus = 2;
};
struct MemoryRows {
  std::uint64_t frames = 1024;
  std::uint64_t bytes_per_bank = 1 << 20;
};
struct TlbRows {
  std::uint64_t entries = 64;
  std::uint64_t ways = 4;
};
struct CostRows {
  Time walk_level{20'000};
};
struct GruRows {
  std::uint64_t contexts = 2;
  std::uint64_t purge_limit = 16;
  bool polling = true;
  std::string placement = "blade";
};
struct ProbeRows {
  std::uint64_t entries = 16;
};

inline Catalogue make_catalogue() {
  static const auto machine =
      ParameterTable<MachineRows>("machine").integer("cpus", &MachineRows::cpus, 1, 64, "Number of cores.");
  static const auto memory = ParameterTable<MemoryRows>("memory")
                                 .integer("frames", &MemoryRows::frames, 8, 1 << 24, "Number of frames.")
                                 .size("bytes_per_bank", &MemoryRows::bytes_per_bank, 4096, 1 << 30, "Size of a bank.");
  static const auto tlb = ParameterTable<TlbRows>("tlb")
                              .integer("entries", &TlbRows::entries, 1, 4096, "Entries of a TLB.")
                              .integer("ways", &TlbRows::ways, 1, 64, "Associativity.");
  static const auto cost =
      ParameterTable<CostRows>("cost").duration("walk_level", &CostRows::walk_level, "One level of a walk.");
  static const auto gru = ParameterTable<GruRows>("gru")
                              .integer("contexts", &GruRows::contexts, 1, 16, "Hardware contexts.")
                              .integer("purge_limit", &GruRows::purge_limit, 1, 1024, "Pages of one purge.")
                              .flag("polling", &GruRows::polling, "Users poll.")
                              .choice("placement", &GruRows::placement, {"blade", "spread"}, "Where it is.");
  static const auto probe =
      ParameterTable<ProbeRows>("probe").integer("entries", &ProbeRows::entries, 1, 4096, "Translations.");

  Catalogue known;
  known.groups = {{"machine", "The machine.", &machine},
                  {"machine.memory", "Memory.", &memory},
                  {"machine.tlb", "The TLBs.", &tlb},
                  {"machine.cost", "What things cost.", &cost}};
  known.devices = {
      {"gru",
       "A GRU.",
       &gru,
       {{"range-active-check", ""}, {"flush-on-fork", ""}},
       {},
       {{"faults", ""}, {"retries", ""}}},
      {"probe", "A scripted subscriber.", &probe, {}, {{"release", ""}, {"start", ""}, {"end", ""}}, {{"calls", ""}}}};
  known.kernels = {{"v3.2", ""}, {"v6.10", ""}};
  known.behaviours = {{"fork-notifies", "What fork tells.", {"whole-mm", "each-vma"}}, {"exit-order", "", {}}};
  known.behaviour_of = [](std::string_view kernel, std::string_view behaviour) {
    return behaviour == "exit-order" ? std::string("late") : std::string(kernel == "v3.2" ? "each-vma" : "whole-mm");
  };
  known.rules = {{"no-use-after-free", ""}, {"no-stale-translation", ""}};
  known.machine_counters = {{"frames.free", ""}};
  known.core_counters = {{"shootdowns", ""}};
  known.process_counters = {{"page_faults", ""}};
  known.events = {{"invalidate_start", "", {"range", "blockable"}}, {"frame_free", "", {"pfn"}}, {"odd", "", {}}};
  known.tasks = {{"kswapd", ""}};
  return known;
}

inline ParseResult parse(const std::string& text, const std::vector<std::string>& sets = {},
                         const std::string& path = "") {
  static const Catalogue known = make_catalogue();
  return parse_scenario_text(text, path, sets, known);
}

// Every message, as a user sees it.
inline std::string messages(const ParseResult& result) {
  std::string all;
  for (const Diagnostic& error : result.errors) all += to_text(error);
  return all;
}
inline std::string mistakes(const std::string& text, const std::vector<std::string>& sets = {}) {
  return messages(parse(text, sets));
}

// A scenario that uses everything once.
inline const std::string kEverything = R"(scenario: 1
name: gru-munmap-race
about: >
  A GRU reads while a CPU unmaps.
kernels: [v3.2, v6.10]
seed: 0x10
seeds: 3
limit: 100us
strict: true
machine:
  cpus: 4
  memory: {frames: 64, bytes_per_bank: 64KiB}
  tlb: {entries: 1_024}
  cost: {walk_level: 1.5ns}
behaviour: {fork-notifies: whole-mm}
processes:
  app:
    buffers:
      buf: {at: 0x7f00_0000_0000, pages: 4, prot: rw, backing: anon, populate: true}
      more: {pages: 2, backing: shared}
  idle: {}
devices:
  gru0: {kind: gru, attach: app, without: [range-active-check], contexts: 3, polling: false, placement: spread}
  probe0:
    kind: probe
    attach: [app, idle]
    callbacks:
      release: [{barrier: gap}, {delay: 2us}, zap]
      start:
        - {lock: a}
        - {lock: {name: b, kind: spinlock}}
        - {unlock: b}
        - {munmap: {buffer: more, pages: 0}, result: EAGAIN}
        - {sleep: 1us, times: 2}
        - refuse
        - young
        - ignore
        - unregister
        - free
actors:
  reader:
    device: gru0
    process: app
    cpu: 1
    do:
      - {id: warm, read: {buffer: buf, pages: 0..4, offset: 8, want: 0}}
      - {read: {buffer: buf, want: {v3.2: 1, v6.10: 2}}, result: ok-or-fault, times: 3}
      - {access: {buffer: buf, pattern: zipf, count: 100, skew: 0.99, write_one_in: 4}}
      - {loop: {times: 2, do: [{write: {buffer: buf, pages: 1, value: 0x5a, count_up: true}}, {delay: 5ns}]}}
  second: {device: gru0, do: [{read: {buffer: buf}}]}
  plain: {device: probe0, process: app, do: [{write: {buffer: more}}]}
  unmapper:
    cpu: 0
    process: app
    start: 1us
    do:
      - {after: reader.warm, munmap: {buffer: buf, pages: 2..4}}
      - {mmap: {buffer: fresh, pages: 8, prot: r, backing: shared, at: 0x10000}, result: {v3.2: ENOMEM, v6.10: ok}}
      - {mprotect: {buffer: fresh, prot: rwx}}
      - {dontneed: {buffer: buf, pages: 0..2}, at: 2us}
      - {mremap: {buffer: fresh, pages: 0..2, to: moved}}
      - {mremap: {buffer: more, grow_to: 6}}
      - {write: {buffer: more, pages: 5}}
      - {brk: 3}
      - {read: {buffer: heap, pages: 2}}
      - {access: {buffer: moved, pattern: stride, count: 10, stride: 4096}}
      - {fork: child, id: forked}
      - {register: gru0}
      - {unregister: {device: gru0}}
      - {barrier: gap}
      - {sleep: 5us}
      - exit
  heir: {cpu: 2, process: child, do: [{read: {buffer: fresh}}, {exit, id: gone}]}
  worker: {cpu: 3, do: [{delay: 1us}, {after: [heir.gone, unmapper.forked], sleep: 1us}]}
watch: [app.buf, child.fresh]
expect:
  violated: [no-use-after-free]
  counters: ["gru0.faults >= 4", "cpu1.shootdowns == 0", frames.free > 0, app.page_faults<=0x10]
  sometimes: "probe0.calls != -1"
  order:
    - {first: {event: invalidate_start, by: unmapper, blockable: true}, then: {event: frame_free}}
    - {first: {event: odd, anything: 5, by: kswapd}, then: {event: frame_free, by: gru0.engine, pfn: 7}}
  values:
    - {process: app, buffer: buf, page: 0, value: 5}
    - {process: app, buffer: buf, page: 3, offset: 16, value: absent}
  per_kernel:
    v3.2: {violated: [no-use-after-free, no-stale-translation], counters: gru0.retries >= 1}
    v6.10: {sometimes: [gru0.retries > 0]}
)";

}  // namespace secmmu::test
