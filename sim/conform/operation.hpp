// The operations of a recording: their arguments, and how our machine does each. One table serves the reader, the
// translation into a scenario, and the names under which a run is recorded.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "sim/scenario/scenario.hpp"

namespace secmmu::conform {

struct Operation {
  std::string text;  // as written: "munmap a 0 16"
  std::string name;  // its first word
  bool setup = false;
  Mark mark;

  // What its arguments say; each operation uses a few.
  std::string buffer;
  std::uint64_t first = 0;  // OFF
  std::uint64_t pages = 0;  // N
  std::uint64_t value = 0;  // V
  std::string word;         // rights, huge, the device, what clear_refs clears
  std::string target;       // C
  std::uint64_t target_first = 0;
};

// What an argument may be.
enum class Form {
  buffer,      // one that an operation before has brought in
  new_buffer,  // brings it in
  first,       // a page, from 0
  pages,       // how many, from 1
  value,       // of a byte
  word,        // one of `words`
};

struct Argument {
  std::string_view letter;  // as the format writes it: B, OFF, N
  Form form;
  std::variant<std::string Operation::*, std::uint64_t Operation::*> member;
  std::vector<std::string> words{};
  bool optional = false;
};

// The `id` of steps whose lines are not in the recording.
inline constexpr std::string_view kUnrecorded = "unrecorded";

// Whose program does it.
enum class Player { process, device, child };

struct OperationRow {
  std::string_view name;
  std::vector<Argument> arguments;
  // The steps that do it, in the language of scenarios. Empty: our machine cannot do it yet, and each recording
  // that has it differs there.
  std::function<std::vector<Step>(const Operation&)> steps = {};
  Player player = Player::process;
};

const std::vector<OperationRow>& operations();
const OperationRow* find_operation(std::string_view name);

// Whether our machine can do it.
bool is_modelled(const Operation& operation);

// "munmap B OFF N": how it is written.
std::string form_of(const OperationRow& row);
// "munmap a 0 16": it, written with what its arguments are.
std::string text_of(const OperationRow& row, const Operation& operation);

}  // namespace secmmu::conform
