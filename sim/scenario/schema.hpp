// The JSON Schema (draft 07) of a scenario file, made from the tables that the parser reads.
#pragma once

#include <string>

#include "sim/scenario/catalogue.hpp"

namespace secmmu {

std::string json_schema(const Catalogue& known = catalogue());

}  // namespace secmmu
