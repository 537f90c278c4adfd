// What a reader of a lackey recording has met so far: delivered, skipped, or without effect.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>

#include "sim/scenario/lackey_record.hpp"

namespace secmmu {

struct LackeyCounts {
  std::uint64_t lines = 0;
  std::array<std::uint64_t, kLackeyKinds> delivered{};  // by kind; calls: the successful ones
  std::array<std::uint64_t, kLackeyKinds> failed{};     // by kind: calls that changed nothing
  std::uint64_t unfinished = 0;                         // calls of these kinds whose result the recording does not hold
  std::map<std::string, std::uint64_t> skipped;         // every other call, by name: sorted, so stable in reports
  std::uint64_t skipped_failed = 0;                     // how many of the skipped calls failed
  std::uint64_t other_processes = 0;  // lines about calls of another process than the first: forked children
  std::uint64_t messages = 0;         // valgrind's own: ==PID== ... and --PID-- ...

  std::uint64_t of(LackeyKind kind) const { return delivered[static_cast<std::size_t>(kind)]; }
  std::uint64_t failures_of(LackeyKind kind) const { return failed[static_cast<std::size_t>(kind)]; }
  std::uint64_t instructions() const { return of(LackeyKind::fetch); }
  std::uint64_t accesses() const;  // fetches, loads, stores and modifies
  std::uint64_t calls() const;     // the delivered calls that change the address space
  std::uint64_t failed_calls() const;
  std::uint64_t skipped_calls() const;
};

// A line per counter that is not zero, "name value", in a fixed order: for reports and for people.
std::string to_text(const LackeyCounts& counts);

}  // namespace secmmu
