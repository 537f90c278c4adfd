#include "notifier/contract/stage.hpp"

#include <stdexcept>

#include <fmt/format.h>

namespace secmmu::contract {
namespace {

constexpr Time kLongest{1'000'000'000'000};    // a play takes some milliseconds
constexpr std::uint64_t kMostSteps = 200'000;  // and some thousand steps
constexpr Time kSettled{300'000'000};          // long enough for a grace period, whoever is stretched

// Actors that run on cores: one of each core first, so that a play has its tasks side by side.
std::vector<Task*> actors_of(const Arbiter& arbiter) {
  std::vector<Task*> actors;
  std::vector<std::vector<Task*>> by_core(arbiter.processors().size());
  for (const auto& task : arbiter.tasks())
    if (task->kind() == TaskKind::actor && task->processor_number() >= 0)
      by_core.at(static_cast<std::size_t>(task->processor_number())).push_back(task.get());
  for (std::size_t row = 0; row < 2; ++row)
    for (const std::vector<Task*>& core : by_core)
      if (row < core.size()) actors.push_back(core[row]);
  return actors;
}

}  // namespace

Stage::Stage(Surroundings& where, KernelVersion version, std::uint64_t seed, std::string_view scene,
             const SubscriberFactory& make, const std::vector<std::string>& without)
    : surroundings(where),
      arbiter(where.arbiter()),
      core(where.core()),
      kernel(core.behaviour()),
      judge(where, without),
      random_(seed, scene),
      actors_(actors_of(arbiter)) {
  arbiter.bus().clear_listeners();
  arbiter.set_strategy(nullptr);
  arbiter.reset();
  arbiter.set_stretch(static_cast<unsigned>(100 * below(4)), seed);
  hot_page_ = below(Surroundings::kPages);
  surroundings.begin(version);
  device = make(surroundings);
  judge.watch(*device);
}

Stage::~Stage() {
  arbiter.bus().clear_listeners();
  arbiter.reset();  // whoever is stuck is unwound while the device is still there
  arbiter.set_stretch(0, 0);
}

bool Stage::has_a_hook() const {
  const CallbackSet has = device->callbacks();
  return has.has(Callback::start) || (kernel.intervals && has.has(Callback::interval_invalidate)) ||
         (kernel.invalidate_range && has.has(Callback::invalidate_range)) ||
         (kernel.secondary_tlbs && has.has(Callback::secondary_tlbs));
}

void Stage::play(std::vector<Body> bodies) {
  if (judge.first()) return;
  if (bodies.size() > actors_.size())
    throw std::logic_error(fmt::format("the contract needs {} tasks on cores", bodies.size()));
  for (std::size_t i = 0; i < bodies.size(); ++i)
    arbiter.start(*actors_[i], std::move(bodies[i]), arbiter.now() + Time{below(5'000'000)});
  const RunEnd end = arbiter.run({arbiter.now() + kLongest, kMostSteps});
  if (end == RunEnd::limit)
    judge.breach("stuck", "somebody tries again and again and comes to no end");
  else if (!arbiter.unfinished().empty())
    judge.breach("stuck", arbiter.explain_waiting());
}

void Stage::pause(std::uint64_t most_ns) { arbiter.step(Time{1'000 * below(most_ns)}); }

// Mostly some pages of the window, up to its borders; sometimes beyond them, or all there is.
PageRange Stage::any_range() {
  if (once_in(12)) return kWholeSpace;
  if (once_in(12)) return {page(0), page(Surroundings::kPages)};
  const std::uint64_t pages = 1 + below(4);
  const Vpn first = {surroundings.first_page().value - 2 + below(Surroundings::kPages + 2)};
  return {first, first + pages};
}

// --- the device's side -----------------------------------------------------------------------------

void Stage::open(AddressSpace& mm) {
  judge.opening(mm);
  const Errno result = device->open(mm);
  if (result != Errno::ok) judge.breach("cannot-open", fmt::format("open answered {}", errno_name(result)));
}

void Stage::close(AddressSpace& mm) {
  judge.leaving(mm);
  device->close(mm);
  judge.closed(mm);
}

void Stage::wait_until_silent(AddressSpace& mm) {
  arbiter.sleep_until(arbiter.now() + kSettled);
  judge.silent(mm);
}

PageEntry Stage::look(AddressSpace& mm, Vpn page) {
  SpinLock& lock = surroundings.page_table_lock(mm);
  pause(300);
  lock.lock();
  const PageEntry seen = surroundings.entry(mm, page);
  lock.unlock();
  pause(once_in(3) ? 30'000 : 600);  // long enough for a whole invalidation to come and go
  return seen;
}

void Stage::map(AddressSpace& mm, Vpn page, bool write) {
  const bool was_gone = judge.gone(mm);
  const unsigned openings = judge.openings(mm);
  const bool mapped = device->map(mm, page, write, [this, &mm](Vpn asked) { return look(mm, asked); });
  if (mapped && was_gone && openings == judge.openings(mm))
    judge.breach("mapped-after-release", fmt::format("map said that it mapped {}", judge.text_of(mm, page)));
}

void Stage::map_at_random(unsigned times, unsigned space) {
  for (unsigned i = 0; i < times; ++i) {
    pause(4'000);
    const Vpn chosen = any_page();
    map(mm(space), chosen, device->writes() && once_in(2));
    judge.ask_gone(mm(space));
  }
}

void Stage::map_everything(AddressSpace& mm) {
  for (std::uint64_t i = 0; i < Surroundings::kPages; ++i)
    if (surroundings.entry(mm, page(i)).present()) map(mm, page(i), false);
}

std::vector<Vpn> Stage::held(AddressSpace& mm) const {
  std::vector<Vpn> pages;
  for (std::uint64_t i = 0; i < Surroundings::kPages; ++i)
    if (device->held(mm, page(i)).present()) pages.push_back(page(i));
  return pages;
}

void Stage::ask_for_progress(AddressSpace& mm) {
  if (!judge.open(mm)) return;
  judge.ask_fresh(mm, judge.window(), "everything had ended");
  for (std::uint64_t i = 0; i < Surroundings::kPages; ++i) {
    const PageEntry entry = surroundings.entry(mm, page(i));
    if (!entry.present()) continue;
    const bool write = entry.writable && device->writes() && once_in(2);
    const bool mapped = device->map(mm, page(i), write, [this, &mm](Vpn asked) { return look(mm, asked); });
    const PageEntry held = device->held(mm, page(i));
    if (!mapped || held.frame != entry.frame || (write && !held.writable))
      judge.breach("no-progress",
                   fmt::format("{} was to be mapped{} when all was quiet; map said {}", judge.text_of(mm, page(i)),
                               write ? " for writing" : "", mapped ? "yes" : "no"));
  }
  judge.ask_fresh(mm, judge.window(), "everything had ended");
}

// --- the memory manager's side -----------------------------------------------------------------------

PageEntry Stage::fresh_entry() { return {surroundings.frame(next_frame_++ % Surroundings::kFrames), !once_in(3)}; }

void Stage::enter_all(AddressSpace& mm, PageRange pages, const Change& how) {
  const PageRange inside = pages.intersect(judge.window());
  SpinLock& lock = surroundings.page_table_lock(mm);
  lock.lock();
  for (Vpn page = inside.first; page < inside.end; page = page + 1) {
    pause(100);
    surroundings.enter(mm, page, how(surroundings.entry(mm, page)));
  }
  flush_secondary(mm, pages);
  lock.unlock();
}

// With the flush of the CPUs' TLBs: under the page-table lock, before a page goes.
void Stage::flush_secondary(AddressSpace& mm, PageRange pages) {
  if (kernel.invalidate_range) core.invalidate_range(mm, pages);
  if (kernel.secondary_tlbs) core.arch_invalidate_secondary_tlbs(mm, pages);
}

bool Stage::change(AddressSpace& mm, PageRange pages, InvalidateEvent event, bool blockable, const Change& how,
                   const Body& within) {
  const bool has_start = device->callbacks().has(Callback::start);
  if (!mm.count().get_unless_zero()) return false;  // freed
  mm.mmap_lock().lock_read();
  InvalidateRange range;
  range.mm = &mm;
  range.pages = pages;
  range.event = event;
  range.blockable = blockable;
  // Where the kernel does not check whether the callbacks sleep, we do.
  const bool promised = kernel.blockable_flag && !core.has_blockable_notifiers(mm);
  const bool forbidden = promised || (!blockable && !kernel.blocking_checks);
  judge.tell_never_blocks(promised);
  unsigned& non_blockable = arbiter.current().context().non_blockable;
  non_blockable += forbidden ? 1 : 0;
  const Errno answer = core.invalidate_range_start(range);
  non_blockable -= forbidden ? 1 : 0;
  if (answer == Errno::ok) {
    if (has_start && judge.open(mm))
      judge.ask_nothing_held(mm, pages, "translation-in-open-range", "when the start of its range had returned");
    pause(1'500);
    if (within) within();
    const PageRange inside = pages.intersect(judge.window());
    judge.changing(mm, inside);
    enter_all(mm, pages, how);
    pause(1'500);
    non_blockable += forbidden ? 1 : 0;
    if (kernel.only_end && once_in(2))
      core.invalidate_range_only_end(range);
    else
      core.invalidate_range_end(range);
    non_blockable -= forbidden ? 1 : 0;
    judge.changed(mm, inside, has_start ? "stale-after-end" : "stale-after-flush");
    judge.ask_fresh(mm, pages, "end returned");
  }
  mm.mmap_lock().unlock_read();
  mm.drop_count();
  return answer == Errno::ok;
}

void Stage::fill(AddressSpace& mm) {
  SpinLock& lock = surroundings.page_table_lock(mm);
  lock.lock();
  for (std::uint64_t i = 0; i < Surroundings::kPages; ++i)
    if (!surroundings.entry(mm, page(i)).present()) surroundings.enter(mm, page(i), fresh_entry());
  lock.unlock();
}

bool Stage::invalidate(AddressSpace& mm, PageRange pages, bool blockable, const Body& within) {
  const bool to_nothing = once_in(3);
  return change(
      mm, pages, InvalidateEvent::unmap, blockable,
      [this, to_nothing](PageEntry) { return to_nothing ? PageEntry{} : fresh_entry(); }, within);
}

void Stage::protect(AddressSpace& mm, PageRange pages) {
  change(mm, pages, InvalidateEvent::protection_vma, true,
         [](PageEntry old) {
           return PageEntry{old.frame, false};
         },
         {});
}

void Stage::reclaim(AddressSpace& mm, Vpn page) {
  if (!kernel.invalidate_page) return;
  SpinLock& lock = surroundings.page_table_lock(mm);
  judge.changing(mm, one_page(page));
  lock.lock();
  surroundings.enter(mm, page, {});
  flush_secondary(mm, one_page(page));
  lock.unlock();
  core.invalidate_page(mm, page);
  judge.changed(mm, one_page(page), "stale-after-invalidate-page");
  judge.ask_fresh(mm, one_page(page), "invalidate_page returned");
}

void Stage::replace(AddressSpace& mm, Vpn page) {
  const PageEntry then = fresh_entry();
  SpinLock& lock = surroundings.page_table_lock(mm);
  if (kernel.change_pte && kernel.change_pte_fallback) {  // alone, under the lock, after the change
    judge.changing(mm, one_page(page));
    lock.lock();
    surroundings.enter(mm, page, then);
    pause(100);
    core.change_pte(mm, page, then.frame, then.writable);
    lock.unlock();
    judge.changed(mm, one_page(page), "stale-after-change-pte");
    judge.ask_fresh(mm, one_page(page), "change_pte returned");
  } else if (kernel.change_pte) {  // within a range, before the change
    change(
        mm, one_page(page), InvalidateEvent::clear, true, [then](PageEntry) { return then; },
        [&] {
          lock.lock();
          core.change_pte(mm, page, then.frame, then.writable);
          lock.unlock();
        });
  } else if (kernel.invalidate_page) {
    reclaim(mm, page);
    fill(mm);
  } else {
    change(mm, one_page(page), InvalidateEvent::clear, true, [then](PageEntry) { return then; }, {});
  }
}

}  // namespace secmmu::contract
