// The scenario as it really runs: every value, defaults too, as a scenario file that can be run again.
// Its keys, joined by dots, are the paths that --set takes.
#pragma once

#include <string>

#include "sim/scenario/catalogue.hpp"
#include "sim/scenario/scenario.hpp"

namespace secmmu {

// One kernel, one seed; every setting there; expectations and results of that kernel only.
Scenario resolve(const Scenario& scenario, const std::string& kernel, std::uint64_t seed,
                 const Catalogue& known = catalogue());

// resolve() as YAML. Parsed with the path of the scenario it gives resolve() again.
std::string resolved_yaml(const Scenario& scenario, const std::string& kernel, std::uint64_t seed,
                          const Catalogue& known = catalogue());

// What the scenario says, in the language, without adding anything.
std::string scenario_yaml(const Scenario& scenario, const Catalogue& known = catalogue());

}  // namespace secmmu
