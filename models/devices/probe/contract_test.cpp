// The probe, through the contract of a list subscriber.
#include <doctest/doctest.h>

#include "models/devices/test_contract.hpp"

using namespace secmmu;
using namespace secmmu::testing;

namespace {

// One open at a time: attach() refers into its list of subscriptions while it registers, and the list may move.
class ProbeUnderTest final : public DeviceUnderTest {
 public:
  explicit ProbeUnderTest(CallbackSet callbacks)
      : DeviceUnderTest(device_world().probe, callbacks), opening_(machine().arbiter(), "opening", "opening") {}
  Errno open(AddressSpace& mm) override {
    opening_.lock();
    const Errno result = DeviceUnderTest::open(mm);
    opening_.unlock();
    return result;
  }

 private:
  Mutex opening_;
};

}  // namespace

TEST_CASE("probe: it keeps the contract of a list subscriber on every kernel") {
  machine().reset();
  device_world().probe.clear_scripts();
  MmSurroundings surroundings;
  const auto make = [](contract::Surroundings& where) {
    CallbackSet has{Callback::start, Callback::end, Callback::release};
    if (where.core().behaviour().invalidate_page) has.add(Callback::invalidate_page);
    return std::make_unique<ProbeUnderTest>(has);
  };
  for (const contract::Breach& breach : run_contract(surroundings, make)) FAIL_CHECK(to_text(breach));
  machine().reset();
}
