// A parameter is one row: name, type, default, range, one sentence. Every component that can be
// configured has a plain struct and one table of rows for it. The scenario parser, the JSON Schema,
// resolved.yaml, `secmmu list parameters` and docs are all made from these tables, so no model knows
// about files. A table is built once and never changes.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "notifier/substrate/time.hpp"

namespace secmmu {

enum class ParameterType { integer, duration, size, flag, choice };

// integer and size hold a count (size: of bytes); duration a Time; flag a bool; choice its word.
using ParameterValue = std::variant<std::uint64_t, Time, bool, std::string>;

struct Parameter {
  std::string name;      // lower-case words joined by '_'
  ParameterType type = ParameterType::integer;
  ParameterValue fallback;               // the default
  std::uint64_t low = 0;                 // inclusive; integer and size only
  std::uint64_t high = UINT64_MAX;       // inclusive
  std::vector<std::string> choices;      // choice only
  std::string sentence;                  // what it means, with its unit
  std::string source;                    // where the default comes from; may be empty
  std::function<void(void*, const ParameterValue&)> set;
  std::function<ParameterValue(const void*)> get;
};

// The rows of one component's configuration struct Config. Type-erased access goes through `rows`.
struct ParameterRows {
  std::string component;  // "cpu", "tlb", "gru", "cost": the word used in paths and listings
  std::vector<Parameter> rows;

  const Parameter* find(std::string_view name) const {
    for (const Parameter& row : rows)
      if (row.name == name) return &row;
    return nullptr;
  }
};

template <class Config>
class ParameterTable : public ParameterRows {
 public:
  explicit ParameterTable(std::string component_name) { component = std::move(component_name); }

  ParameterTable& integer(std::string name, std::uint64_t Config::*member, std::uint64_t low, std::uint64_t high,
                          std::string sentence, std::string source = "") {
    return add(std::move(name), ParameterType::integer, member, low, high, {}, std::move(sentence), std::move(source));
  }
  ParameterTable& size(std::string name, std::uint64_t Config::*member, std::uint64_t low, std::uint64_t high,
                       std::string sentence, std::string source = "") {
    return add(std::move(name), ParameterType::size, member, low, high, {}, std::move(sentence), std::move(source));
  }
  ParameterTable& duration(std::string name, Time Config::*member, std::string sentence, std::string source = "") {
    return add(std::move(name), ParameterType::duration, member, 0, UINT64_MAX, {}, std::move(sentence),
               std::move(source));
  }
  ParameterTable& flag(std::string name, bool Config::*member, std::string sentence, std::string source = "") {
    return add(std::move(name), ParameterType::flag, member, 0, 1, {}, std::move(sentence), std::move(source));
  }
  ParameterTable& choice(std::string name, std::string Config::*member, std::vector<std::string> choices,
                         std::string sentence, std::string source = "") {
    return add(std::move(name), ParameterType::choice, member, 0, 0, std::move(choices), std::move(sentence),
               std::move(source));
  }

 private:
  template <class Member>
  ParameterTable& add(std::string name, ParameterType type, Member Config::*member, std::uint64_t low,
                      std::uint64_t high, std::vector<std::string> choices, std::string sentence, std::string source) {
    Parameter row;
    row.name = std::move(name);
    row.type = type;
    row.fallback = Config{}.*member;
    row.low = low;
    row.high = high;
    row.choices = std::move(choices);
    row.sentence = std::move(sentence);
    row.source = std::move(source);
    row.set = [member](void* config, const ParameterValue& value) {
      static_cast<Config*>(config)->*member = std::get<Member>(value);
    };
    row.get = [member](const void* config) -> ParameterValue { return static_cast<const Config*>(config)->*member; };
    rows.push_back(std::move(row));
    return *this;
  }
};

}  // namespace secmmu
