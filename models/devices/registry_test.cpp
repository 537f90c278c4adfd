#include "models/devices/registry.hpp"

#include <doctest/doctest.h>

#include <set>

#include "models/devices/test_world.hpp"

using namespace secmmu;

TEST_CASE("registry: every kind is found by its name and says what it is") {
  std::set<std::string> names;
  CHECK(device_kinds().size() >= 2);
  for (const DeviceKindRow& kind : device_kinds()) {
    CAPTURE(kind.name);
    CHECK(names.insert(kind.name).second);
    CHECK(find_device_kind(kind.name) == &kind);
    CHECK(kind.sentence.ends_with('.'));
    CHECK((kind.build != nullptr));
    std::set<std::string> within;
    for (const Parameter& row : kind.parameters.rows) CHECK(within.insert(row.name).second);
    within.clear();
    for (const ProtocolRule& rule : kind.protocol) CHECK(within.insert(rule.name).second);
    within.clear();
    for (const CounterRow& row : kind.counters) CHECK(within.insert(row.name).second);
  }
  CHECK(find_device_kind("grue") == nullptr);
  CHECK(find_device_kind("") == nullptr);
  CHECK(find_device_kind("GRU") == nullptr);
}

TEST_CASE("registry: a parameter that a kind does not have is refused") {
  const testing::DeviceWorld& world = testing::device_world();
  for (const DeviceKindRow& kind : device_kinds()) {
    CAPTURE(kind.name);
    DeviceRequest request;
    request.name = "unknown_parameter";
    request.settings["no_such_row"] = std::uint64_t{1};
    const DeviceSurroundings around{machine().arbiter(), hardware().memory(), const_cast<MmSystem&>(world.system),
                                    testing::DeviceWorld::all_processors()};
    CHECK_THROWS_WITH_AS(kind.build(request, around),
                         ("no parameter no_such_row of " + kind.parameters.component).c_str(), std::logic_error);
  }
}

TEST_CASE("registry: a device counts what its kind announces, in the same order") {
  const testing::DeviceWorld& world = testing::device_world();
  for (const auto& [kind, device] :
       {std::pair<const char*, const Device*>{"gru", &world.gru}, {"probe", &world.probe}}) {
    const std::vector<CounterRow> rows = device->counters();
    const std::vector<CounterRow>& announced = find_device_kind(kind)->counters;
    CHECK(rows.size() == announced.size());
    for (std::size_t i = 0; i < std::min(rows.size(), announced.size()); ++i) CHECK(rows[i].name == announced[i].name);
  }
}
