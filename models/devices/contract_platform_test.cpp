// The contract in a program of its own, to which it brings a machine: what docs/foreign-device.md shows.
#include <doctest/doctest.h>

#include <memory>
#include <set>
#include <string>

#include "models/test_platform.hpp"
#include "notifier/contract/contract.hpp"

using namespace secmmu;

namespace {

// Says that it is registered, and maps nothing.
class Idle final : public contract::SubscriberUnderTest {
 public:
  std::string_view name() const override { return "idle"; }
  CallbackSet callbacks() const override { return {Callback::start, Callback::end}; }
  Errno open(AddressSpace&) override { return Errno::ok; }
  void close(AddressSpace&) override {}
  bool map(AddressSpace&, Vpn, bool, const contract::Look&) override { return false; }
  contract::PageEntry held(AddressSpace&, Vpn) const override { return {}; }
};

}  // namespace

TEST_CASE("contract: it brings a machine to a program that has none") {
  testing::in_child([] {
    const auto make = [](contract::Surroundings&) { return std::make_unique<Idle>(); };
    std::set<std::string> kernels;
    for (const contract::Breach& breach : contract::run_contract(make, {.kernels = {}, .seeds = 50, .without = {}})) {
      CHECK(breach.rule == "no-progress");
      kernels.insert(breach.kernel);
    }
    CHECK(kernels.size() == known_kernels().size());
  });
}
