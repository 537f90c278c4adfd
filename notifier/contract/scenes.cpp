#include "notifier/contract/scenes.hpp"

#include <fmt/format.h>

#include "notifier/contract/stage.hpp"

namespace secmmu::contract {
namespace {

constexpr unsigned kMaps = 8;     // of each task that maps
constexpr unsigned kChanges = 4;  // of each task that invalidates

void set_up(Stage& on) {
  on.play({[&] {
    on.fill(on.mm());
    on.open(on.mm());
  }});
}

// With nobody else about, what is there can be mapped, and the device can be given up and taken up again.
void wind_up(Stage& on) {
  on.play({[&] {
    on.fill(on.mm());
    on.ask_for_progress(on.mm());
    if (on.judge.open(on.mm())) on.close(on.mm());
  }});
}

void some_changes(Stage& on, bool blockable = true) {
  for (unsigned i = 0; i < kChanges; ++i) {
    on.pause(6'000);
    if (on.once_in(4))
      on.protect(on.mm(), on.any_range());
    else
      on.invalidate(on.mm(), on.any_range(), blockable);
    if (on.once_in(2)) on.fill(on.mm());
  }
}

// --- translations ---------------------------------------------------------------------------------------

void overlapping_ranges(Stage& on) {
  set_up(on);
  on.play({[&] { on.map_at_random(kMaps); }, [&] { on.map_at_random(kMaps); }, [&] { some_changes(on); },
           [&] { some_changes(on); }});
  wind_up(on);
}

// One task announces ranges within ranges, as a reaper does while its victim unmaps.
void nested_ranges(Stage& on) {
  set_up(on);
  on.play({[&] { on.map_at_random(kMaps); }, [&] { on.map_at_random(kMaps); },
           [&] {
             for (unsigned i = 0; i < kChanges; ++i)
               on.invalidate(on.mm(), on.any_range(), true, [&] {
                 on.invalidate(on.mm(), on.any_range(), true, [&] { on.invalidate(on.mm(), on.any_range()); });
                 on.pause(6'000);
               });
           }});
  wind_up(on);
}

void single_pages(Stage& on) {
  set_up(on);
  const auto changes = [&] {
    for (unsigned i = 0; i < 2 * kChanges; ++i) {
      on.pause(3'000);
      if (on.once_in(2))
        on.reclaim(on.mm(), on.any_page());
      else
        on.replace(on.mm(), on.any_page());
      if (on.once_in(2)) on.fill(on.mm());
    }
  };
  // Ranges beside them would hide much: whoever looks again because of a range does not fall for a single page.
  std::vector<Stage::Body> bodies{[&] { on.map_at_random(kMaps); }, [&] { on.map_at_random(kMaps); }, changes};
  if (on.once_in(2)) bodies.push_back([&] { some_changes(on); });
  on.play(std::move(bodies));
  wind_up(on);
}

// The first page, the last, one before, one past, and everything.
void borders(Stage& on) {
  set_up(on);
  constexpr std::uint64_t last = Surroundings::kPages - 1;
  const Vpn first = on.page(0);
  const PageRange ranges[] = {one_page(first),
                              one_page(on.page(last)),
                              {on.page(2), on.page(5)},
                              {on.page(0), on.page(2)},
                              {{first.value - 3}, first},
                              {on.page(last + 1), on.page(last + 4)},
                              {{first.value - 1}, on.page(1)},
                              {on.page(last), on.page(last + 3)},
                              kWholeSpace};
  on.play({[&] {
    for (const PageRange& range : ranges) {
      on.fill(on.mm());
      on.map_everything(on.mm());
      const std::vector<Vpn> before = on.held(on.mm());
      on.invalidate(on.mm(), range, true, [&] {
        if (!on.device->drops_only_what_it_must()) return;
        for (const Vpn page : before)
          if (!range.contains(page) && !on.device->held(on.mm(), page).present())
            on.judge.breach("drops-too-much", fmt::format("{} was dropped with the {} pages from page {} on",
                                                          on.judge.text_of(on.mm(), page), range.pages(),
                                                          static_cast<std::int64_t>(range.first.value - first.value)));
      });
    }
  }});
  wind_up(on);
}

void two_spaces(Stage& on) {
  AddressSpace& own = on.mm(0);
  AddressSpace& other = on.mm(1);
  const auto ask_untouched = [&](const std::vector<Vpn>& before) {
    if (!on.device->drops_only_what_it_must()) return;
    for (const Vpn page : before)
      if (!on.device->held(own, page).present())
        on.judge.breach("touched-by-other-space", on.judge.text_of(own, page) + " was dropped with the other's");
  };
  on.play({[&] {
             on.fill(own);
             on.open(own);
           },
           [&] {
             on.fill(other);
             on.open(other);
           }});
  on.play({[&] {
    on.map_everything(own);
    on.map_everything(other);
    const std::vector<Vpn> before = on.held(own);
    on.invalidate(other, on.any_range());
    ask_untouched(before);
  }});
  on.play({[&] { on.map_at_random(kMaps, 0); }, [&] { on.map_at_random(kMaps, 1); }, [&] { some_changes(on); },
           [&] {
             for (unsigned i = 0; i < kChanges; ++i) on.invalidate(other, on.any_range());
           }});
  on.play({[&] {
    on.fill(own);
    on.map_everything(own);
    const std::vector<Vpn> before = on.held(own);
    if (on.once_in(2))
      on.close(other);
    else
      on.surroundings.mmput(other);
    ask_untouched(before);
  }});
  wind_up(on);
}

// --- lifetime ---------------------------------------------------------------------------------------------

// The address space ends, and perhaps the driver unregisters at the same time, while others invalidate.
void end_of_space(Stage& on) {
  set_up(on);
  std::vector<Stage::Body> bodies{[&] { on.map_at_random(kMaps); }, [&] { some_changes(on); },
                                  [&] {
                                    on.pause(15'000);
                                    on.surroundings.mmput(on.mm());
                                  }};
  const bool together = on.once_in(2);
  if (together)
    bodies.push_back([&] {
      on.pause(20'000);
      on.close(on.mm());
    });
  on.play(std::move(bodies));
  on.play({[&] {
    on.map_at_random(2);
    if (!together) on.close(on.mm());
    on.map_at_random(2);
    on.wait_until_silent(on.mm());
    on.invalidate(on.mm(), on.any_range());
    on.judge.ask_gone(on.mm());
  }});
}

// Given up while a range may be open, and taken up again while others want to map. What happens in between nobody
// tells.
void close_and_open(Stage& on) {
  set_up(on);
  on.play({[&] { on.map_at_random(kMaps); }, [&] { on.map_at_random(kMaps); }, [&] { some_changes(on); },
           [&] {
             for (unsigned i = 0; i < 3; ++i) {
               on.pause(8'000);
               on.close(on.mm());
               if (on.once_in(2)) on.wait_until_silent(on.mm());
               on.invalidate(on.mm(), kWholeSpace);
               on.fill(on.mm());
               on.open(on.mm());
             }
           }});
  on.play({[&] { on.map_at_random(kMaps); }, [&] { some_changes(on); },
           [&] {
             on.pause(10'000);
             on.close(on.mm());
           }});
  on.play({[&] {
    on.open(on.mm());
    on.fill(on.mm());
    on.map_everything(on.mm());
    on.invalidate(on.mm(), on.any_range());
  }});
  wind_up(on);
}

// --- context ------------------------------------------------------------------------------------------------

void not_blocking(Stage& on) {
  if (on.kernel.start_may_fail ? !on.device->takes_non_blockable() : !on.kernel.blockable_flag) return;
  set_up(on);
  on.play({[&] { on.map_at_random(kMaps); }, [&] { on.map_at_random(kMaps); },
           [&] { some_changes(on, !on.kernel.start_may_fail); }, [&] { some_changes(on); }});
  wind_up(on);
}

// --- ageing -------------------------------------------------------------------------------------------------

void ageing(Stage& on) {
  const CallbackSet has = on.device->callbacks();
  const bool tests = on.kernel.test_young && has.has(Callback::test_young);
  const bool clears = on.kernel.clear_young && has.has(Callback::clear_young);
  const bool flushes = has.has(Callback::clear_flush_young);
  set_up(on);
  on.play({[&] {
    SpinLock& lock = on.surroundings.page_table_lock(on.mm());
    const auto ask = [&](std::string_view callback, const std::function<bool()>& question, bool expected,
                         std::string_view rule) {
      lock.lock();
      const bool young = question();
      lock.unlock();
      if (young != expected)
        on.judge.breach(rule, fmt::format("{} called a page {}", callback, young ? "young" : "old"));
    };
    const Vpn page = on.page(on.below(Surroundings::kPages - 2));
    const PageRange asked{page, page + (on.kernel.young_by_range ? 3 : 1)};
    const auto use = [&](Vpn used) {
      on.map(on.mm(), used, false);
      if (on.device->held(on.mm(), used).present()) on.device->use(on.mm(), used);
    };
    const auto test = [&] { return on.core.test_young(on.mm(), page); };
    const auto clear = [&] { return on.core.clear_young(on.mm(), asked); };
    const auto flush = [&] { return on.core.clear_flush_young(on.mm(), asked); };
    if (tests) {
      use(page);
      ask("test_young", test, true, "old-after-use");
      ask("the second test_young", test, true, "test-young-forgets");
    }
    if (clears) {
      use({asked.end.value - 1});
      ask("clear_young", clear, true, "old-after-use");
      ask("the second clear_young", clear, false, "young-not-forgotten");
    }
    if (flushes) {
      use({asked.end.value - 1});
      ask("clear_flush_young", flush, true, "old-after-use");
      ask("the second clear_flush_young", flush, false, "young-not-forgotten");
      if (tests) ask("test_young after clear_flush_young", test, false, "young-not-forgotten");
    }
  }});
  if (flushes)
    on.play({[&] { on.map_at_random(kMaps); }, [&] { some_changes(on); },
             [&] {
               SpinLock& lock = on.surroundings.page_table_lock(on.mm());
               for (unsigned i = 0; i < 2 * kChanges; ++i) {
                 on.pause(2'000);
                 lock.lock();
                 on.core.clear_flush_young(on.mm(), one_page(on.any_page()));
                 lock.unlock();
               }
             }});
  wind_up(on);
}

}  // namespace

const std::vector<Scene>& scenes() {
  static const std::vector<Scene> list = {
      {"overlapping-ranges", overlapping_ranges},
      {"nested-ranges", nested_ranges},
      {"single-pages", single_pages},
      {"borders", borders},
      {"two-spaces", two_spaces},
      {"end-of-space", end_of_space},
      {"close-and-open", close_and_open},
      {"not-blocking", not_blocking},
      {"ageing", ageing},
  };
  return list;
}

}  // namespace secmmu::contract
