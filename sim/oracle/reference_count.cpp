// reference-count: somebody gave back or took a reference that was not there.
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
    });
  }

 private:
  void report(std::string_view count, std::uint64_t kind, const Stamp& stamp, const std::string& summary) {
    reports_.violation(info_, {ledger_.names().id_of(count), kind, 0}, stamp, [&](Violation& violation, Story& story) {
      violation.summary = summary;
      if (kind == 2) violation.mm = count;
      story.tell(moment_of(stamp), summary);
      story.tell_locks();
    });
  }
};

}  // namespace

RuleRow reference_count_rule() {
  return {{"reference-count", "A reference was given back that nobody held, or taken on something already dead.",
           "A reference is taken only where somebody else is known to hold one, and is given back exactly once; an "
           "address space is not freed while it has users.",
           R"(A count fell below zero, rose from zero, or an address space's structure was freed while somebody was
using its memory. What follows is a use of freed memory at some later time and place.

Where it comes from. An address space has two counts. mm_users counts who uses the memory; at zero it
is unmapped. mm_count counts who may name the structure (all users together are one of them, each
registration is one); at zero it is freed. A frame has a count of its own.

Where it is checked. In each get and put of a modelled count, and at mm_free.

The typical bug. A driver keeps a pointer to an address space with a reference of mm_count and uses
its memory (it must ask for a user first: mmget_not_zero); a put on an error path of a get that
failed; unregister called twice, each giving back the registration's reference.

How to fix it. Take mm_users with a function that fails at zero; pair each put with the get that
succeeded.

Legal, although it looks wrong: mm_count above zero long after mm_users fell to zero.)"},
          &make_rule<ReferenceCountRule>};
}

}  // namespace secmmu
