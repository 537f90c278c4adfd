// The GRU, through the contract of a list subscriber, and the one rule that it breaks as Linux's does.
#include <array>
#include <map>
#include <set>
#include <string>

#include <doctest/doctest.h>

#include "models/devices/test_contract.hpp"

using namespace secmmu;
using namespace secmmu::testing;

namespace {

// Maps by a program of one access, in a context that nobody else uses meanwhile. Contexts stay loaded in every other
// case, so that starts meet address spaces with contexts in the hardware and without. The user thread is one of the
// process: it begins nothing when the mapping of the contexts is gone, and the process does not end before it.
class GruUnderTest final : public DeviceUnderTest {
 public:
  GruUnderTest(contract::Surroundings& surroundings, CallbackSet callbacks)
      : DeviceUnderTest(device_world().gru, callbacks), surroundings_(surroundings) {}

  // It gives up the ASID of a space that has no context in the hardware, and wraps the few that it has.
  bool drops_only_what_it_must() const override { return false; }

  Errno open(AddressSpace& mm) override {
    const Errno result = DeviceUnderTest::open(mm);
    if (result == Errno::ok) mapped_.insert(&mm);
    return result;
  }
  void close(AddressSpace& mm) override {
    mapped_.erase(&mm);
    DeviceUnderTest::close(mm);
  }
  bool map(AddressSpace& mm, Vpn page, bool write, const contract::Look&) override {
    const unsigned number = take(MmSurroundings::own(mm));
    bool done = false;
    if (mm.users().get_unless_zero()) {
      if (mapped_.count(&mm) != 0) done = run_program(number, mm, page, write);
      surroundings_.mmput(mm);
    }
    contexts_[number].busy = false;
    return done;
  }

 private:
  bool run_program(unsigned number, AddressSpace& mm, Vpn page, bool write) {
    GruDevice& gru = device_world().gru;
    Task& engine = DeviceRun::engine(number);
    Errno result = Errno::ok;
    gru.user_thread(number, MmSurroundings::own(mm), engine, [&] { result = access(number, mm, page, write); });
    while (engine.state() != TaskState::finished) machine().arbiter().step(Time{100'000});
    if (++maps_ % 2 == 0) leave(contexts_[number], number);
    return result == Errno::ok;
  }

  struct Context {
    bool busy = false;
    Mm* mm = nullptr;  // loaded for, or was
  };
  unsigned take(Mm& mm) {
    for (;;) {
      for (const bool any : {false, true})
        for (unsigned number = 0; number < contexts_.size(); ++number) {
          Context& context = contexts_[number];
          if (context.busy || (!any && context.mm != &mm)) continue;
          context.busy = true;
          if (context.mm != &mm) leave(context, number);
          context.mm = &mm;
          return number;
        }
      machine().arbiter().step(Time{1'000'000});
    }
  }
  static void leave(Context& context, unsigned number) {
    if (context.mm != nullptr) device_world().gru.unload(number, *context.mm);
    context.mm = nullptr;
  }

  contract::Surroundings& surroundings_;
  std::array<Context, 4> contexts_;
  std::set<const AddressSpace*> mapped_;
  std::uint64_t maps_ = 0;
};

std::vector<contract::Breach> breaches_without(const std::vector<std::string>& rules,
                                               const std::vector<std::string>& protocol, std::uint64_t seeds) {
  machine().reset();
  device_world().gru.set_without(protocol);
  MmSurroundings surroundings;
  const auto make = [](contract::Surroundings& where) {
    CallbackSet has{Callback::start, Callback::end};
    if (where.core().behaviour().invalidate_page) has.add(Callback::invalidate_page);
    return std::make_unique<GruUnderTest>(where, has);
  };
  auto breaches = run_contract(surroundings, make, {.kernels = {}, .seeds = seeds, .without = rules});
  device_world().gru.set_without({});
  machine().reset();
  return breaches;
}

}  // namespace

TEST_CASE("gru: it keeps the contract on every kernel, but for the end of an address space") {
  for (const contract::Breach& breach : breaches_without({"held-after-exit"}, {}, 2000)) FAIL_CHECK(to_text(breach));
}

TEST_CASE("gru: the contract notices that without a release callback it holds translations after the exit") {
  const std::vector<contract::Breach> breaches = breaches_without({}, {}, 200);
  CHECK_FALSE(breaches.empty());
  for (const contract::Breach& breach : breaches)
    if (breach.rule != "held-after-exit") FAIL_CHECK(to_text(breach));
}

TEST_CASE("gru: the contract notices which rule of its protocol is switched off") {
  const std::map<std::string, std::string> noticed_by = {
      {"range-active-count", "translation-in-open-range"},
      {"range-active-check", "translation-in-open-range"},
      {"wait-for-range-end", ""},  // it tries again and again, and comes to the same end
      {"wake-at-range-end", "stuck"},
      {"purge-at-start", "translation-in-open-range"},
      {"synchronous-purge", "translation-in-open-range"},
      {"purge-defeats-drop-in", "mapped-after-release"},
      {"full-purge-at-limit", "translation-in-open-range"},
      {"write-check", "writable-where-read-only"},
      {"lazy-asid-flush", "translation-in-open-range"},
      {"interrupt-trylock", "sleeps-in-atomic"},
  };
  for (const ProtocolRule& rule : gru_protocol()) {
    CAPTURE(rule.name);
    std::set<std::string> broken;
    for (const contract::Breach& breach : breaches_without({"held-after-exit"}, {rule.name}, 400))
      broken.insert(breach.rule);
    const std::string& expected = noticed_by.at(rule.name);
    CHECK(broken.count(expected) == (expected.empty() ? 0 : 1));
    if (expected.empty()) CHECK(broken.empty());
  }
}
