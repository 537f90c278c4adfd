// The names of kernels wherever a scenario may use them: single ones, ranges, all.
#include <algorithm>

#include "sim/scenario/reading.hpp"

namespace secmmu::language {

std::vector<std::string> read_kernel_names(const Place& place, const std::vector<std::string>& known,
                                           const std::vector<std::string>& allowed, std::string_view what) {
  const std::string text = place.text();
  const auto at = [&](std::string_view name) { return std::find(known.begin(), known.end(), name); };
  const auto refuse = [&](const std::string& name) {
    const std::vector<std::string>& names = at(name) == known.end() ? known : allowed;
    place.fail("'" + name + "' is " + std::string(what), one_of(names), nearest(name, names));
  };
  const std::size_t dots = text.find("..");
  if (text == "all") return allowed;
  if (dots == std::string::npos) {
    if (std::find(allowed.begin(), allowed.end(), text) != allowed.end()) return {text};
    refuse(text);
    return {};
  }
  const std::string low = text.substr(0, dots);
  const std::string high = text.substr(dots + 2);
  for (const std::string& end : {low, high})
    if (at(end) == known.end()) {
      place.fail("'" + text + "' is no range of kernels: there is no '" + end + "'", "two of " + one_of(known),
                 nearest(end, known));
      return {};
    }
  std::vector<std::string> names;
  for (auto it = at(low); it != known.end() && it <= at(high); ++it)
    if (std::find(allowed.begin(), allowed.end(), *it) != allowed.end()) names.push_back(*it);
  if (names.empty()) place.fail("no kernel of this scenario is in " + text, "the older kernel first, " + one_of(allowed));
  return names;
}

}  // namespace secmmu::language
