// From the text of a scenario to the scenario, or to every mistake in it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sim/scenario/catalogue.hpp"
#include "sim/scenario/diagnostic.hpp"
#include "sim/scenario/scenario.hpp"

namespace secmmu {

struct ParseResult {
  std::optional<Scenario> scenario;  // only when there are no errors
  std::vector<Diagnostic> errors;    // sorted by line
};

// `sets` are the values of --set, "path=value", with paths as in resolved.yaml.
ParseResult parse_scenario_file(const std::string& path, const std::vector<std::string>& sets = {},
                                const Catalogue& known = catalogue());

// `path` is for messages, for the check of the name, and for files beside it; empty: none of these.
ParseResult parse_scenario_text(std::string_view text, const std::string& path,
                                const std::vector<std::string>& sets = {}, const Catalogue& known = catalogue());

}  // namespace secmmu
