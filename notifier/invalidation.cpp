// Telling subscribers that PTEs are about to change, have changed, or that a TLB was flushed.
#include <fmt/format.h>

#include "notifier/events.hpp"
#include "notifier/intervals/intervals.hpp"
#include "notifier/notifier_core.hpp"

namespace secmmu {

namespace {

// While it is entered, the current task may not sleep although its context would let it.
class NonBlockable {
 public:
  NonBlockable(Arbiter& arbiter, bool applies) : context_(arbiter.current().context()), applies_(applies) {}
  void enter() {
    if (applies_) ++context_.non_blockable;
  }
  void leave() {
    if (applies_) --context_.non_blockable;
  }

 private:
  Task::Context& context_;
  bool applies_;
};

}  // namespace

Errno NotifierCore::invalidate_range_start(InvalidateRange& range) {
  require(range.blockable || behaviour_.start_may_fail, "an invalidation that may not block");
  if (range.blockable && behaviour_.blocking_checks) arbiter_.might_sleep("invalidate_range_start");
  AddressSpace& mm = *range.mm;
  range.id = next_range_++;
  arbiter_.bus().emit(InvalidateStart{mm.name(), mm.id(), range.id, range.pages, range.event, range.blockable});

  // Intervals first: a driver that has both relies on its sequence having moved when its start runs. One that
  // refuses has the intervals' half undone; a refusal from the list leaves that half open (so to this day).
  Errno answer = Errno::ok;
  if (intervals_of(mm) != nullptr && !tell_intervals(range)) answer = Errno::eagain;
  if (answer == Errno::ok && anybody_to_tell(mm, true)) answer = tell_start(range);
  if (range.blockable) answer = Errno::ok;  // who may block does not look at the answer

  arbiter_.bus().emit(InvalidateStarted{mm.name(), mm.id(), range.id, answer});
  return answer;
}

// Rule: a refusal does not stop the walk, and a subscriber does not learn that somebody else refused. So on
// failure everyone who has an end callback gets it, and who refuses may not have one (v5.12 on). Those
// ends run outside the non-blockable section.
Errno NotifierCore::tell_start(const InvalidateRange& range) {
  AddressSpace& mm = *range.mm;
  Errno failure = Errno::ok;
  const std::uint64_t section = read_lock();
  NonBlockable guard(arbiter_, !range.blockable && behaviour_.blocking_checks);
  for (ListSubscription* entry = first(mm); entry != nullptr; entry = next(mm, *entry)) {
    if (!entry->callbacks().has(Callback::start)) continue;
    CallbackEnd end = enter(*entry, mm, Callback::start, range.pages, range.id);
    guard.enter();
    const Errno answer = entry->invalidate_range_start(range);
    guard.leave();
    if (behaviour_.start_may_fail) end.result = answer;
    leave(end);
    if (end.result == Errno::ok) continue;
    judge_refusal(*entry, range, answer);
    failure = answer;
  }
  if (failure != Errno::ok && behaviour_.failed_start_rolls_back) {
    for (ListSubscription* entry = first(mm); entry != nullptr; entry = next(mm, *entry)) {
      if (!entry->callbacks().has(Callback::end)) continue;
      const CallbackEnd end = enter(*entry, mm, Callback::end, range.pages, range.id);
      entry->invalidate_range_end(range);
      leave(end);
    }
  }
  read_unlock(section);
  return failure;
}

// What a subscriber may answer: EAGAIN, to a range that may not block, if it has no end callback.
void NotifierCore::judge_refusal(const ListSubscription& subscription, const InvalidateRange& range, Errno answer) {
  if (range.blockable)
    warn(*range.mm, &subscription,
         fmt::format("answered {} to a start that may block; nobody looks at it", errno_name(answer)));
  else if (answer != Errno::eagain)
    warn(*range.mm, &subscription, fmt::format("answered {} to a start; only EAGAIN is allowed", errno_name(answer)));
  if (behaviour_.failed_start_rolls_back && subscription.callbacks().has(Callback::end))
    warn(*range.mm, &subscription, "refused a start although it has an end callback, which it now gets too");
}

void NotifierCore::invalidate_range_end(InvalidateRange& range) { end_of_range(range, false); }

void NotifierCore::invalidate_range_only_end(InvalidateRange& range) {
  require(behaviour_.only_end, "mmu_notifier_invalidate_range_only_end");
  end_of_range(range, true);
}

// Rule: a subscriber with invalidate_range gets it before its end, so that a driver that only has the former
// needs no end.
void NotifierCore::end_of_range(InvalidateRange& range, bool only_end) {
  if (range.blockable && behaviour_.blocking_checks) arbiter_.might_sleep("invalidate_range_end");
  AddressSpace& mm = *range.mm;
  arbiter_.bus().emit(InvalidateEnd{mm.name(), mm.id(), range.id, range.pages});
  if (intervals_of(mm) != nullptr) end_intervals(mm);
  if (anybody_to_tell(mm, true)) {
    const std::uint64_t section = read_lock();
    NonBlockable guard(arbiter_, !range.blockable && behaviour_.blocking_checks);
    for (ListSubscription* entry = first(mm); entry != nullptr; entry = next(mm, *entry)) {
      const CallbackSet has = entry->callbacks();
      if (behaviour_.invalidate_range && !only_end && has.has(Callback::invalidate_range)) {
        const CallbackEnd end = enter(*entry, mm, Callback::invalidate_range, range.pages, range.id);
        entry->invalidate_range(mm, range.pages);
        leave(end);
      }
      if (!has.has(Callback::end)) continue;
      const CallbackEnd end = enter(*entry, mm, Callback::end, range.pages, range.id);
      guard.enter();
      entry->invalidate_range_end(range);
      guard.leave();
      leave(end);
    }
    read_unlock(section);
  }
  arbiter_.bus().emit(InvalidateEnded{mm.name(), mm.id(), range.id});
}

void NotifierCore::invalidate_range(AddressSpace& mm, PageRange pages) {
  require(behaviour_.invalidate_range, "the callback invalidate_range");
  if (!anybody_to_tell(mm, false)) return;
  const std::uint64_t section = read_lock();
  for (ListSubscription* entry = first(mm); entry != nullptr; entry = next(mm, *entry)) {
    if (!entry->callbacks().has(Callback::invalidate_range)) continue;
    const CallbackEnd end = enter(*entry, mm, Callback::invalidate_range, pages, 0);
    entry->invalidate_range(mm, pages);
    leave(end);
  }
  read_unlock(section);
}

// Rule: a subscriber that hears of no invalidation cannot block one.
bool NotifierCore::has_blockable_notifiers(AddressSpace& mm) {
  require(behaviour_.blockable_flag, "mm_has_blockable_invalidate_notifiers");
  if (!anybody_to_tell(mm, false)) return false;
  bool answer = false;
  const std::uint64_t section = read_lock();
  for (ListSubscription* entry = first(mm); entry != nullptr && !answer; entry = next(mm, *entry)) {
    const CallbackSet has = entry->callbacks();
    const bool hears = has.has(Callback::invalidate_range) || has.has(Callback::start) || has.has(Callback::end);
    answer = hears && !entry->never_blocks();
  }
  read_unlock(section);
  return answer;
}

void NotifierCore::invalidate_page(AddressSpace& mm, Vpn page) {
  require(behaviour_.invalidate_page, "the callback invalidate_page");
  if (!anybody_to_tell(mm, false)) return;
  const std::uint64_t section = read_lock();
  for (ListSubscription* entry = first(mm); entry != nullptr; entry = next(mm, *entry)) {
    if (!entry->callbacks().has(Callback::invalidate_page)) continue;
    const CallbackEnd end = enter(*entry, mm, Callback::invalidate_page, one_page(page), 0);
    entry->invalidate_page(mm, page);
    leave(end);
  }
  read_unlock(section);
}

void NotifierCore::change_pte(AddressSpace& mm, Vpn page, Pfn frame, bool writable) {
  require(behaviour_.change_pte, "the callback change_pte");
  arbiter_.bus().emit(ChangePte{mm.name(), mm.id(), page, frame, writable});
  if (!anybody_to_tell(mm, false)) return;
  const std::uint64_t section = read_lock();
  for (ListSubscription* entry = first(mm); entry != nullptr; entry = next(mm, *entry)) {
    const CallbackSet has = entry->callbacks();
    if (has.has(Callback::change_pte)) {
      const CallbackEnd end = enter(*entry, mm, Callback::change_pte, one_page(page), 0);
      entry->change_pte(mm, page, frame, writable);
      leave(end);
    } else if (behaviour_.change_pte_fallback && has.has(Callback::invalidate_page)) {
      const CallbackEnd end = enter(*entry, mm, Callback::invalidate_page, one_page(page), 0);
      entry->invalidate_page(mm, page);
      leave(end);
    }
  }
  read_unlock(section);
}

void NotifierCore::arch_invalidate_secondary_tlbs(AddressSpace& mm, PageRange pages) {
  require(behaviour_.secondary_tlbs, "the callback arch_invalidate_secondary_tlbs");
  if (!anybody_to_tell(mm, false)) return;
  const std::uint64_t section = read_lock();
  for (ListSubscription* entry = first(mm); entry != nullptr; entry = next(mm, *entry)) {
    if (!entry->callbacks().has(Callback::secondary_tlbs)) continue;
    const CallbackEnd end = enter(*entry, mm, Callback::secondary_tlbs, pages, 0);
    entry->arch_invalidate_secondary_tlbs(mm, pages);
    leave(end);
  }
  read_unlock(section);
}

}  // namespace secmmu
