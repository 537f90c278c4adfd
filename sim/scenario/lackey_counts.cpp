#include "sim/scenario/lackey_counts.hpp"

#include <numeric>

namespace secmmu {

const char* name_of(LackeyKind kind) {
  static constexpr std::array<const char*, kLackeyKinds> kNames{"fetch",  "load",     "store",  "modify", "mmap",
                                                                "munmap", "mprotect", "mremap", "brk",    "madvise"};
  return kNames[static_cast<std::size_t>(kind)];
}

std::uint64_t LackeyCounts::accesses() const {
  return std::accumulate(delivered.begin(), delivered.begin() + kFirstLackeyCall, std::uint64_t{0});
}

std::uint64_t LackeyCounts::calls() const {
  return std::accumulate(delivered.begin() + kFirstLackeyCall, delivered.end(), std::uint64_t{0});
}

std::uint64_t LackeyCounts::failed_calls() const {
  return std::accumulate(failed.begin(), failed.end(), std::uint64_t{0});
}

std::uint64_t LackeyCounts::skipped_calls() const {
  std::uint64_t sum = 0;
  for (const auto& [name, count] : skipped) sum += count;
  return sum;
}

std::string to_text(const LackeyCounts& counts) {
  std::string text;
  const auto row = [&text](const std::string& name, std::uint64_t value) {
    if (value != 0) text += name + ' ' + std::to_string(value) + '\n';
  };
  row("lines", counts.lines);
  for (std::size_t kind = 0; kind < kLackeyKinds; ++kind) {
    const std::string name = name_of(static_cast<LackeyKind>(kind));
    row(name, counts.delivered[kind]);
    row(name + ".failed", counts.failed[kind]);
  }
  row("unfinished", counts.unfinished);
  for (const auto& [name, count] : counts.skipped) row("skipped." + name, count);
  row("skipped.failed", counts.skipped_failed);
  row("other_processes", counts.other_processes);
  row("messages", counts.messages);
  return text;
}

}  // namespace secmmu
