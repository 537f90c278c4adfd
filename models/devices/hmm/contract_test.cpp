// The HMM mirror, through the contract: an interval subscriber owes what a list subscriber owes.
#include <map>
#include <set>
#include <string>

#include <doctest/doctest.h>

#include "models/devices/test_contract.hpp"

using namespace secmmu;
using namespace secmmu::testing;

namespace {

std::vector<contract::Breach> breaches_without(const std::vector<std::string>& protocol, std::uint64_t seeds) {
  machine().reset();
  device_world().hmm.set_without(protocol);
  MmSurroundings surroundings;
  const auto make = [](contract::Surroundings&) {
    return std::make_unique<DeviceUnderTest>(device_world().hmm, CallbackSet{Callback::interval_invalidate});
  };
  auto breaches = run_contract(surroundings, make, {.kernels = {}, .seeds = seeds, .without = {}});
  device_world().hmm.set_without({});
  machine().reset();
  return breaches;
}

}  // namespace

TEST_CASE("hmm: it keeps the contract on every kernel that has interval subscriptions") {
  for (const contract::Breach& breach : breaches_without({}, 2000)) FAIL_CHECK(to_text(breach));
}

TEST_CASE("hmm: the contract notices which rule of its protocol is switched off") {
  const std::map<std::string, std::string> noticed_by = {
      {"read-begin-before-walk", "stale-after-flush"},
      {"wait-outside-lock", "stuck"},
      {"fault-for-write", "stuck"},
      {"retry-check", "translation-in-open-range"},
      {"retry-under-lock", "translation-in-open-range"},
      {"fill-under-lock", "translation-in-open-range"},
      {"write-only-if-pte-writable", "writable-where-read-only"},
      {"set-sequence", "translation-in-open-range"},
      {"invalidate-under-lock", "translation-in-open-range"},
      {"refuse-when-not-blockable", "sleeps-non-blockable"},
      {"drop-whole-range", "translation-in-open-range"},
      {"empty-before-remove", ""},
      {"dirty-to-page", ""},  // it is about pages, and knows nothing of what they hold
  };
  for (const ProtocolRule& rule : hmm_protocol()) {
    CAPTURE(rule.name);
    std::set<std::string> broken;
    for (const contract::Breach& breach : breaches_without({rule.name}, 400)) broken.insert(breach.rule);
    const std::string& expected = noticed_by.at(rule.name);
    std::string all;
    for (const std::string& name : broken) all += " " + name;
    INFO("noticed by" << all);
    CHECK(broken.count(expected) == (expected.empty() ? 0 : 1));
  }
}
