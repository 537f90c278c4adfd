#include "notifier/behaviour.hpp"

#include <algorithm>
#include <map>
#include <stdexcept>

#include <doctest/doctest.h>

using namespace secmmu;

namespace {

std::string word_of(const ParameterValue& value) {
  if (const bool* flag = std::get_if<bool>(&value)) return *flag ? "yes" : "no";
  return std::get<std::string>(value);
}

}  // namespace

TEST_CASE("each kernel's behaviour falls out of the table of changes") {
  // One line per behaviour, one column per kernel: read from the sources of these kernels, not from our table.
  const char* const kernels[] = {"v2.6.27", "v3.2",  "v3.5.6", "v3.6", "v3.7", "v3.9",
                                 "v3.15",   "v4.14", "v4.16",  "v6.1", "v6.10"};
  const std::string before = "unlink-then-call";
  const std::string after = "call-then-unlink";
  const std::string early = "before-mmap-lock";
  const std::string every = "under-all-locks";
  const std::string late = "under-mmap-lock";
  const std::map<std::string, std::vector<std::string>> expected{
      {"read_side", {"rcu", "rcu", "rcu", "rcu", "srcu", "srcu", "srcu", "srcu", "srcu", "srcu", "srcu"}},
      {"release_order", {before, before, after, after, after, before, after, after, after, after, after}},
      {"release_section",
       {"each-call", "each-call", "all-calls", "all-calls", "all-calls", "until-unlinked", "all-calls",
        "until-unlinked", "until-unlinked", "until-unlinked", "until-unlinked"}},
      {"unregister_order", {before, before, after, after, after, before, after, after, after, after, after}},
      {"unregister_copes_with_unlinked", {"no", "no", "no", "no", "no", "no", "yes", "yes", "yes", "yes", "yes"}},
      {"allocation", {early, early, early, early, every, early, early, early, early, late, late}},
      {"skips_empty_list", {"no", "no", "no", "no", "no", "no", "no", "no", "no", "yes", "yes"}},
      {"get_put", {"no", "no", "no", "no", "no", "no", "no", "no", "no", "yes", "yes"}},
      {"synchronize",
       {"absent", "absent", "absent", "absent", "absent", "absent", "absent", "callbacks", "callbacks", "sections",
        "sections"}},
      {"change_pte", {"no", "yes", "yes", "yes", "yes", "yes", "yes", "yes", "yes", "yes", "no"}},
      {"change_pte_fallback", {"no", "yes", "yes", "yes", "no", "no", "no", "no", "no", "no", "no"}},
      {"invalidate_page", {"yes", "yes", "yes", "yes", "yes", "yes", "yes", "no", "no", "no", "no"}},
      {"test_young", {"no", "yes", "yes", "yes", "yes", "yes", "yes", "yes", "yes", "yes", "yes"}},
      {"clear_young", {"no", "no", "no", "no", "no", "no", "no", "yes", "yes", "yes", "yes"}},
      {"young_by_range", {"no", "no", "no", "no", "no", "no", "no", "yes", "yes", "yes", "yes"}},
      {"start_may_fail", {"no", "no", "no", "no", "no", "no", "no", "no", "no", "yes", "yes"}},
      {"failed_start_rolls_back", {"no", "no", "no", "no", "no", "no", "no", "no", "no", "yes", "yes"}},
      {"blocking_checks", {"no", "no", "no", "no", "no", "no", "no", "no", "no", "yes", "yes"}},
      {"unregister_no_release", {"no", "no", "no", "no", "no", "no", "no", "yes", "yes", "no", "no"}},
      {"call_after_grace", {"no", "no", "no", "no", "no", "no", "no", "yes", "yes", "no", "no"}},
      {"blockable_flag", {"no", "no", "no", "no", "no", "no", "no", "no", "yes", "no", "no"}},
      {"invalidate_range", {"no", "no", "no", "no", "no", "no", "no", "yes", "yes", "yes", "no"}},
      {"only_end", {"no", "no", "no", "no", "no", "no", "no", "no", "yes", "yes", "no"}},
      {"intervals", {"no", "no", "no", "no", "no", "no", "no", "no", "no", "yes", "yes"}},
      {"interval_insert_asks", {"count", "count", "count", "count", "count", "count", "count", "count", "count", "users", "users"}},
      {"interval_remove_looks", {"unlocked", "unlocked", "unlocked", "unlocked", "unlocked", "unlocked", "unlocked", "unlocked", "unlocked", "locked", "locked"}},
      {"secondary_tlbs", {"no", "no", "no", "no", "no", "no", "no", "no", "no", "no", "yes"}},
  };
  const auto& rows = notifier_behaviour_table().rows;
  CHECK(rows.size() == expected.size());
  for (std::size_t column = 0; column < std::size(kernels); ++column) {
    const NotifierBehaviour behaviour = notifier_behaviour(*parse_kernel_version(kernels[column]));
    for (const Parameter& row : rows) {
      CAPTURE(kernels[column]);
      CAPTURE(row.name);
      const auto line = expected.find(row.name);
      REQUIRE(line != expected.end());
      CHECK(word_of(row.get(&behaviour)) == line->second.at(column));
    }
  }
}

TEST_CASE("the defaults are those of the newest known kernel") {
  const NotifierBehaviour newest = notifier_behaviour(known_kernels().back().version);
  for (const Parameter& row : notifier_behaviour_table().rows) {
    CAPTURE(row.name);
    CHECK(row.get(&newest) == row.fallback);
  }
}

TEST_CASE("the table of changes reads like a changelog") {
  const auto& changes = notifier_changes();
  std::map<std::string_view, KernelVersion> began;
  for (const Change& change : changes) {
    CAPTURE(change.behaviour);
    CAPTURE(to_text(change.since));
    const bool first = change.commit.empty();
    CHECK(first == (change.since == KernelVersion{2, 6, 27}));
    CHECK((first || (change.commit.size() >= 7 && change.commit.size() <= 12)));
    CHECK(change.sentence.size() > 10);
    CHECK(change.sentence.back() == '.');
    if (first) CHECK(began.emplace(change.behaviour, change.since).second);
  }
  CHECK(std::is_sorted(changes.begin(), changes.end(),
                       [](const Change& a, const Change& b) { return a.since < b.since; }));
  CHECK(began.size() == notifier_behaviour_table().rows.size());  // each behaviour has a beginning
}

TEST_CASE("there were no notifiers before v2.6.27") {
  CHECK_THROWS_AS(notifier_behaviour({2, 6, 26}), std::invalid_argument);
}
