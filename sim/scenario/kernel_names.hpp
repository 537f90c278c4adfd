// How kernels are named wherever one may choose them, in a scenario and on the command line: one, a range of neighbours
// such as v3.7..v4.16, or `all`.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace secmmu::language {

struct KernelNames {
  std::vector<std::string> names;  // in order of `known`; empty: wrong
  std::string wrong;               // what is wrong, in words
  std::string expected;
  std::string unknown;  // the name that is none, if one is
  std::string nearest;  // a kernel that may have been meant
};
// Out of `allowed`: of a range those that are not allowed are left out. `what`: what a name that is not allowed is,
// such as "no kernel".
KernelNames kernel_names(const std::string& text, const std::vector<std::string>& known,
                         const std::vector<std::string>& allowed, std::string_view what);

}  // namespace secmmu::language
