// One event of a recording made by `valgrind --tool=lackey --trace-mem=yes --trace-syscalls=yes`.
#pragma once

#include <cstddef>
#include <cstdint>

#include "notifier/substrate/address.hpp"

namespace secmmu {

// The comment on each kind names the fields of LackeyRecord that it sets. The others keep whatever an
// earlier record left in them: clearing ten fields for each of millions of accesses would cost more
// than reading the access.
enum class LackeyKind : std::uint8_t {
  fetch,     // address, bytes: an instruction was fetched
  load,      // address, bytes
  store,     // address, bytes
  modify,    // address, bytes: a load, then a store, by one instruction
  mmap,      // thread, address (the hint), bytes, protection, flags, file, offset, result
  munmap,    // thread, address, bytes
  mprotect,  // thread, address, bytes, protection
  mremap,    // thread, address, bytes, new_bytes, flags, new_address if the call had one (else 0), result
  brk,       // thread, address (what was asked for), result (the break now; the old one if refused)
  madvise,   // thread, address, bytes, advice
};
inline constexpr std::size_t kLackeyKinds = 10;
inline constexpr std::size_t kFirstLackeyCall = static_cast<std::size_t>(LackeyKind::mmap);

const char* name_of(LackeyKind kind);

// Numbers are as the program passed them to the kernel: lengths are not rounded to pages, protection,
// flags and advice are Linux's bits. A call is delivered only if it succeeded. An access may cross
// pages: xsave touches more than 2 KiB at once.
struct LackeyRecord {
  LackeyKind kind = LackeyKind::fetch;
  std::int32_t file = -1;  // the descriptor; whether it counts is for flags to say (MAP_ANONYMOUS)
  VirtAddr address;
  std::uint64_t bytes = 0;
  std::uint64_t thread = 0;  // valgrind's number of the calling thread; accesses do not carry one
  VirtAddr result;
  std::uint64_t protection = 0;
  std::uint64_t flags = 0;
  std::uint64_t offset = 0;
  std::uint64_t new_bytes = 0;
  VirtAddr new_address;
  std::uint64_t advice = 0;
};

}  // namespace secmmu
