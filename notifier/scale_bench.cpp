// Host time of the notifier core with many subscriptions and many address spaces: the growth over four sizes
// in docs/performance.md. Each benchmark runs once per size; its counters are nanoseconds for one of each.
#include <benchmark/benchmark.h>

#include <chrono>
#include <deque>

#include "notifier/intervals/interval_subscription.hpp"
#include "notifier/substrate/random.hpp"
#include "notifier/test_world.hpp"

using namespace secmmu;
using namespace secmmu::testing;

namespace {

class Mirror final : public IntervalSubscription {
 public:
  const std::string& name() const override {
    static const std::string word = "mirror";
    return word;
  }
  bool invalidate(const InvalidateRange&, std::uint64_t) override { return true; }
};

class Stopwatch {
 public:
  // Nanoseconds for each of `many` since the last call.
  double lap(std::size_t many) {
    const auto now = std::chrono::steady_clock::now();
    const double each = std::chrono::duration<double, std::nano>(now - last_).count() / static_cast<double>(many);
    last_ = now;
    return each;
  }

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

enum class Shape { disjoint, nested, random };

// Pages that interval `i` of `n` covers.
PageRange pages_of(Shape shape, std::uint64_t i, std::uint64_t n, RandomStream& random) {
  if (shape == Shape::disjoint) return {{i}, {i + 1}};
  if (shape == Shape::nested) return {{i}, {2 * n - i}};
  const std::uint64_t first = random.below(n);
  return {{first}, {first + 1 + random.below(64)}};
}

void intervals(benchmark::State& state, Shape shape) {
  const auto n = static_cast<std::uint64_t>(state.range(0));
  std::deque<Mirror> mirrors(n);  // not part of what is measured
  std::vector<std::uint64_t> order(n);
  RandomStream random(1, "scale");
  for (std::uint64_t i = 0; i < n; ++i) order[i] = i;
  const auto shuffle = [&] {
    for (std::uint64_t i = n; i > 1; --i) std::swap(order[i - 1], order[random.below(i)]);
  };
  constexpr std::size_t kPairs = 10'000;
  for (auto _ : state) {
    World world("v6.10");
    machine().arbiter().bus().clear_listeners();
    world.alone([&] {
      NotifierCore& core = world.core;
      shuffle();
      Stopwatch watch;
      for (const std::uint64_t i : order) {
        const PageRange pages = pages_of(shape, i, n, random);
        core.interval_insert(mirrors[i], world.mm, address_of(pages.first), pages.pages() * kPageSize);
      }
      state.counters["insert_ns"] = watch.lap(n);
      // The pages where the nesting is ten deep, and any page of the others.
      for (std::size_t i = 0; i < kPairs; ++i) {
        const Vpn page{shape == Shape::nested ? random.below(10) : random.below(n)};
        InvalidateRange range = world.range(true, one_page(page));
        core.invalidate_range_start(range);
        core.invalidate_range_end(range);
      }
      state.counters["pair_ns"] = watch.lap(kPairs);
      shuffle();
      watch.lap(1);
      for (const std::uint64_t i : order) core.interval_remove(mirrors[i]);
      state.counters["remove_ns"] = watch.lap(n);
    });
  }
}
void sizes(benchmark::internal::Benchmark* benchmark) {
  benchmark->RangeMultiplier(10)->Range(1'000, 1'000'000)->Iterations(1)->Unit(benchmark::kMillisecond);
}
BENCHMARK_CAPTURE(intervals, disjoint, Shape::disjoint)->Name("notifier/intervals/disjoint")->Apply(sizes);
BENCHMARK_CAPTURE(intervals, nested, Shape::nested)->Name("notifier/intervals/nested")->Apply(sizes);
BENCHMARK_CAPTURE(intervals, random, Shape::random)->Name("notifier/intervals/random")->Apply(sizes);

void list(benchmark::State& state) {
  const auto n = static_cast<std::size_t>(state.range(0));
  for (auto _ : state) {
    World world("v6.10");
    machine().arbiter().bus().clear_listeners();
    std::deque<Subscriber> subscribers;
    for (std::size_t i = 0; i < n; ++i) subscribers.emplace_back("s", CallbackSet{Callback::start, Callback::end});
    world.alone([&] {
      Stopwatch watch;
      for (Subscriber& one : subscribers) world.core.register_subscription(one, world.mm);
      state.counters["register_ns"] = watch.lap(n);
      constexpr std::size_t kPairs = 20;
      for (std::size_t i = 0; i < kPairs; ++i) {
        InvalidateRange range = world.range();
        world.core.invalidate_range_start(range);
        world.core.invalidate_range_end(range);
      }
      state.counters["pair_ns_per_subscriber"] = watch.lap(kPairs * n);
      for (auto one = subscribers.rbegin(); one != subscribers.rend(); ++one) world.core.unregister(*one, world.mm);
      state.counters["unregister_ns"] = watch.lap(n);
    });
  }
}
BENCHMARK(list)
    ->Name("notifier/list")
    ->RangeMultiplier(10)
    ->Range(10, 10'000)
    ->Iterations(1)
    ->Unit(benchmark::kMillisecond);

void processes(benchmark::State& state) {
  const auto n = static_cast<std::size_t>(state.range(0));
  for (auto _ : state) {
    World world("v6.10");
    machine().arbiter().bus().clear_listeners();
    std::deque<TestMm> spaces;
    std::deque<Subscriber> subscribers;
    for (std::size_t i = 0; i < n; ++i) {
      spaces.emplace_back(machine().arbiter(), world.core);
      subscribers.emplace_back("s", CallbackSet{Callback::start, Callback::end});
    }
    world.alone([&] {
      for (std::size_t i = 0; i < n; ++i) world.core.register_subscription(subscribers[i], spaces[i]);
      Stopwatch watch;
      constexpr std::size_t kRounds = 100;
      for (std::size_t round = 0; round < kRounds; ++round)
        for (TestMm& mm : spaces) {
          InvalidateRange range = world.range();
          range.mm = &mm;
          world.core.invalidate_range_start(range);
          world.core.invalidate_range_end(range);
        }
      state.counters["pair_ns"] = watch.lap(kRounds * n);
      for (std::size_t i = 0; i < n; ++i) world.core.unregister(subscribers[i], spaces[i]);
    });
  }
}
BENCHMARK(processes)
    ->Name("notifier/processes")
    ->RangeMultiplier(10)
    ->Range(1, 1'000)
    ->Iterations(1)
    ->Unit(benchmark::kMillisecond);

}  // namespace
