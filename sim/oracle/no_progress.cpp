// no-progress: a device's fault is retried without end, or is never finished.
#include <fmt/format.h>

#include "sim/oracle/translation_rule.hpp"

namespace secmmu {
namespace {

class NoProgress final : public Rule {
 public:
  using Rule::Rule;

  void listen(Bus& bus) override {
    bus.listen<DeviceFaultBegin>([this](const DeviceFaultBegin& e, const Stamp& stamp) { began(e, stamp); });
    bus.listen<DeviceFaultRetry>([this](const DeviceFaultRetry& e, const Stamp& stamp) { retried(e, stamp); });
    bus.listen<DeviceFaultEnd>(
        [this](const DeviceFaultEnd& e, const Stamp&) { erase(ledger_.names().id_of(e.device), e.id); });
  }

  void reset() override { open_.clear(); }

  void finish(const RunEnding& ending, const Stamp& stamp) override {
    if (!ending.complete || reports_.count("deadlock") != 0) return;
    for (const Fault& fault : open_)
      report(fault, stamp,
             fmt::format("{} never got an answer to its fault at {} of {}: the run ended after {} retries",
                         ledger_.text(fault.device), to_text(address_of(fault.page)), ledger_.mm_text(fault.mm),
                         fault.retries));
  }

 private:
  struct Fault {
    Names::Id device = 0;
    std::uint64_t id = 0;
    std::uint32_t mm = 0;
    Vpn page;
    bool write = false;
    std::uint64_t retries = 0;
    bool reported = false;
    Moment begun, first_retry, last_retry;
    Names::Id why = 0;
  };

  // A device has a fault or two per context: a short list, the newest last.
  Fault* find(Names::Id device, std::uint64_t id) {
    for (std::size_t at = open_.size(); at-- > 0;)
      if (open_[at].id == id && open_[at].device == device) return &open_[at];
    return nullptr;
  }
  void erase(Names::Id device, std::uint64_t id) {
    if (Fault* fault = find(device, id)) open_.erase(open_.begin() + (fault - open_.data()));
  }

  void began(const DeviceFaultBegin& e, const Stamp& stamp) {
    const Names::Id device = ledger_.names().id_of(e.device);
    erase(device, e.id);
    open_.push_back({device, e.id, e.mm_id, e.page, e.write, 0, false, moment_of(stamp), {}, {}, 0});
  }

  void retried(const DeviceFaultRetry& e, const Stamp& stamp) {
    Fault* fault = find(ledger_.names().id_of(e.device), e.id);
    if (fault == nullptr) return;
    if (fault->retries++ == 0) fault->first_retry = moment_of(stamp);
    fault->last_retry = moment_of(stamp);
    fault->why = ledger_.names().id_of(e.why);
    if (fault->retries <= reports_.options().most_retries || fault->reported) return;
    fault->reported = true;
    report(*fault, stamp,
           fmt::format("{}'s fault at {} of {} was retried {} times and goes on ({})", e.device,
                       to_text(address_of(e.page)), e.mm, fault->retries, e.why));
  }

  void report(const Fault& fault, const Stamp& stamp, const std::string& summary) {
    if (fault.reported && stamp.task == UINT32_MAX) return;  // said while it ran
    reports_.violation(
        info_, {fault.device, fault.mm, fault.page.value}, stamp, [&](Violation& violation, Story& story) {
          violation.device = ledger_.text(fault.device);
          violation.mm = ledger_.mm_text(fault.mm);
          violation.pages = one_page(fault.page);
          violation.summary = summary;
          violation.task = story.task(fault.begun.task);
          story.tell(fault.begun, fmt::format("{} missed {} of {} for {}: fault {}", violation.device,
                                              to_text(address_of(fault.page)), violation.mm,
                                              fault.write ? "writing" : "reading", fault.id));
          story.tell(fault.first_retry, "retried for the first time");
          if (fault.retries > 1)
            story.tell(fault.last_retry,
                       fmt::format("retried for the {}th time: {}", fault.retries, ledger_.text(fault.why)));
          if (const Mm* mm = ledger_.mm(fault.mm))
            for (const std::uint32_t index : mm->open)
              tell_range(story, ledger_, ledger_.range_at(index), Holder::device(fault.device));
          story.tell_locks();
        });
  }

  std::vector<Fault> open_;
};

}  // namespace

RuleRow no_progress_rule() {
  return {
      {"no-progress", "A device's fault was retried without end, or never got an answer.",
       "Each fault of a device ends, with a translation or with an error; who gives it up for an invalidation comes "
       "back to it when the range has ended.",
       R"(A device missed, and its driver began the fault again more than 1,000 times (the limit is a
parameter), or the run ended, nothing was left to do, and the fault still had no answer.

Where it comes from. A fault that meets an open invalidation gives up and tries again later. That is
the protocol; but somebody must wake it when the range ends, and invalidations must not follow one
another so closely that it never finds a gap.

Where it is checked. At each device_fault_retry; and at the end of a run that was not cut short. A
run that ended in a deadlock is not asked: its story says more.

The typical bug. The wake-up at the end of the range is missing, or comes before the waiter waits; the
count of ranges never falls to zero (see unbalanced-range); the fault's check can never succeed
(it asks for a writable PTE and never asks the kernel to make one).

How to fix it. Wake in the end callback after the count was changed; after some retries fall back to a
path that holds what it needs (the mmap lock).

Legal, although it looks wrong: many retries while many ranges come and go; a fault that ends with an
error.)"},
      &make_rule<NoProgress>};
}

}  // namespace secmmu
