#include "models/memory/memory_port.hpp"

#include <doctest/doctest.h>

#include <array>

#include "models/cpu/test_hardware.hpp"

using namespace secmmu;

namespace {
MemoryPort& port() { return hardware().port(); }
constexpr std::uint64_t kEnd = TestHardware::kFrames << kPageShift;

void revoke(std::uint64_t start, std::uint64_t end) {
  PhysicalMemory& memory = hardware().memory();
  for (unsigned i = 0; i < memory.socket.size(); ++i)
    memory.socket[static_cast<int>(i)]->invalidate_direct_mem_ptr(start, end);
}
}  // namespace

TEST_CASE("port: what is written is read, directly and by transactions") {
  machine().reset();
  hardware().reset();
  for (const bool direct : {false, true}) {
    for (unsigned bytes = 1; bytes <= 64; ++bytes) {
      std::array<std::uint8_t, 64> out{};
      std::array<std::uint8_t, 64> in{};
      for (unsigned i = 0; i < bytes; ++i) out[i] = static_cast<std::uint8_t>(i * 7 + bytes);
      if (!direct) revoke(0, UINT64_MAX);
      CHECK(port().write({0x1ffd}, out.data(), bytes));  // across a frame's end
      if (!direct) revoke(0, UINT64_MAX);
      CHECK(port().read({0x1ffd}, in.data(), bytes));
      CHECK(in == out);
    }
  }
  port().write64({0x3000}, 0x0123456789abcdef);
  CHECK(port().read64({0x3000}) == 0x0123456789abcdef);
  CHECK(hardware().memory().bytes({3})[0] == 0xef);
  std::uint32_t half = 0;
  CHECK(port().read_debug({0x3004}, &half, 4));
  CHECK(half == 0x01234567);
}

TEST_CASE("port: outside memory a read is all ones, a write is lost, and neither breaks anything") {
  machine().reset();
  hardware().reset();
  for (const bool direct : {false, true})
    for (const std::uint64_t address :
         {kEnd, kEnd - 7, UINT64_MAX - 7, UINT64_MAX, std::uint64_t{0x000ffffffffff000}}) {
      if (!direct) revoke(0, UINT64_MAX);
      CHECK(port().read64({address}) == UINT64_MAX);
      std::uint64_t data = 0;
      CHECK_FALSE(port().read({address}, &data, 8));
      CHECK_FALSE(port().write({address}, &data, 8));
      CHECK_FALSE(port().read_debug({address}, &data, 8));
      port().write64({address}, 1);
      port().read64({0});  // opens the window again
    }
  CHECK(port().read64({kEnd - 8}) == 0);
  CHECK(port().grant({TestHardware::kFrames}) == nullptr);
  CHECK(port().grant(kNoPfn) == nullptr);
  CHECK(port().grant({TestHardware::kFrames - 1}) == hardware().memory().bytes({TestHardware::kFrames - 1}));
}

TEST_CASE("port: a grant that memory takes back is forgotten, and its user is told") {
  machine().reset();
  hardware().reset();
  int told = 0;
  port().on_revoked([&told] { ++told; });
  CHECK(port().grant({1}) != nullptr);
  revoke(kEnd, kEnd + 100);
  CHECK(told == 0);
  revoke(0, 0);
  CHECK(told == 1);
  revoke(0, 0);  // nothing was granted since
  CHECK(told == 1);
  CHECK(port().grant({1}) == hardware().memory().bytes({1}));
  port().on_revoked({});
}
