// unbalanced-range: the start and the end of an invalidation do not pair.
#include <fmt/format.h>

#include "sim/oracle/translation_rule.hpp"

namespace secmmu {
namespace {

class UnbalancedRange final : public Rule {
 public:
  using Rule::Rule;

  void listen(Bus& bus) override {
    bus.listen<InvalidateEnd>([this](const InvalidateEnd& e, const Stamp& stamp) { ended(e, stamp); });
    bus.listen<CallbackBegin>([this](const CallbackBegin& e, const Stamp& stamp) {
      if (e.callback == Callback::end) told_of_end(e, stamp);
    });
    bus.listen<MmFreed>([this](const MmFreed& e, const Stamp& stamp) {
      if (const Mm* mm = ledger_.mm(e.mm_id)) still_open(*mm, stamp, fmt::format("{} was freed", e.mm));
    });
    bus.listen<DeviceRangeActive>([this](const DeviceRangeActive& e, const Stamp& stamp) { counted(e, stamp); });
  }

  void finish(const RunEnding& ending, const Stamp& stamp) override {
    if (!ending.complete || reports_.count("deadlock") != 0) return;  // then nobody could have closed it
    for (const Mm& mm : ledger_.mms()) still_open(mm, stamp, "the run ended");
  }

 private:
  void ended(const InvalidateEnd& e, const Stamp& stamp) {
    const Range* range = ledger_.range(e.id);
    std::string wrong;
    if (range == nullptr)
      wrong = "nobody announced its start";
    else if (range->mm != e.mm_id)
      wrong = fmt::format("invalidation {} belongs to {}", e.id, ledger_.mm_text(range->mm));
    else if (range->state == Range::State::refused)
      wrong = "its start was refused: who was refused calls no end";
    else if (range->ends > 1)
      wrong = "it has ended already";
    else if (range->pages != e.pages)
      wrong = fmt::format("its start was for {}", to_text(range->pages));
    if (wrong.empty()) return;
    reports_.violation(info_, {0, e.mm_id, e.id != 0 ? e.id : e.pages.first.value}, stamp,
                       [&](Violation& violation, Story& story) {
                         violation.mm = e.mm;
                         violation.pages = e.pages;
                         violation.summary = fmt::format("an end was announced for invalidation {} of {} {}, but {}",
                                                         e.id, e.mm, to_text(e.pages), wrong);
                         if (range != nullptr) tell_range_only(story, *range);
                         story.tell(moment_of(stamp), fmt::format("announced the end of {}", to_text(e.pages)));
                         story.tell_locks();
                       });
  }

  // The kernel excludes everybody between start and end while the list grows; so who is told of an end was
  // there at the start.
  void told_of_end(const CallbackBegin& e, const Stamp& stamp) {
    const Range* range = ledger_.range(e.range_id);
    if (range == nullptr) return;  // said by ended()
    const Registration* registration = ledger_.registration(e.serial);
    bool started = false;
    for (const Range::Call& call : range->calls) started |= call.serial == e.serial;
    const bool came_later =
        registration->registered.happened() && registration->registered.number > range->announced.number;
    if (started || (!registration->told_start && !came_later)) return;
    reports_.violation(info_, {e.serial, e.mm_id, e.range_id}, stamp, [&](Violation& violation, Story& story) {
      violation.device = e.subscriber;
      violation.mm = e.mm;
      violation.pages = e.pages;
      violation.summary =
          fmt::format("{} is told of the end of invalidation {} of {} {}, of whose start it was not told", e.subscriber,
                      e.range_id, e.mm, to_text(e.pages));
      tell_registration(story, ledger_, Holder::device(registration->device), e.mm_id);
      tell_range_only(story, *range);
      story.tell(moment_of(stamp), fmt::format("called {}'s end", e.subscriber));
      story.tell_locks();
    });
  }

  void still_open(const Mm& mm, const Stamp& stamp, const std::string& when) {
    for (const std::uint32_t index : mm.open) {
      const Range& range = ledger_.range_at(index);
      reports_.violation(info_, {0, mm.id, range.id}, stamp, [&](Violation& violation, Story& story) {
        violation.mm = ledger_.mm_text(mm.id);
        violation.pages = range.pages;
        violation.summary = fmt::format("{} while invalidation {} of {} {} was still open", when, range.id,
                                        violation.mm, to_text(range.pages));
        violation.task = story.task(range.announced.task);
        tell_range_only(story, range);
        story.tell(moment_of(stamp), when);
        story.tell_locks();
      });
    }
  }

  void counted(const DeviceRangeActive& e, const Stamp& stamp) {
    if (e.active >= 0) return;
    reports_.violation(
        info_, {ledger_.names().id_of(e.device), e.mm_id, UINT64_MAX}, stamp, [&](Violation& violation, Story& story) {
          violation.device = e.device;
          violation.mm = e.mm;
          violation.summary = fmt::format("{}'s count of open ranges of {} fell to {}", e.device, e.mm, e.active);
          tell_registration(story, ledger_, Holder::device(ledger_.names().id_of(e.device)), e.mm_id);
          story.tell(moment_of(stamp), fmt::format("the count fell to {}", e.active));
          story.tell_locks();
        });
  }

  void tell_range_only(Story& story, const Range& range) {
    story.tell(range.announced,
               fmt::format("announced invalidation {} of {} {} ({})", range.id, ledger_.mm_text(range.mm),
                           to_text(range.pages), invalidate_event_name(range.event)));
    for (const Range::Call& call : range.calls)
      story.tell(call.end, fmt::format("{}'s start returned {}", ledger_.text(call.device), errno_name(call.result)));
    story.tell(range.end, fmt::format("announced the end of invalidation {}", range.id));
    story.tell(range.ended,
               range.state == Range::State::refused ? "the start was refused" : "every subscriber has been told");
  }
};

}  // namespace

RuleRow unbalanced_range_rule() {
  return {{"unbalanced-range", "An invalidation was ended without a start, or started and never ended.",
           "Each invalidate_range_start that succeeded is followed by exactly one invalidate_range_end for the same "
           "range, and each subscriber hears both or neither.",
           R"(Devices count open ranges: start adds one, end takes one away, and they serve no fault while the
count is above zero. An end without a start makes the count negative, so that the next real
invalidation is not seen as open; a start without an end stops the device's faults for good.

Where it comes from. Start and end come in pairs, with two exceptions: a start that may not block
and was refused gets no end from its caller, and who unregisters may lose the end of a start. A
new subscriber never hears half a pair: mm_take_all_locks excludes everybody who is in between.

Where it is checked. At invalidate_end: the range must be open, and the same. At an end callback:
this subscriber heard the start. At device_range_active: never below zero. When the address space
is freed, and at the end of the run: no range is open.

The typical bug. An error path that leaves between start and end; an end after a refused start; a
registration that does not wait for invalidations in progress; a driver that undoes a start twice.

How to fix it. One exit path in the kernel code; in a driver, count only what was answered with ok.

Legal, although it looks wrong: nested and overlapping ranges, also of one task; ends in another
order than starts; ends to those who were called before somebody refused.)"},
          &make_rule<UnbalancedRange>};
}

}  // namespace secmmu
