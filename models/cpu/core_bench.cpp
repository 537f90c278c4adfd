// Host time of what cores do: the figures of docs/performance.md.
#include "models/cpu/core.hpp"

#include <benchmark/benchmark.h>

#include <stdexcept>

#include "models/cpu/test_hardware.hpp"

using namespace secmmu;

namespace {

constexpr std::uint64_t kRights = Pte::kPresent | Pte::kUser | Pte::kWritable;

// An address space with all of its pages mapped.
struct Space {
  PageTable table{hardware().memory(), hardware().port(), "bench"};
  explicit Space(std::uint64_t pages) {
    for (std::uint64_t page = 0; page < pages; ++page) {
      if (!table.ensure({page})) throw std::runtime_error("too few frames");
      table.write({page}, make_pte(hardware().memory().allocate(FrameUse::anonymous, "bench"), kRights));
    }
  }
};

constexpr std::uint64_t kHotPages = 16;  // fit the TLB

void count(benchmark::State& state, std::uint64_t things) {
  state.SetItemsProcessed(static_cast<std::int64_t>(things));
}

template <bool kWrite>
void hits_alone(benchmark::State& state) {
  machine().reset();
  hardware().run({{"", 0, [&] {
                     Core& core = hardware().core(0);
                     Space space(kHotPages);
                     core.load({1, space.table.root()});
                     std::uint64_t address = 0;
                     std::uint64_t value = 0;
                     for (auto _ : state) {
                       if constexpr (kWrite)
                         core.write({address}, 8, value);
                       else
                         core.read({address}, 8, value);
                       benchmark::DoNotOptimize(value);
                       address = (address + kPageSize + 8) % (kHotPages << kPageShift) & ~7ULL;
                     }
                   }}});
  count(state, state.iterations());
}
BENCHMARK_TEMPLATE(hits_alone, false)->Name("cpu/read_hits/one_task");
BENCHMARK_TEMPLATE(hits_alone, true)->Name("cpu/write_hits/one_task");

// Two tasks whose every access is a hand-over.
void hits_in_lock_step(benchmark::State& state) {
  machine().reset();
  bool done = false;
  Space* shared = nullptr;
  std::uint64_t others = 0;
  const auto reader = [](Core& core, std::uint64_t& value) { core.read({0x1008}, 8, value); };
  hardware().run({{"timed", 0,
                   [&] {
                     Space space(kHotPages);
                     shared = &space;
                     Core& core = hardware().core(0);
                     core.load({1, space.table.root()});
                     std::uint64_t value = 0;
                     for (auto _ : state) {
                       reader(core, value);
                       benchmark::DoNotOptimize(value);
                     }
                     done = true;
                   }},
                  {"other", 1, [&] {
                     Core& core = hardware().core(1);
                     while (shared == nullptr) machine().arbiter().step(Time{1'000'000});
                     core.load({1, shared->table.root()});
                     std::uint64_t value = 0;
                     for (; !done; ++others) reader(core, value);
                   }}});
  count(state, state.iterations() + others);
}
BENCHMARK(hits_in_lock_step)->Name("cpu/read_hits/two_tasks_in_lock_step");

void misses(benchmark::State& state) {
  machine().reset();
  hardware().run({{"", 0, [&] {
                     constexpr std::uint64_t kPages = 2048;
                     Core& core = hardware().core(0);
                     Space space(kPages);
                     core.load({1, space.table.root()});
                     std::uint64_t page = 0;
                     std::uint64_t value = 0;
                     for (auto _ : state) {
                       core.read(address_of(Vpn{page}), 8, value);
                       benchmark::DoNotOptimize(value);
                       page = (page + 1) % kPages;
                     }
                   }}});
  count(state, state.iterations());
}
BENCHMARK(misses)->Name("cpu/read_misses/walk_and_evict");

// One page: cleared, shot down on the other three cores (idle), mapped and read again.
void shootdowns(benchmark::State& state) {
  machine().reset();
  const auto mask = static_cast<std::uint64_t>(state.range(0));
  hardware().run({{"", 0, [&] {
                     Core& core = hardware().core(0);
                     Space space(1);
                     core.load({1, space.table.root()});
                     const Pte entry = space.table.read({0});
                     std::uint64_t value = 0;
                     for (auto _ : state) {
                       core.read({0}, 8, value);
                       space.table.write({0}, {});
                       hardware().shootdown().flush(1, one_page({0}), mask);
                       space.table.write({0}, entry);
                     }
                   }}});
  count(state, state.iterations());
}
BENCHMARK(shootdowns)->Name("cpu/shootdown/mask")->Arg(0x1)->Arg(0x3)->Arg(0xf);

void kernel_entries(benchmark::State& state) {
  machine().reset();
  hardware().run({{"", 0, [&] {
                     Space space(512);
                     std::uint64_t page = 0;
                     for (auto _ : state) {
                       const Pte entry = space.table.read({page});
                       space.table.write({page}, entry);
                       page = (page + 1) % 512;
                     }
                   }}});
  count(state, state.iterations());
}
BENCHMARK(kernel_entries)->Name("memory/page_table/read_and_write_entry");

void frames(benchmark::State& state) {
  machine().reset();
  hardware().run({{"", 0, [&] {
                     for (auto _ : state) {
                       const Pfn pfn = hardware().memory().allocate(FrameUse::anonymous, "bench");
                       hardware().memory().clear(pfn);
                       hardware().memory().put(pfn);
                     }
                   }}});
  count(state, state.iterations());
}
BENCHMARK(frames)->Name("memory/frame/allocate_clear_free");

// A run of the machine that touches so many frames, then the reset.
void resets(benchmark::State& state) {
  machine().reset();
  const auto pages = static_cast<std::uint64_t>(state.range(0));
  for (auto _ : state)
    hardware().run({{"", 0, [&] {
                       Space space(pages);
                       Core& core = hardware().core(0);
                       core.load({1, space.table.root()});
                       for (std::uint64_t page = 0; page < pages; ++page) core.write(address_of(Vpn{page}), 8, page);
                     }}});
  count(state, state.iterations());
}
BENCHMARK(resets)->Name("machine/run_and_reset/pages")->Arg(1)->Arg(16)->Arg(1024);

}  // namespace
