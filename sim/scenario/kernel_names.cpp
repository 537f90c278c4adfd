#include "sim/scenario/kernel_names.hpp"

#include <algorithm>

#include "sim/scenario/diagnostic.hpp"

namespace secmmu::language {

KernelNames kernel_names(const std::string& text, const std::vector<std::string>& known,
                         const std::vector<std::string>& allowed, std::string_view what) {
  const auto at = [&](std::string_view name) { return std::find(known.begin(), known.end(), name); };
  const auto is_allowed = [&](const std::string& name) {
    return std::find(allowed.begin(), allowed.end(), name) != allowed.end();
  };
  KernelNames result;
  if (text == "all") {
    result.names = allowed;
    return result;
  }
  const std::size_t dots = text.find("..");
  if (dots == std::string::npos) {
    if (is_allowed(text)) {
      result.names = {text};
      return result;
    }
    const bool none = at(text) == known.end();
    const std::vector<std::string>& candidates = none ? known : allowed;
    if (none) result.unknown = text;
    result.wrong = "'" + text + "' is " + std::string(what);
    result.expected = one_of(candidates);
    result.nearest = nearest(text, candidates);
    return result;
  }
  const std::string low = text.substr(0, dots);
  const std::string high = text.substr(dots + 2);
  for (const std::string& end : {low, high})
    if (at(end) == known.end()) {
      result.unknown = end;
      result.wrong = "'" + text + "' is no range of kernels: there is no '" + end + "'";
      result.expected = "two of " + one_of(known);
      result.nearest = nearest(end, known);
      return result;
    }
  for (auto it = at(low); it != known.end() && it <= at(high); ++it)
    if (is_allowed(*it)) result.names.push_back(*it);
  if (!result.names.empty()) return result;
  result.wrong = "no kernel " + std::string(known == allowed ? "" : "of this scenario ") + "is in " + text;
  result.expected = "the older kernel first, " + one_of(allowed);
  return result;
}

}  // namespace secmmu::language
