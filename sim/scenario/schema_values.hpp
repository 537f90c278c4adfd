// The schema of single values: what values.hpp reads, as JSON Schema.
#pragma once

#include <nlohmann/json.hpp>

#include "sim/scenario/catalogue.hpp"
#include "sim/scenario/keys.hpp"

namespace secmmu::language {

using Json = nlohmann::ordered_json;

class SchemaValues {
 public:
  explicit SchemaValues(const Catalogue& known) : known_(known) {}

  Json shape(Shape shape) const;
  Json parameter(const Parameter& row) const;
  static Json one_of_words(const std::vector<std::string>& words);
  static Json words_or_list(const std::vector<std::string>& words);
  Json kernel_key() const;

 private:
  const Catalogue& known_;
};

}  // namespace secmmu::language
