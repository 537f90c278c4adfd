// That the schema accepts and refuses the same files as the parser is shown by .ci/check_schema.py with a
// real validator; here only that it is made from the tables.
#include "sim/scenario/schema.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "sim/scenario/test_catalogue.hpp"
#include "sim/scenario/verbs.hpp"

using namespace secmmu;

TEST_CASE("the schema has every key, operation and parameter") {
  const Catalogue known = test::make_catalogue();
  const nlohmann::json schema = nlohmann::json::parse(json_schema(known));
  CHECK(schema.at("$schema") == "http://json-schema.org/draft-07/schema#");
  for (const std::string& key : language::names_of(language::scenario_keys()))
    CHECK(schema.at("properties").contains(key));
  CHECK(schema.at("required") == nlohmann::json{"scenario", "name", "actors"});
  CHECK(schema.at("properties").at("machine").at("properties").at("tlb").at("properties").at("ways").at("default") ==
        4);
  CHECK(schema.at("properties")
            .at("machine")
            .at("properties")
            .at("cost")
            .at("properties")
            .at("walk_level")
            .at("default") == "20ns");
  const auto operations = [&](const char* program) {
    const nlohmann::json& items = schema.at("definitions").at(program).at("items");
    return items.contains("anyOf") ? items.at("anyOf").at(1).at("properties") : items.at("properties");
  };
  for (const std::string& verb : language::verb_names(language::User::cpu))
    CHECK(operations("cpu_program").contains(verb));
  for (const std::string& verb : language::verb_names(language::User::device))
    CHECK(operations("device_program").contains(verb));
  for (const std::string& verb : language::verb_names(language::User::probe))
    CHECK(operations("probe_script").contains(verb));
  CHECK_FALSE(operations("device_program").contains("munmap"));
  CHECK_FALSE(operations("probe_script").contains("after"));
}
