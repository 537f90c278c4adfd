// Host time of mm operations: the figures of docs/performance.md.
#include "models/mm/mm.hpp"

#include <benchmark/benchmark.h>

#include "models/mm/test_world.hpp"

using namespace secmmu;
using namespace secmmu::literals;
using namespace secmmu::testing;

namespace {

// `body` runs in an address space that core 0 executes in; with `elsewhere` a second core must be asked to
// flush.
void in_process(const char* kernel, bool elsewhere, const std::function<void(Mm&, Core&)>& body) {
  machine().reset();
  Mm* mm = nullptr;
  std::vector<TestTask> tasks{{"app", 0,
                               [&] {
                                 load_on(*mm, hardware().core(0));
                                 body(*mm, hardware().core(0));
                               },
                               1_ms}};
  if (elsewhere) tasks.push_back({"elsewhere", 1, [&] { load_on(*mm, hardware().core(1)); }});
  mm_world().run(kernel, std::move(tasks), [&] { mm = &mm_world().system->create("app"); });
  machine().reset();
}

// mmap, write one page, munmap. A neighbour keeps the page tables.
void munmap_round(benchmark::State& state, const char* kernel, bool elsewhere, bool neighbour) {
  in_process(kernel, elsewhere, [&](Mm& mm, Core& core) {
    VirtAddr area;
    if (neighbour) {
      mmap(mm, {{}, false, 1, {true, true, false}, false}, area);
      core.write(area, 8, 1);
    }
    for (auto _ : state) {
      mmap(mm, {{}, false, 4, {true, true, false}, false}, area);
      core.write(area, 8, 1);
      munmap(mm, {area.page(), area.page() + 4});
    }
  });
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK_CAPTURE(munmap_round, one_cpu, "v6.10", false, true)->Name("mm/munmap_round/one_cpu");
BENCHMARK_CAPTURE(munmap_round, tables_too, "v6.10", false, false)->Name("mm/munmap_round/tables_come_and_go");
BENCHMARK_CAPTURE(munmap_round, old_kernel, "v3.2", false, true)->Name("mm/munmap_round/v3.2");
BENCHMARK_CAPTURE(munmap_round, shootdown, "v6.10", true, true)->Name("mm/munmap_round/shootdown");

void fork_round(benchmark::State& state) {
  in_process("v6.10", false, [&](Mm& mm, Core& core) {
    VirtAddr area;
    mmap(mm, {{}, false, 16, {true, true, false}, false}, area);
    for (std::uint64_t page = 0; page < 16; ++page) core.write(area + page * kPageSize, 8, 1);
    for (auto _ : state) {
      Mm& child = mm.system.create("child");
      fork(mm, child);
      mmput(child);
    }
  });
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK(fork_round)->Name("mm/fork_and_exit/16_pages")->Iterations(20'000);

constexpr VirtAddr kHugePlace{0x10'0000'0000};
constexpr PageRange kHugeBlock = pages_of(kHugePlace, kTableEntries* kPageSize);

// A block that may be huge; a neighbour keeps the tables above it.
void in_huge_process(const std::function<void(Mm&, Core&)>& body) {
  in_process("v6.10", false, [&](Mm& mm, Core& core) {
    VirtAddr area;
    mmap(mm, {kHugePlace, true, kTableEntries, {true, true, false}, false}, area);
    madvise_huge(mm, kHugeBlock, HugeAdvice::always);
    body(mm, core);
  });
}

// One write maps 512 pages, one discard gives them back.
void huge_fault_round(benchmark::State& state) {
  in_huge_process([&](Mm& mm, Core& core) {
    for (auto _ : state) {
      core.write(kHugePlace, 8, 1);
      madvise_dontneed(mm, kHugeBlock);
    }
  });
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK(huge_fault_round)->Name("mm/huge/fault_and_discard");

// The same, discarded in two parts: the entry is split, and its 512 pages go one by one.
void huge_split_round(benchmark::State& state) {
  in_huge_process([&](Mm& mm, Core& core) {
    for (auto _ : state) {
      core.write(kHugePlace, 8, 1);
      madvise_dontneed(mm, one_page(kHugePlace.page()));
      madvise_dontneed(mm, kHugeBlock);
      munmap(mm, kHugeBlock);  // with the table
      VirtAddr area;
      mmap(mm, {kHugePlace, true, kTableEntries, {true, true, false}, false}, area);
      madvise_huge(mm, kHugeBlock, HugeAdvice::always);
    }
  });
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK(huge_split_round)->Name("mm/huge/fault_split_and_discard");

// A huge page is split and collapsed again: 512 pages are copied.
void huge_collapse_round(benchmark::State& state) {
  in_huge_process([&](Mm& mm, Core& core) {
    core.write(kHugePlace, 8, 1);
    for (auto _ : state) {
      madvise_dontneed(mm, one_page(kHugePlace.page() + 1));
      madvise_collapse(mm, kHugeBlock);
    }
  });
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK(huge_collapse_round)->Name("mm/huge/split_and_collapse");

}  // namespace
