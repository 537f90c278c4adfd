#include "models/devices/kvm/memslots.hpp"

#include <doctest/doctest.h>

using namespace secmmu;

TEST_CASE("memslots: what the guest sees of a range is its part in each slot") {
  Memslots slots;
  slots.add({{100}, {{10}, {20}}});
  slots.add({{200}, {{15}, {30}}});
  CHECK(slots.guest_ranges({{12}, {17}}) == std::vector<PageRange>{{{102}, {107}}, {{200}, {202}}});
  CHECK(slots.guest_ranges({{0}, {50}}) == std::vector<PageRange>{{{100}, {110}}, {{200}, {215}}});
  CHECK(slots.guest_ranges({{20}, {21}}) == std::vector<PageRange>{{{205}, {206}}});
  CHECK(slots.guest_ranges({{0}, {10}}).empty());
  CHECK(slots.guest_ranges({{30}, {40}}).empty());
}

TEST_CASE("memslots: a page of the guest belongs to one slot, a page of the process may be seen through several") {
  Memslots slots;
  slots.add({{100}, {{10}, {20}}});
  slots.add({{200}, {{15}, {30}}});
  CHECK(slots.host_of({100}) == Vpn{10});
  CHECK(slots.host_of({109}) == Vpn{19});
  CHECK_FALSE(slots.host_of({110}).has_value());
  CHECK(slots.host_of({200}) == Vpn{15});
  CHECK_FALSE(slots.host_of({99}).has_value());
  CHECK(slots.guest_of({16}, 0) == Vpn{106});
  CHECK(slots.guest_of({16}, 1) == Vpn{201});
  CHECK(slots.guest_of({16}, 2) == Vpn{106});
  CHECK_FALSE(slots.guest_of({25}, 0).has_value());
  CHECK_FALSE(Memslots{}.guest_of({25}, 0).has_value());
}

TEST_CASE("memslots: a block of the guest is one if its slot shows a whole aligned block of the process") {
  Memslots slots;
  slots.add({{1024}, {{512}, {2000}}});  // aligned alike
  slots.add({{4096}, {{513}, {3000}}});  // not
  CHECK(slots.guest_block({1030}) == PageRange{{1024}, {1536}});
  CHECK(slots.guest_block({1535}) == PageRange{{1024}, {1536}});
  CHECK_FALSE(slots.guest_block({2100}).has_value());  // the slot ends within it
  CHECK_FALSE(slots.guest_block({4100}).has_value());
  CHECK_FALSE(slots.guest_block({100}).has_value());
}
