// Host time of a whole machine with the oracle listening: the figures of docs/performance.md. One platform of
// two cores is built at elaboration; every benchmark begins with its reset. Beside them stand a few bare
// things to compare with, measured in the same run of the program.
#include <benchmark/benchmark.h>

#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include <tlm_utils/simple_initiator_socket.h>
#include <tlm_utils/simple_target_socket.h>

#include "models/platform.hpp"
#include "notifier/substrate/sync/wait_queue.hpp"
#include "notifier/substrate/test_machine.hpp"
#include "sim/oracle/oracle.hpp"
#include "sim/run/access_pattern.hpp"

namespace secmmu::testing {
namespace {

// --- the machine -----------------------------------------------------------------------------------------

PlatformConfig bench_config() {
  PlatformConfig config;
  config.machine.cpus = 2;
  config.memory.frames = 8192;
  DeviceRequest roomy{"gru0", {}};
  DeviceRequest narrow{"gru1", {{"tlb_entries", std::uint64_t{64}}, {"tlb_ways", std::uint64_t{4}}}};
  config.devices = {{"gru", roomy}, {"gru", narrow}};
  config.tasks = {{"setup", 0},
                  {"app", 0},
                  {"user0", 1},
                  {"user1", 1},
                  {"engine0", -1, TaskKind::service},
                  {"engine1", -1, TaskKind::service}};
  return config;
}

class BenchMachine : public sc_core::sc_module {
 public:
  explicit BenchMachine(const sc_core::sc_module_name& name)
      : sc_module(name), platform(bench_config()), parked_(platform.arbiter, "parked") {
    // The director of the benchmarks plays this machine too; its own has nothing to do.
    platform.arbiter.direct([this] { sc_core::wait(never_); });
    for (const auto& task : platform.arbiter.tasks())
      run_.tasks.push_back({task->name(), task->processor_number(), task->kind() == TaskKind::actor});
    run_.scenario = "bench";
    run_.kernel = "v6.10";
    run_.cores = static_cast<unsigned>(platform.cores.size());
    run_.frames = platform.memory.frames();
    run_.devices = {{"gru0", "gru", 2}, {"gru1", "gru", 1}};
    run_.processes = {"app"};
  }

  Platform platform;
  Mm* mm = nullptr;
  VirtAddr area;  // `pages` pages of private memory, written once
  Device& gru(unsigned number) { return *platform.devices.at(number); }

  // A machine after power-on with the oracle listening, a process with `pages` pages, and `devices` attached
  // to it; then `start` starts tasks, and they run to their end. Reports what should not be.
  template <class Start>
  void play(benchmark::State& state, std::uint64_t pages, const std::vector<unsigned>& devices, Start start) {
    Arbiter& arbiter = platform.arbiter;
    arbiter.bus().clear_listeners();
    platform.set_kernel(*parse_kernel_version("v6.10"), {});
    platform.reset();
    parked_.reset();
    stopped_ = false;
    Oracle oracle;
    oracle.attach(arbiter.bus(), run_);
    arbiter.begin_setup();
    arbiter.start(platform.task("setup"), [&] { set_up(pages, devices); });
    arbiter.run({});
    arbiter.end_setup();
    start();
    const RunEnd end = arbiter.run({});
    if (end != RunEnd::quiet || !arbiter.unfinished().empty()) state.SkipWithError("a task did not end");
    oracle.finish({arbiter.now(), true});
    if (!oracle.clean()) state.SkipWithError(oracle.violations().front().rule.c_str());
    arbiter.bus().clear_listeners();
  }

  void start(std::string_view name, std::function<void()> body) {
    Task& task = platform.task(name);
    task.user = mm;
    platform.arbiter.start(task, std::move(body));
  }
  // `program` in the engine of a context; its user thread waits on core 1.
  void start_engine(unsigned device, unsigned context, std::function<void()> program) {
    start("user" + std::to_string(context), [this, device, context, program = std::move(program)] {
      gru(device).user_thread(context, *mm, platform.task("engine" + std::to_string(context)), program);
    });
  }
  // For a program that only holds its context: waits until let_go().
  void park() {
    parked_.wait_until([this] { return stopped_; }, "the benchmark to end");
  }
  void let_go() {
    stopped_ = true;
    parked_.wake_all();
  }
  bool stopped() const { return stopped_; }
  void stop() { stopped_ = true; }

 private:
  void set_up(std::uint64_t pages, const std::vector<unsigned>& devices) {
    mm = &platform.mms->create("app");
    MmapRequest request;
    request.pages = pages;
    request.rights = {true, true, false};
    if (mmap(*mm, request, area) != Errno::ok) throw std::runtime_error("no room");
    for (std::uint64_t page = 0; page < pages; ++page)
      if (handle_fault(*mm, area.page() + page, true) != FaultResult::resolved) throw std::runtime_error("no memory");
    for (const unsigned device : devices)
      if (gru(device).attach(*mm) != Errno::ok) throw std::runtime_error("no subscription");
  }

  RunDescription run_;
  WaitQueue parked_;
  bool stopped_ = false;
  sc_core::sc_event never_;
};

// Never destroyed: SystemC is gone before static objects are.
BenchMachine* bench_machine = nullptr;

void count(benchmark::State& state, std::uint64_t things) {
  state.SetItemsProcessed(static_cast<std::int64_t>(things));
}

// --- accesses of a device that hit ------------------------------------------------------------------------

constexpr std::uint64_t kHotPages = 64;

// Every access is on another page than the one before.
std::uint64_t next_offset(std::uint64_t offset) { return (offset + kPageSize + 8) % (kHotPages << kPageShift) & ~7ULL; }

void device_hits(benchmark::State& state, bool write) {
  BenchMachine& m = *bench_machine;
  m.play(state, kHotPages, {0}, [&] {
    m.start_engine(0, 0, [&] {
      Device& device = m.gru(0);
      std::uint64_t value = 0;
      for (std::uint64_t page = 0; page < kHotPages; ++page)
        device.access(0, *m.mm, m.area + page * kPageSize, 8, true, value);
      std::uint64_t offset = 0;
      for (auto _ : state) {
        device.access(0, *m.mm, m.area + offset, 8, write, value);
        benchmark::DoNotOptimize(value);
        offset = next_offset(offset);
      }
    });
  });
  count(state, state.iterations());
}
BENCHMARK_CAPTURE(device_hits, reads, false)->Name("device/hits/one_task/reads");
BENCHMARK_CAPTURE(device_hits, writes, true)->Name("device/hits/one_task/writes");

// With the generator of a scenario's `access` in front.
void device_hits_of_a_pattern(benchmark::State& state, const char* pattern) {
  BenchMachine& m = *bench_machine;
  m.play(state, kHotPages, {0}, [&] {
    m.start_engine(0, 0, [&] {
      Device& device = m.gru(0);
      std::uint64_t value = 0;
      for (std::uint64_t page = 0; page < kHotPages; ++page)
        device.access(0, *m.mm, m.area + page * kPageSize, 8, true, value);
      RandomStream random(1, "bench");
      Generator generator;
      generator.pattern = pattern;
      generator.stride = 64;
      generator.write_one_in = 4;
      AccessPattern offsets(generator, kHotPages << kPageShift, random);
      for (auto _ : state) {
        const std::uint64_t offset = offsets.next();
        device.access(0, *m.mm, m.area + offset, 8, offsets.next_is_write(), value);
        benchmark::DoNotOptimize(value);
      }
    });
  });
  count(state, state.iterations());
}
BENCHMARK_CAPTURE(device_hits_of_a_pattern, stride, "stride")->Name("device/hits/one_task/stride_of_a_scenario");
BENCHMARK_CAPTURE(device_hits_of_a_pattern, random, "random")->Name("device/hits/one_task/random_of_a_scenario");

// Two contexts whose every access is a hand-over.
void device_hits_in_lock_step(benchmark::State& state) {
  BenchMachine& m = *bench_machine;
  std::uint64_t others = 0;
  m.play(state, kHotPages, {0}, [&] {
    const auto warm_up = [&m](unsigned context) {
      std::uint64_t value = 0;
      for (std::uint64_t page = 0; page < kHotPages; ++page)
        m.gru(0).access(context, *m.mm, m.area + page * kPageSize, 8, true, value);
    };
    m.start_engine(0, 0, [&] {
      warm_up(0);
      std::uint64_t value = 0;
      std::uint64_t offset = 0;
      for (auto _ : state) {
        m.gru(0).access(0, *m.mm, m.area + offset, 8, false, value);
        benchmark::DoNotOptimize(value);
        offset = next_offset(offset);
      }
      m.stop();
    });
    m.start_engine(0, 1, [&] {
      warm_up(1);
      std::uint64_t value = 0;
      std::uint64_t offset = 8 * kPageSize;
      for (; !m.stopped(); ++others) {
        m.gru(0).access(1, *m.mm, m.area + offset, 8, false, value);
        offset = next_offset(offset);
      }
    });
  });
  count(state, state.iterations() + others);
}
BENCHMARK(device_hits_in_lock_step)->Name("device/hits/two_tasks_in_lock_step");

// --- misses ---------------------------------------------------------------------------------------------

// A TLB of 64 entries that goes round 1,024 pages: every access misses, raises the interrupt on an idle core,
// whose handler walks the page table without a lock and drops the translation in (for another one that goes),
// and the engine tries again and hits.
void device_misses(benchmark::State& state, bool write) {
  constexpr std::uint64_t kPages = 1024;
  BenchMachine& m = *bench_machine;
  m.play(state, kPages, {1}, [&] {
    m.start_engine(1, 0, [&] {
      std::uint64_t value = 0;
      std::uint64_t page = 0;
      for (auto _ : state) {
        m.gru(1).access(0, *m.mm, m.area + page * kPageSize + page * 64 % kPageSize, 8, write, value);
        benchmark::DoNotOptimize(value);
        page = (page + 1) % kPages;
      }
    });
  });
  std::map<std::string, std::int64_t> counters;
  for (const CounterRow& row : m.gru(1).counters()) counters[row.name] = row.value;
  if (counters["user_calls"] != 0 || counters["faults"] != static_cast<std::int64_t>(state.iterations()))
    state.SkipWithError("an access did not take the path that is measured");
  count(state, state.iterations());
}
BENCHMARK_CAPTURE(device_misses, reads, false)->Name("device/misses/interrupt_walk_drop_in");
BENCHMARK_CAPTURE(device_misses, writes, true)->Name("device/misses/interrupt_walk_drop_in/writes");

// --- munmap -----------------------------------------------------------------------------------------------

// A round: mmap of 4 pages; a write to the first of them (fault, new frame, PTE, walk, TLB fill); munmap of the
// 4 (start, PTE cleared, flush, end, frame freed). `device`: a GRU with a loaded context is subscribed, so
// start purges its TLB and end wakes who waits. `elsewhere`: the other core, idle, is in the mm's mask, so the
// flush sends it an interrupt and waits for its answer.
void munmap_rounds(benchmark::State& state, bool device, bool elsewhere) {
  BenchMachine& m = *bench_machine;
  m.play(state, 1, device ? std::vector<unsigned>{0} : std::vector<unsigned>{}, [&] {
    const auto rounds = [&] {
      Core& core = *m.platform.cores[0];
      MmapRequest request;
      request.pages = 4;
      request.rights = {true, true, false};
      VirtAddr at;
      for (auto _ : state) {
        mmap(*m.mm, request, at);
        core.write(at, 8, 1);
        munmap(*m.mm, {at.page(), at.page() + 4});
      }
    };
    m.start("app", [&, rounds] {
      m.platform.arbiter.sleep_until(Time{1'000'000'000});  // the others are where they should be
      rounds();
      m.let_go();
    });
    if (elsewhere) m.start("user1", [&] { load_on(*m.mm, *m.platform.cores[1]); });
    if (device)
      m.start_engine(0, 0, [&] {
        std::uint64_t value = 0;
        m.gru(0).access(0, *m.mm, m.area, 8, true, value);
        m.park();
      });
  });
  count(state, state.iterations());
}
BENCHMARK_CAPTURE(munmap_rounds, alone, false, false)->Name("munmap/round/nobody_else");
BENCHMARK_CAPTURE(munmap_rounds, shootdown, false, true)->Name("munmap/round/other_core");
BENCHMARK_CAPTURE(munmap_rounds, device, true, true)->Name("munmap/round/other_core_and_device");

// --- what to compare with ------------------------------------------------------------------------------------

class Bare : public sc_core::sc_module {
 public:
  explicit Bare(const sc_core::sc_module_name& name) : sc_module(name), initiator("initiator"), target("target") {
    initiator.bind(target);
    target.register_b_transport(this, &Bare::b_transport);
    sc_core::sc_spawn([this] {
      for (;;) {
        sc_core::wait(there);
        back.notify();
      }
    });
  }
  void b_transport(tlm::tlm_generic_payload& payload, sc_core::sc_time&) {
    std::uint8_t* at = bytes + payload.get_address();
    if (payload.is_read())
      __builtin_memcpy(payload.get_data_ptr(), at, 8);
    else
      __builtin_memcpy(at, payload.get_data_ptr(), 8);
    payload.set_response_status(tlm::TLM_OK_RESPONSE);
  }
  tlm_utils::simple_initiator_socket<Bare> initiator;
  tlm_utils::simple_target_socket<Bare> target;
  sc_core::sc_event there, back;
  std::uint8_t bytes[kPageSize] = {};
};
Bare* bare = nullptr;

void bare_b_transport(benchmark::State& state) {
  tlm::tlm_generic_payload payload;
  std::uint64_t value = 0;
  payload.set_read();
  payload.set_data_ptr(reinterpret_cast<unsigned char*>(&value));
  payload.set_data_length(8);
  payload.set_streaming_width(8);
  std::uint64_t offset = 0;
  for (auto _ : state) {
    sc_core::sc_time delay;
    payload.set_address(offset);
    payload.set_response_status(tlm::TLM_INCOMPLETE_RESPONSE);
    bare->initiator->b_transport(payload, delay);
    benchmark::DoNotOptimize(value);
    offset = (offset + 8) % kPageSize;
  }
  count(state, state.iterations());
}
BENCHMARK(bare_b_transport)->Name("bare/b_transport");

// There and back: two switches.
void bare_thread_switches(benchmark::State& state) {
  for (auto _ : state) {
    bare->there.notify();
    sc_core::wait(bare->back);
  }
  count(state, 2 * state.iterations());
}
BENCHMARK(bare_thread_switches)->Name("bare/systemc_thread_switch");

// SystemC's time goes on by a picosecond, as it does when one task hands over to a later one.
void bare_timed_switches(benchmark::State& state) {
  const sc_core::sc_time step = sc_core::sc_time::from_value(1);
  for (auto _ : state) {
    bare->there.notify(step);
    sc_core::wait(bare->back);
  }
  count(state, 2 * state.iterations());
}
BENCHMARK(bare_timed_switches)->Name("bare/systemc_thread_switch/every_other_timed");

void bare_map_lookups(benchmark::State& state) {
  std::map<std::uint64_t, std::uint64_t> frames;
  for (std::uint64_t page = 0; page < 1024; ++page) frames[page] = page * 7919 % 1024;
  std::uint64_t page = 0;
  for (auto _ : state) {
    page = frames.find(page)->second;
    page = (page + 1) % 1024;
    benchmark::DoNotOptimize(page);
  }
  count(state, state.iterations());
}
BENCHMARK(bare_map_lookups)->Name("bare/std_map_lookup/1024");

const bool kIsBuilt = at_elaboration([] {
  bench_machine = new BenchMachine("figures");
  bare = new Bare("bare");
});

}  // namespace
}  // namespace secmmu::testing
