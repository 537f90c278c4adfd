#include "sim/conform/tool_page.hpp"

#include <doctest/doctest.h>

namespace secmmu::conform {
namespace {

Operation of(std::string name, std::uint64_t first, std::uint64_t pages) {
  Operation operation;
  operation.name = std::move(name);
  operation.buffer = "a";
  operation.first = first;
  operation.pages = pages;
  return operation;
}

std::optional<Vpn> place_after(const std::vector<Operation>& operations) {
  ToolPage tool;
  tool.mapped("a", {Vpn{100}, Vpn{612}});
  for (const Operation& operation : operations) tool.played(operation);
  return tool.take_place();
}

}  // namespace

TEST_CASE("the recording tool's page lies at the end of the highest hole") {
  CHECK(!place_after({}));
  CHECK(place_after({of("munmap", 3, 4)}) == Vpn{106});
  CHECK(place_after({of("munmap", 3, 4), of("munmap", 20, 1)}) == Vpn{120});
  CHECK(place_after({of("munmap", 3, 4), of("mmap_fixed", 5, 2)}) == Vpn{104});
  CHECK(!place_after({of("munmap", 3, 4), of("mmap_fixed", 3, 4)}));
  CHECK(place_after({of("mremap_to", 0, 2)}) == Vpn{101});
  CHECK(place_after({of("mremap_size", 512, 510)}) == Vpn{611});
  CHECK(!place_after({of("protect", 0, 2)}));
}

TEST_CASE("the recording tool's page stays where it came to lie") {
  ToolPage tool;
  tool.mapped("a", {Vpn{100}, Vpn{612}});
  CHECK(!tool.take_place());  // somewhere else
  tool.played(of("munmap", 3, 4));
  CHECK(!tool.take_place());
}

}  // namespace secmmu::conform
