#include "sim/scenario/verbs.hpp"

#include <doctest/doctest.h>

#include <fstream>
#include <set>
#include <sstream>

#include "sim/scenario/document.hpp"
#include "sim/scenario/values.hpp"

using namespace secmmu;
using namespace secmmu::language;

namespace {

const std::vector<Keys>& all_tables() {
  static const std::vector<Keys> tables = {scenario_keys(), process_keys(), buffer_keys(),  device_keys(),
                                           actor_keys(),    program_keys(), expect_keys(),  order_keys(),
                                           pattern_keys(),  value_keys(),   modifier_keys()};
  return tables;
}

std::set<std::string> all_names() {
  std::set<std::string> names;
  for (const Keys& keys : all_tables())
    for (const Key& key : keys) names.emplace(key.name);
  for (const Verb& verb : verbs()) {
    names.emplace(verb.name);
    for (const Argument& argument : verb.arguments) names.emplace(argument.key.name);
  }
  for (const auto* words : {&protection_words(), &backing_words(), &pattern_words(), &lock_kind_words(),
                            &result_words(), &duration_units()})
    names.insert(words->begin(), words->end());
  return names;
}

}  // namespace

TEST_CASE("no word of the language is something else in YAML 1.1") {
  for (const std::string& name : all_names()) {
    CAPTURE(name);
    CHECK_FALSE(yaml11_reads_otherwise(name));
  }
}

TEST_CASE("every key and operation says what it is for") {
  for (const Keys& keys : all_tables())
    for (const Key& key : keys) CHECK(key.sentence.ends_with("."));
  for (const Verb& verb : verbs()) {
    CAPTURE(verb.name);
    CHECK(verb.sentence.ends_with("."));
    CHECK(verb.users != 0);
    for (const Argument& argument : verb.arguments) CHECK(argument.key.sentence.ends_with("."));
    if (!verb.shorthand.empty()) CHECK(verb.find(verb.shorthand) != nullptr);
  }
}

TEST_CASE("an operation is there once for each user and is no modifier") {
  for (const User user : {User::cpu, User::device, User::probe}) {
    const std::vector<std::string> names = verb_names(user);
    CHECK(std::set<std::string>(names.begin(), names.end()).size() == names.size());
    for (const std::string& name : names) CHECK(find_key(modifier_keys(), name) == nullptr);
  }
}

TEST_CASE("docs/scenarios.md has every word of the language") {
  std::ifstream file("docs/scenarios.md");
  REQUIRE_MESSAGE(file, "tests run at the top of the repository");
  std::ostringstream text;
  text << file.rdbuf();
  for (const std::string& name : all_names()) {
    CAPTURE(name);
    const bool there = text.str().find("`" + name + "`") != std::string::npos;
    CHECK(there);
  }
}
