// Kernels as data. A room that behaves differently from version to version keeps its behaviours in one
// plain struct with a parameter table, and one table of changes that reads like a changelog: commit,
// first version that has it, behaviour = value. A kernel is a version looked up in these tables, plus
// named exceptions (a stable backport, a fix that was undone). There is no code per version.
#pragma once

#include <compare>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "notifier/substrate/parameter.hpp"

namespace secmmu {

// "v6.10", "v3.5.6", "v2.6.27". Ordered by age. (An old "v2.6.27" is major 2, minor 6, patch 27: the third
// number of the 2.6 series counts releases, that of later ones counts fixes; both order rightly.)
// "v4.13-rc" stands for the candidates of v4.13: after everything of v4.12, before the release.
struct KernelVersion {
  unsigned major = 0;
  unsigned minor = 0;
  unsigned patch = 0;
  bool released = true;
  constexpr auto operator<=>(const KernelVersion&) const = default;
};
// One spelling per version: "v", two or three numbers without leading zeros, no third number 0. Nothing else.
std::optional<KernelVersion> parse_kernel_version(std::string_view text);
std::string to_text(KernelVersion version);

// Thrown by an operation that the kernel at hand does not have. A scenario may say that it expects this.
class AbsentInKernel : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct Change {
  std::string_view commit;     // abbreviated upstream id; empty for how the first version was
  KernelVersion since;         // first mainline version that has it
  std::string_view behaviour;  // a row of the room's behaviour table
  ParameterValue value;
  std::string_view sentence;  // what changed and why
};

// Applies, oldest first, every change that `version` has; of two changes of one version the later row wins.
// `behaviour_rows` describes the struct behind `behaviour`. Throws std::logic_error for a row that names no
// behaviour, or gives it a value that it cannot have.
void apply_changes(const std::vector<Change>& changes, const ParameterRows& behaviour_rows, KernelVersion version,
                   void* behaviour);

// By its name in the list below, which may spell a version as the list wants ("v6.4.0": without the fixes that
// its stable series got), or as parse_kernel_version reads it.
std::optional<KernelVersion> find_kernel(std::string_view name);

// The kernels that a scenario may name, oldest first, each with a sentence on why it is here.
struct KernelEntry {
  std::string_view name;
  KernelVersion version;
  std::string_view sentence;
};
const std::vector<KernelEntry>& known_kernels();

}  // namespace secmmu
