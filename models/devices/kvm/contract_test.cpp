// KVM, through the contract of a list subscriber.
#include <array>
#include <map>
#include <set>
#include <string>

#include <doctest/doctest.h>

#include "models/devices/test_contract.hpp"

using namespace secmmu;
using namespace secmmu::testing;

namespace {

// Maps by an access of a virtual CPU that nobody else uses meanwhile.
class KvmUnderTest final : public DeviceUnderTest {
 public:
  KvmUnderTest(KvmDevice& device, CallbackSet callbacks) : DeviceUnderTest(device, callbacks) {}

  bool map(AddressSpace& mm, Vpn page, bool write, const contract::Look&) override {
    const unsigned cpu = take();
    const Errno result = access(cpu, mm, page, write);
    busy_[cpu] = false;
    return result == Errno::ok;
  }

 private:
  unsigned take() {
    for (;; machine().arbiter().step(Time{1'000'000}))
      for (unsigned cpu = 0; cpu < busy_.size(); ++cpu)
        if (!busy_[cpu]) {
          busy_[cpu] = true;
          return cpu;
        }
  }
  std::array<bool, 4> busy_{};
};

std::vector<contract::Breach> breaches_of(KvmDevice& device, const std::vector<std::string>& rules,
                                          const std::vector<std::string>& protocol, std::uint64_t seeds) {
  machine().reset();
  device.set_without(protocol);
  MmSurroundings surroundings;
  const auto make = [&device](contract::Surroundings& where) {
    CallbackSet has{Callback::start,       Callback::end,        Callback::release,   Callback::clear_flush_young,
                    Callback::clear_young, Callback::test_young, Callback::change_pte};
    if (where.core().behaviour().invalidate_page) has.add(Callback::invalidate_page);
    return std::make_unique<KvmUnderTest>(device, has);
  };
  auto breaches = run_contract(surroundings, make, {.kernels = {}, .seeds = seeds, .without = rules});
  device.set_without({});
  machine().reset();
  return breaches;
}

}  // namespace

TEST_CASE("kvm: without TLBs it keeps the contract on every kernel") {
  for (const contract::Breach& breach : breaches_of(device_world().bare, {}, {}, 1000)) FAIL_CHECK(to_text(breach));
}

// clear_young does not flush, so what goes through a TLB from then on is not noticed: so in Linux.
TEST_CASE("kvm: with TLBs it keeps the contract on every kernel, but for uses after clear_young") {
  for (const contract::Breach& breach : breaches_of(device_world().kvm, {"old-after-use"}, {}, 1000))
    FAIL_CHECK(to_text(breach));
  std::set<std::string> broken;
  for (const contract::Breach& breach : breaches_of(device_world().kvm, {}, {}, 100)) broken.insert(breach.rule);
  CHECK(broken == std::set<std::string>{"old-after-use"});
}

TEST_CASE("kvm: the contract notices which rule of its protocol is switched off") {
  const std::map<std::string, std::string> noticed_by = {
      {"active-count-check", "translation-in-open-range"},
      {"hull-covers-all-open-ranges", "translation-in-open-range"},
      {"sequence-check", "stale-after-end"},
      {"sequence-before-gup", "stale-after-end"},
      {"bump-sequence-at-end", "stale-after-end"},
      {"retry-under-mmu-lock", "translation-in-open-range"},
      {"zap-in-start", "translation-in-open-range"},
      {"zap-every-slot", "translation-in-open-range"},
      {"flush-remote-tlbs", "translation-in-open-range"},
      {"flush-before-unlock", "translation-in-open-range"},
      {"release-drops-all", "held-after-release"},
      {"host-writable-check", "writable-where-read-only"},
      {"host-level-check", ""},  // of large entries, which this device has not
      {"dirty-to-page", ""},     // where data are lost, not translations
      {"young-from-entry", "old-after-use"},
  };
  for (const ProtocolRule& rule : kvm_protocol()) {
    CAPTURE(rule.name);
    const std::string& expected = noticed_by.at(rule.name);
    KvmDevice& device = expected == "old-after-use" ? device_world().bare : device_world().kvm;
    const std::vector<std::string> excused =
        expected == "old-after-use" ? std::vector<std::string>{} : std::vector<std::string>{"old-after-use"};
    std::string broken;
    std::set<std::string> seen;
    for (const contract::Breach& breach : breaches_of(device, excused, {rule.name}, 400))
      if (seen.insert(breach.rule).second) broken += breach.rule + " ";
    CAPTURE(broken);
    CHECK(seen.count(expected) == (expected.empty() ? 0 : 1));
    if (expected.empty()) CHECK(seen.empty());
  }
}
