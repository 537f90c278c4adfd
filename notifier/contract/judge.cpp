#include "notifier/contract/judge.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "notifier/substrate/sync/lock.hpp"

namespace secmmu::contract {
namespace {

// What differs between two contexts of a task, in words; empty: nothing.
std::string difference(const Task::Context& found, const Task::Context& left) {
  if (found.locks != left.locks)
    return fmt::format("{} locks held instead of {}", left.locks.size(), found.locks.size());
  if (found.preempt_off != left.preempt_off) return "preemption off or on as it was not before";
  if (found.interrupts_off != left.interrupts_off) return "interrupts off or on as they were not before";
  if (found.non_blockable != left.non_blockable) return "another non-blockable depth";
  if (found.rcu != left.rcu || found.srcu.size() != left.srcu.size()) return "another depth of read sections";
  return {};
}

}  // namespace

Judge::Judge(Surroundings& surroundings, const std::vector<std::string>& without)
    : surroundings_(surroundings), without_(without) {}

void Judge::watch(SubscriberUnderTest& device) {
  device_ = &device;
  has_ = device.callbacks();
  Bus& bus = surroundings_.arbiter().bus();
  bus.listen<InvalidateStart>([this](const InvalidateStart& e, const Stamp&) { blockable_[e.id] = e.blockable; });
  // An interval has no end callback: nothing that it maps before the end of the range can be right.
  bus.listen<InvalidateEnd>([this](const InvalidateEnd& e, const Stamp&) {
    AddressSpace* const mm = mm_of(e.mm_id);
    if (mm != nullptr && has_.has(Callback::interval_invalidate) && open(*mm))
      ask_nothing_held(*mm, e.pages, "translation-in-open-range", "between start and end of its range");
  });
  bus.listen<CallbackBegin>([this](const CallbackBegin& e, const Stamp& at) {
    if (ours(e.subscriber)) begun(e, at);
  });
  bus.listen<CallbackEnd>([this](const CallbackEnd& e, const Stamp& at) {
    if (ours(e.subscriber)) returned(e, at);
  });
  bus.listen<MmReleaseBegin>([this](const MmReleaseBegin& e, const Stamp&) {
    if (AddressSpace* const mm = mm_of(e.mm_id)) leaving(*mm);
  });
  bus.listen<MmReleaseEnd>([this](const MmReleaseEnd& e, const Stamp&) {
    if (AddressSpace* const mm = mm_of(e.mm_id)) space_ended(*mm);
  });
  bus.listen<SleptInAtomic>([this](const SleptInAtomic& e, const Stamp& at) { slept(e, at); });
  bus.listen<LockOrderBroken>([this](const LockOrderBroken& e, const Stamp&) { breach("lock-order", e.story); });
  bus.listen<NotifierWarning>([this](const NotifierWarning& e, const Stamp&) {
    if (ours(e.subscriber)) breach("warned", e.what);
  });
}

bool Judge::excused(std::string_view rule) const {
  return std::find(without_.begin(), without_.end(), rule) != without_.end();
}

void Judge::breach(std::string_view rule, std::string sentence) {
  if (first_ || excused(rule)) return;
  first_.emplace();
  first_->rule = rule;
  first_->at = surroundings_.arbiter().now();
  first_->sentence = std::move(sentence);
}

AddressSpace* Judge::mm_of(std::uint32_t mm_id) {
  for (unsigned i = 0; i < Surroundings::kSpaces; ++i)
    if (surroundings_.mm(i).id() == mm_id) return &surroundings_.mm(i);
  return nullptr;
}

Judge::Bond Judge::bond(AddressSpace& mm) const {
  const auto it = spaces_.find(mm.id());
  return it == spaces_.end() ? Bond::closed : it->second.bond;
}

bool Judge::gone(AddressSpace& mm) const {
  const auto it = spaces_.find(mm.id());
  return it == spaces_.end() || it->second.bond == Bond::closed || it->second.released;
}

// --- what the scenes say ---------------------------------------------------------------------------

void Judge::opening(AddressSpace& mm) {
  ask_gone(mm);
  Space& fresh = space(mm.id());
  fresh.bond = Bond::open;
  fresh.released = false;
  fresh.silent = false;
  ++fresh.openings;
}

void Judge::leaving(AddressSpace& mm) {
  if (space(mm.id()).bond == Bond::open) space(mm.id()).bond = Bond::leaving;
}

void Judge::closed(AddressSpace& mm) {
  Space& left = space(mm.id());
  ask_nothing_held(mm, window(), left.released ? "mapped-after-release" : "held-after-close", "after close returned");
  left.bond = Bond::closed;
}

void Judge::silent(AddressSpace& mm) { space(mm.id()).silent = true; }

void Judge::changing(AddressSpace& mm, PageRange pages) {
  for (Vpn page = pages.first; page < pages.end; page = page + 1) ++space(mm.id()).pages[page].changing;
}

void Judge::changed(AddressSpace& mm, PageRange pages, std::string_view rule) {
  for (Vpn page = pages.first; page < pages.end; page = page + 1) {
    History& history = space(mm.id()).pages[page];
    --history.changing;
    history.told = rule;
  }
}

// --- questions ---------------------------------------------------------------------------------------

std::string Judge::text_of(AddressSpace& mm, Vpn page) const {
  const PageEntry held = device_->held(mm, page);
  const PageEntry entry = surroundings_.entry(mm, page);
  const auto text = [](PageEntry one) {
    return one.present() ? fmt::format("frame {}{}", one.frame.value, one.writable ? " for writing" : "") : "nothing";
  };
  return fmt::format("page {} of {} ({} is held, the page table has {})", page - surroundings_.first_page(), mm.name(),
                     text(held), text(entry));
}

void Judge::ask_fresh(AddressSpace& mm, PageRange pages, std::string_view after) {
  if (bond(mm) != Bond::open || first_) return;
  const PageRange asked = pages.intersect(window());
  for (Vpn page = asked.first; page < asked.end; page = page + 1) {
    const History& history = space(mm.id()).pages[page];
    const PageEntry held = device_->held(mm, page);
    if (history.changing != 0 || !held.present()) continue;
    const PageEntry entry = surroundings_.entry(mm, page);
    if (held.frame == entry.frame && (!held.writable || entry.writable)) continue;
    breach(held.frame == entry.frame ? "writable-where-read-only" : history.told,
           fmt::format("{} after {}", text_of(mm, page), after));
  }
}

void Judge::ask_nothing_held(AddressSpace& mm, PageRange pages, std::string_view rule, std::string_view when) {
  if (first_) return;
  const PageRange asked = pages.intersect(window());
  for (Vpn page = asked.first; page < asked.end; page = page + 1)
    if (device_->held(mm, page).present()) breach(rule, fmt::format("{} {}", text_of(mm, page), when));
}

void Judge::ask_gone(AddressSpace& mm) {
  if (gone(mm)) ask_nothing_held(mm, window(), "mapped-after-release", "was mapped after release or close");
}

// --- what events say -----------------------------------------------------------------------------------

void Judge::begun(const CallbackBegin& event, const Stamp& stamp) {
  const auto range = blockable_.find(event.range_id);
  running_[stamp.task].push_back({task(stamp).context(), event.callback, range == blockable_.end() || range->second});
  AddressSpace* const mm = mm_of(event.mm_id);
  if (mm == nullptr) return;
  if (space(event.mm_id).silent && event.callback != Callback::free_notifier)
    breach("callback-after-close", fmt::format("{} of {} was called after it was unregistered from {}",
                                               callback_name(event.callback), event.subscriber, event.mm));
  // Whatever was mapped since start is still there now: only another start would have taken it.
  if (event.callback == Callback::end && has_.has(Callback::start) && open(*mm))
    ask_nothing_held(*mm, event.pages, "translation-in-open-range", "between start and end of its range");
}

void Judge::returned(const CallbackEnd& event, const Stamp& stamp) {
  std::vector<Found>& stack = running_[stamp.task];
  if (stack.empty()) return;
  const Found found = std::move(stack.back());
  stack.pop_back();
  const std::string left = difference(found.context, task(stamp).context());
  if (!left.empty())
    breach("unbalanced-callback", fmt::format("{} returned with {}", callback_name(event.callback), left));
  if (event.callback == Callback::start || event.callback == Callback::interval_invalidate)
    judge_answer(event, found.blockable);
  AddressSpace* const mm = mm_of(event.mm_id);
  if (mm == nullptr || event.callback != Callback::release) return;
  ask_nothing_held(*mm, window(), "held-after-release", "when release returned");
  space(event.mm_id).released = true;
}

void Judge::judge_answer(const CallbackEnd& event, bool blockable) {
  if (event.result == Errno::ok) return;
  if (blockable)
    breach("refuses-blockable", fmt::format("answered {} to a start that may block", errno_name(event.result)));
  else if (event.result != Errno::eagain)
    breach("wrong-refusal", fmt::format("answered {} to a start that may not block", errno_name(event.result)));
  else if (has_.has(Callback::end))
    breach("refuses-with-end", "refused a start although it has an end callback");
}

void Judge::slept(const SleptInAtomic& event, const Stamp& stamp) {
  const Task::Context& context = task(stamp).context();
  const bool only_non_blockable = !stamp.in_interrupt && context.non_blockable > 0 && context.preempt_off == 0 &&
                                  context.interrupts_off == 0 && context.rcu == 0;
  const std::string_view rule = !only_non_blockable ? "sleeps-in-atomic"
                                : never_blocks_     ? "sleeps-though-never-blocks"
                                                    : "sleeps-non-blockable";
  const std::vector<Found>& stack = running_[stamp.task];
  const std::string where = stack.empty() ? "the driver" : std::string(callback_name(stack.back().callback));
  breach(rule, fmt::format("{}: {} may sleep, but it {}", where, event.what, event.why));
}

void Judge::space_ended(AddressSpace& mm) {
  Space& ended = space(mm.id());
  if (ended.bond == Bond::closed) return;
  ask_nothing_held(mm, window(), ended.released ? "mapped-after-release" : "held-after-exit",
                   "when its address space had released its subscribers");
  if (!excused("held-after-exit")) ended.released = true;  // else it may hold on until it is closed
}

}  // namespace secmmu::contract
