// Interval subscriptions: how they come and go, how ranges tell them, and what drivers ask (v5.5 on).
#include <algorithm>

#include <fmt/format.h>

#include "notifier/events.hpp"
#include "notifier/intervals/intervals.hpp"
#include "notifier/notifier_core.hpp"

namespace secmmu {

namespace {
constexpr auto kDataOf = [](const AddressSpace& mm) { return writes(ObjectKind::invalidation, mm.id()); };
}

void NotifierCore::note_sequence(AddressSpace& mm) {
  const Intervals& intervals = *mm.subscriptions->intervals;
  arbiter_.bus().emit(SequenceChanged{mm.name(), mm.id(), intervals.sequence, intervals.active});
}

// --- insertion -----------------------------------------------------------------------------------------

namespace {

// The last byte of [first, first + length); false if there is none or it does not exist.
bool last_of(VirtAddr first, std::uint64_t length, VirtAddr& last) {
  if (length == 0 || first.value > UINT64_MAX - (length - 1)) return false;
  last = first + (length - 1);
  return true;
}

}  // namespace

Errno NotifierCore::interval_insert(IntervalSubscription& subscription, AddressSpace& mm, VirtAddr first,
                                    std::uint64_t length) {
  require(behaviour_.intervals, "mmu_interval_notifier_insert");
  arbiter_.step(costs.list_step, reads(ObjectKind::subscriptions, mm.id()));
  if (intervals_of(mm) == nullptr) {
    mm.mmap_lock().lock_write();
    const Errno answer = add(nullptr, mm, nullptr);
    mm.mmap_lock().unlock_write();
    if (answer != Errno::ok) return answer;
  }
  VirtAddr last{0};
  if (!last_of(first, length, last)) return Errno::eoverflow;
  return insert(subscription, mm, first, last);
}

Errno NotifierCore::interval_insert_locked(IntervalSubscription& subscription, AddressSpace& mm, VirtAddr first,
                                           std::uint64_t length) {
  require(behaviour_.intervals, "mmu_interval_notifier_insert_locked");
  if (intervals_of(mm) == nullptr) {
    const Errno answer = add(nullptr, mm, nullptr);
    if (answer != Errno::ok) return answer;
  }
  VirtAddr last{0};
  if (!last_of(first, length, last)) return Errno::eoverflow;
  return insert(subscription, mm, first, last);
}

// Rule: who comes inside an open range cannot know whether it was hit, so it counts as hit: its readers wait
// for the end. While the tree is walked it does not even come in.
Errno NotifierCore::insert(IntervalSubscription& subscription, AddressSpace& mm, VirtAddr first, VirtAddr last) {
  const bool asks_users = behaviour_.interval_insert_asks == "users";
  const std::int64_t claims = asks_users ? mm.users().value() : mm.count().value();
  if (claims <= 0) {
    warn(mm, nullptr, fmt::format("{} inserted an interval into an mm that has no users", subscription.name()));
    return Errno::einval;
  }
  if (subscription.mm_ != nullptr) {
    warn(mm, nullptr, fmt::format("{} inserted an interval twice", subscription.name()));
    return Errno::einval;
  }
  mm.count().get();
  subscription.mm_ = &mm;
  subscription.first_ = first;
  subscription.last_ = last;
  subscription.serial_ = next_serial_++;

  Intervals& intervals = *mm.subscriptions->intervals;
  SpinLock& lock = mm.subscriptions->lock;
  lock.lock();
  arbiter_.step(costs.list_step, kDataOf(mm));
  const bool deferred = intervals.active != 0 && intervals.invalidating();
  if (deferred) {
    subscription.place_ = IntervalSubscription::Place::inserting;
    intervals.deferred.push_back(&subscription);
  } else {
    intervals.insert(subscription);
  }
  if (intervals.active != 0) {
    intervals.sequence |= 1;
    subscription.sequence_ = intervals.sequence;
  } else {
    subscription.sequence_ = intervals.sequence - 1;
  }
  arbiter_.bus().emit(
      IntervalInserted{mm.name(), mm.id(), subscription.name(), subscription.serial_, first, last, deferred});
  note_sequence(mm);
  lock.unlock();
  return Errno::ok;
}

// --- removal -------------------------------------------------------------------------------------------

// Rule: the walk holds no lock, so while the sequence is odd the tree stays as it is and the removal is left
// to the end of the ranges. Seeing the sequence move is not enough to leave: the end moves it first, and
// works on what was put off after that, under the lock.
void NotifierCore::interval_remove(IntervalSubscription& subscription) {
  AddressSpace& mm = *subscription.mm_;
  claim(mm, "was asked to forget an interval");
  arbiter_.might_sleep("mmu_interval_notifier_remove");
  Intervals& intervals = *mm.subscriptions->intervals;
  SpinLock& lock = mm.subscriptions->lock;
  std::uint64_t wait_for = 0;
  lock.lock();
  arbiter_.step(costs.list_step, kDataOf(mm));
  if (!intervals.invalidating()) {
    intervals.erase(subscription);
  } else if (subscription.place_ == IntervalSubscription::Place::inserting) {
    std::erase(intervals.deferred, &subscription);
    subscription.place_ = IntervalSubscription::Place::outside;
  } else {
    subscription.place_ = IntervalSubscription::Place::removing;
    intervals.deferred.push_back(&subscription);
    wait_for = intervals.sequence;
  }
  lock.unlock();

  if (wait_for != 0) {
    const bool locked = behaviour_.interval_remove_looks == "locked";
    intervals.sequence_changed.wait_until(
        [&] {
          if (locked) lock.lock();
          arbiter_.step(costs.list_step, reads(ObjectKind::invalidation, mm.id()));
          const bool over = intervals.sequence != wait_for;
          if (locked) lock.unlock();
          return over;
        },
        fmt::format("the open ranges of {} to end: sequence {} is odd", mm.name(), wait_for));
  }
  arbiter_.bus().emit(IntervalRemoved{mm.name(), mm.id(), subscription.name(), subscription.serial_});
  subscription.mm_ = nullptr;
  mm.drop_count();
}

// --- what ranges do ------------------------------------------------------------------------------------

// Linux looks for sleepers in the list's callbacks only. The promise to a range that may not block is the same here, so
// who breaks it is found here, too.
bool NotifierCore::call_invalidate(IntervalSubscription& subscription, const InvalidateRange& range,
                                   std::uint64_t sequence) {
  AddressSpace& mm = *range.mm;
  arbiter_.step(costs.callback_call);
  CallbackEnd end{mm.name(),
                  mm.id(),
                  subscription.name(),
                  subscription.serial_,
                  Callback::interval_invalidate,
                  range.pages,
                  range.id,
                  Errno::ok,
                  false};
  arbiter_.bus().emit(CallbackBegin{end.mm, end.mm_id, end.subscriber, end.serial, end.callback, end.pages, range.id});
  unsigned& non_blockable = arbiter_.current().context().non_blockable;
  const unsigned more = !range.blockable && behaviour_.blocking_checks ? 1 : 0;
  non_blockable += more;
  const bool done = subscription.invalidate(range, sequence);
  non_blockable -= more;
  if (!done) end.result = Errno::eagain;
  arbiter_.bus().emit(end);
  return done;
}

// Rule: counted first, whether it hits or not; only a hit makes the sequence odd. Each subscription gets
// the sequence of this range, to store it under its own lock. False: somebody would have had to wait, and
// the intervals' half of the range is closed again.
bool NotifierCore::tell_intervals(const InvalidateRange& range) {
  AddressSpace& mm = *range.mm;
  Intervals& intervals = *mm.subscriptions->intervals;
  SpinLock& lock = mm.subscriptions->lock;
  const std::uint64_t first = first_byte(range.pages);
  const std::uint64_t last = last_byte(range.pages);
  lock.lock();
  arbiter_.step(costs.list_step, kDataOf(mm));
  ++intervals.active;
  auto hits = intervals.tree.overlapping(first, last);
  IntervalSubscription* hit = hits.next();
  if (hit != nullptr) intervals.sequence |= 1;
  const std::uint64_t sequence = intervals.sequence;
  note_sequence(mm);
  lock.unlock();

  // Who finds nothing has left the sequence as it was, perhaps even: the tree may change, and is not looked at.
  for (; hit != nullptr; hit = hits.next()) {
    arbiter_.step(costs.list_step, reads(ObjectKind::subscriptions, mm.id()));
    IntervalSubscription& subscription = *hit;
    if (call_invalidate(subscription, range, sequence)) continue;
    if (range.blockable) {
      warn(mm, nullptr, fmt::format("{} refused an invalidation that may block", subscription.name()));
      continue;
    }
    end_intervals(mm);
    return false;
  }
  return true;
}

void NotifierCore::end_intervals(AddressSpace& mm) {
  Intervals& intervals = *mm.subscriptions->intervals;
  SpinLock& lock = mm.subscriptions->lock;
  lock.lock();
  arbiter_.step(costs.list_step, kDataOf(mm));
  // As unsigned as in Linux: below zero if the intervals came inside this range, and never zero again by itself.
  --intervals.active;
  const bool over = intervals.active == 0 && intervals.invalidating();
  if (over) ++intervals.sequence;
  note_sequence(mm);
  if (over) do_deferred(mm);
  lock.unlock();
  if (over) intervals.sequence_changed.wake_all();
}

// The list lock is held, the sequence is even.
void NotifierCore::do_deferred(AddressSpace& mm) {
  Intervals& intervals = *mm.subscriptions->intervals;
  while (!intervals.deferred.empty()) {
    arbiter_.step(costs.list_step, kDataOf(mm));
    IntervalSubscription& subscription = *intervals.deferred.back();
    intervals.deferred.pop_back();
    if (subscription.place_ == IntervalSubscription::Place::inserting) {
      intervals.insert(subscription);
      continue;
    }
    // Its remover has returned: on a real machine this is freed memory.
    if (subscription.mm_ == nullptr)
      arbiter_.bus().emit(IntervalTouched{mm.name(), mm.id(), subscription.name(), subscription.serial_});
    intervals.erase(subscription);
  }
}

// Rule: the end of the mm is one more range, over everything, that may block and so must be obeyed. The
// subscriptions stay until their owners remove them.
void NotifierCore::release_intervals(AddressSpace& mm) {
  InvalidateRange everything{&mm, kWholeSpace, InvalidateEvent::release};
  tell_intervals(everything);
  end_intervals(mm);
}

// --- what drivers ask ----------------------------------------------------------------------------------

// Rule: busy if the range that hit this subscription last is still open. The sequence is released only when
// all ranges of the mm are closed, so a reader may wait for ranges that do not concern it.
std::uint64_t NotifierCore::read_begin(IntervalSubscription& subscription) {
  AddressSpace& mm = *subscription.mm_;
  claim(mm, "was asked for its sequence");
  arbiter_.might_sleep("mmu_interval_read_begin");
  Intervals& intervals = *mm.subscriptions->intervals;
  SpinLock& lock = mm.subscriptions->lock;
  lock.lock();
  arbiter_.step(costs.list_step, reads(ObjectKind::invalidation, mm.id()));
  const std::uint64_t sequence = subscription.sequence_;
  const bool busy = sequence == intervals.sequence;
  lock.unlock();
  if (busy)
    intervals.sequence_changed.wait_until(
        [&] {
          arbiter_.step(costs.list_step, reads(ObjectKind::invalidation, mm.id()));
          return intervals.sequence != sequence;
        },
        fmt::format("the open ranges of {} to end: sequence {} is odd", mm.name(), sequence));
  arbiter_.bus().emit(IntervalReadBegin{mm.name(), mm.id(), subscription.name(), subscription.serial_, sequence, busy});
  return sequence;
}

bool NotifierCore::read_retry(const IntervalSubscription& subscription, std::uint64_t sequence) {
  const AddressSpace& mm = *subscription.mm_;
  arbiter_.step(costs.list_step, reads(ObjectKind::invalidation, mm.id()));
  const bool again = subscription.sequence_ != sequence;
  arbiter_.bus().emit(
      IntervalReadRetry{mm.name(), mm.id(), subscription.name(), subscription.serial_, sequence, again});
  return again;
}

bool NotifierCore::check_retry(const IntervalSubscription& subscription, std::uint64_t sequence) {
  arbiter_.step(costs.list_step, reads(ObjectKind::invalidation, subscription.mm()->id()));
  return subscription.sequence_ != sequence;
}

void NotifierCore::set_sequence(IntervalSubscription& subscription, std::uint64_t sequence) {
  arbiter_.step(costs.list_step, kDataOf(*subscription.mm_));
  subscription.sequence_ = sequence;
}

}  // namespace secmmu
