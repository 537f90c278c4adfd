// For tests that need a Platform. SystemC can be elaborated once per process, so such a test is a process of
// its own: a file named *_platform_test.cpp belongs to platform_tests, whose own process never touches
// SystemC, and whatever is to happen on a platform happens in a child.
//
//   TEST_CASE("...") {
//     in_child([] {
//       Platform platform(config);
//       direct(platform, [&] { ... CHECK(...) ... });
//     });
//   }
//
// CHECK works in the child as anywhere, with its messages; a check that fails there, an exception or a crash
// fails the case. On a platform use CHECK, not REQUIRE: an exception may not leave a SystemC thread.
#pragma once

#include <functional>

#include "models/platform.hpp"

namespace secmmu::testing {

// Forks; `body` is what sc_main does in the child. Returns when the child has ended.
void in_child(const std::function<void()>& body);

// Within in_child: starts the simulation, with `body` as its director. Once per child.
void direct(Platform& platform, const std::function<void()>& body);

// Resident memory of this process, in bytes.
std::uint64_t resident_bytes();

}  // namespace secmmu::testing
