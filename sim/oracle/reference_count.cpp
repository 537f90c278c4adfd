// reference-count: somebody gave back or took a reference that was not there, or never gave one back.
#include <map>
#include <string>

#include <fmt/format.h>

#include "sim/oracle/rule.hpp"

namespace secmmu {
namespace {

class ReferenceCountRule final : public Rule {
 public:
  using Rule::Rule;

  void listen(Bus& bus) override {
    bus.listen<RefcountUnderflow>([this](const RefcountUnderflow& e, const Stamp& stamp) {
      report(e.count, 0, stamp, fmt::format("a reference of {} was given back that nobody held", e.count));
    });
    bus.listen<RefcountRevived>([this](const RefcountRevived& e, const Stamp& stamp) {
      report(e.count, 1, stamp,
             fmt::format("a reference of {} was taken although the count was already zero", e.count));
    });
    bus.listen<MmFreed>([this](const MmFreed& e, const Stamp& stamp) {
      if (e.users > 0) report(e.mm, 2, stamp, fmt::format("{} was freed while it had {} users", e.mm, e.users));
      for (const auto& [serial, subscriber] : spaces_[e.mm_id].holders)
        report(e.mm, 3, stamp, fmt::format("{} was freed while {} was subscribed to it", e.mm, subscriber));
      spaces_.erase(e.mm_id);
    });
    bus.listen<FreedMmUsed>([this](const FreedMmUsed& e, const Stamp& stamp) {
      report(e.mm, 5, stamp, fmt::format("{} {} although its structure had been freed", e.mm, e.what));
    });
    bus.listen<MmReleaseEnd>([this](const MmReleaseEnd& e, const Stamp&) {
      Space& space = spaces_[e.mm_id];
      space.name = e.mm;
      space.ended = true;
    });
    bus.listen<Registered>(
        [this](const Registered& e, const Stamp&) { spaces_[e.mm_id].holders[e.serial] = e.subscriber; });
    bus.listen<IntervalInserted>(
        [this](const IntervalInserted& e, const Stamp&) { spaces_[e.mm_id].holders[e.serial] = e.subscriber; });
    bus.listen<UnregisterEnd>([this](const UnregisterEnd& e, const Stamp&) { give_back(e.mm_id, e.serial); });
    bus.listen<IntervalRemoved>([this](const IntervalRemoved& e, const Stamp&) { give_back(e.mm_id, e.serial); });
    bus.listen<SubscriptionFreed>([this](const SubscriptionFreed& e, const Stamp&) { give_back(e.mm_id, e.serial); });
    bus.listen<SubscriptionLeft>([this](const SubscriptionLeft& e, const Stamp&) { give_back(e.mm_id, e.serial); });
  }

  void reset() override { spaces_.clear(); }
  // A driver that is still subscribed may hold the structure for as long as it likes; nobody else may.
  void finish(const RunEnding& ending, const Stamp& stamp) override {
    if (!ending.complete) return;
    for (const auto& [id, space] : spaces_)
      if (space.ended && space.holders.empty())
        report(
            space.name, 4, stamp,
            fmt::format("mm_count of {} never fell to zero: it has ended and nobody is subscribed to it", space.name));
  }

 private:
  struct Space {
    std::string name;
    bool ended = false;                            // its users are gone, its subscribers are released
    std::map<std::uint64_t, std::string> holders;  // subscriptions, each with a reference of mm_count
  };
  void give_back(std::uint32_t mm_id, std::uint64_t serial) {
    if (const auto space = spaces_.find(mm_id); space != spaces_.end()) space->second.holders.erase(serial);
  }

  void report(std::string_view count, std::uint64_t kind, const Stamp& stamp, const std::string& summary) {
    reports_.violation(info_, {ledger_.names().id_of(count), kind, 0}, stamp, [&](Violation& violation, Story& story) {
      violation.summary = summary;
      if (kind >= 2) violation.mm = count;
      story.tell(moment_of(stamp), summary);
      story.tell_locks();
    });
  }

  std::map<std::uint32_t, Space> spaces_;  // by the address space
};

}  // namespace

RuleRow reference_count_rule() {
  return {
      {"reference-count", "A reference was given back that nobody held, taken on something dead, or never given back.",
       "A reference is taken only where somebody else is known to hold one, and is given back exactly once; an "
       "address space is not freed while it has users or subscribers, and it is freed when the last of them has gone.",
       R"(A count fell below zero, rose from zero, or an address space's structure was freed while somebody was
using its memory. What follows is a use of freed memory at some later time and place.

Where it comes from. An address space has two counts. mm_users counts who uses the memory; at zero it
is unmapped. mm_count counts who may name the structure (all users together are one of them, each
registration is one); at zero it is freed. A frame has a count of its own.

Where it is checked. In each get and put of a modelled count, at mm_free, whenever somebody comes to
the subscriptions of an address space, and at the end of a run in which everybody came to an end: an
address space that has ended, to which nobody is subscribed, and whose structure is still there, has
lost a reference.

The typical bug. A driver keeps a pointer to an address space with a reference of mm_count and uses
its memory (it must ask for a user first: mmget_not_zero); a put on an error path of a get that
failed; unregister called twice, each giving back the registration's reference.

How to fix it. Take mm_users with a function that fails at zero; pair each put with the get that
succeeded.

Legal, although it looks wrong: mm_count above zero long after mm_users fell to zero, while a driver
is still subscribed.)"},
      &make_rule<ReferenceCountRule>};
}

}  // namespace secmmu
