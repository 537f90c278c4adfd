// The table of operations: what a step of a program can do, who may do it, with which arguments. The
// parser, its messages, the schema, resolved.yaml, `secmmu list operations` and docs are made from it.
#pragma once

#include <variant>

#include "sim/scenario/keys.hpp"
#include "sim/scenario/scenario.hpp"

namespace secmmu::language {

// Whose program a step stands in.
enum class User : unsigned { cpu = 1, device = 2, probe = 4 };

// The member of Step that keeps an argument. monostate: kept in several (pages, want, do, lock).
using Target = std::variant<std::monostate, std::string Step::*, std::uint64_t Step::*, bool Step::*,
                            std::optional<std::uint64_t> Step::*, std::optional<VirtAddr> Step::*, Time Step::*,
                            Protection Step::*, Backing Step::*, std::string Generator::*, std::uint64_t Generator::*>;

struct Argument {
  Key key;
  Target target;
};

struct Verb {
  std::string_view name;
  std::string_view sentence;
  unsigned users = 0;          // of User
  bool needs_process = false;  // not for kernel threads
  std::vector<Argument> arguments;
  // The argument that may stand alone: `delay: 5us` is `delay: {time: 5us}`. Empty: none.
  std::string_view shorthand = {};

  bool bare() const;  // may be a single word: no argument must be there
  bool may(User user) const { return (users & static_cast<unsigned>(user)) != 0; }
  const Argument* find(std::string_view argument) const;
};

const std::vector<Verb>& verbs();
const Verb* find_verb(std::string_view name, User user);

std::vector<std::string> verb_names(User user);
std::vector<std::string> argument_names(const Verb& verb);

// "a CPU program", "a device program", "a probe's script".
std::string_view to_text(User user);
// Everyone who may use the verb of that name.
std::vector<std::string> users_of(std::string_view verb);

// Which modifiers a step of that user may have.
bool may_use_modifier(User user, std::string_view modifier);

}  // namespace secmmu::language
