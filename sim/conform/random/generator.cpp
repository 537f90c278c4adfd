#include "sim/conform/random/generator.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "notifier/substrate/random.hpp"
#include "sim/conform/random/memory_model.hpp"

namespace secmmu::conform {
namespace {

constexpr std::uint64_t kFewest = 15;  // operations after the set-up
constexpr std::uint64_t kMost = 35;
constexpr unsigned kTries = 50;  // for one that makes sense

// How often an operation comes: about as often as in the recordings. What is not named here comes now and then.
constexpr std::pair<std::string_view, unsigned> kWeights[] = {
    {"dr", 50},           {"dw", 45},         {"cw", 35},
    {"cr", 26},           {"mprotect", 24},   {"dontneed", 18},
    {"munmap", 14},       {"pageout", 10},    {"mmap_fixed", 8},
    {"fork", 8},          {"kw", 8},          {"kr", 8},
    {"free", 7},          {"child_exit", 5},  {"populate_write", 5},
    {"populate_read", 5}, {"clear_refs", 5},  {"mremap_onto", 4},
    {"mremap_to", 3},     {"mremap_size", 3}, {"anon", 0},
    {"shared", 0},        {"file", 0},        {"filepriv", 0},
    {"watch", 0},         {"unregister", 0},  {"device", 0},
    {"exit", 0},          {"mrelease", 0},
};
constexpr unsigned kOtherWeight = 3;

unsigned weight_of(std::string_view name) {
  for (const auto& [known, weight] : kWeights)
    if (known == name) return weight;
  return kOtherWeight;
}

bool brings_buffer(const OperationRow& row) {
  return std::any_of(row.arguments.begin(), row.arguments.end(),
                     [](const Argument& argument) { return argument.form == Form::new_buffer; }) &&
         std::none_of(row.arguments.begin(), row.arguments.end(),
                      [](const Argument& argument) { return argument.form == Form::buffer; });
}

class Generator {
 public:
  Generator(std::uint64_t seed, const std::string& device) : random_(seed, "program for " + device) {
    program_.name = fmt::format("random-{}-{}", device, seed);
    program_.path = program_.name + ".txt";
    device_ = device;
  }

  Recording draw() {
    const std::uint64_t buffers = 1 + random_.below(2);
    for (std::uint64_t i = 0; i < buffers; ++i) bring_buffer();
    add("watch a", false);
    add("device " + device_, false);
    const std::uint64_t operations = kFewest + random_.below(kMost - kFewest + 1);
    for (std::uint64_t i = 0; i < operations; ++i) add_any();
    end();
    return std::move(program_);
  }

 private:
  bool one_in(std::uint64_t n) { return random_.below(n) == 0; }
  template <class List>
  const auto& any_of(const List& list) {
    return list[random_.below(list.size())];
  }

  // As it is written; the model is told as if it succeeded.
  void add(const std::string& text, bool setup) {
    Operation operation;
    operation.text = text;
    operation.name = text.substr(0, text.find(' '));
    operation.setup = setup;
    if (operation.name == "device") operation.word = device_;
    if (operation.name == "watch") operation.buffer = "a";
    append(std::move(operation));
  }
  void append(Operation operation) {
    operation.mark = {static_cast<unsigned>(program_.blocks.size()) + 1, 1};
    model_.assume(operation);
    program_.blocks.emplace_back().operation = std::move(operation);
  }

  void bring_buffer() {
    std::vector<const OperationRow*> kinds;
    for (const OperationRow& row : operations()) {
      // Private memory is what most programs have, and where most happens.
      const unsigned weight = row.name == "anon" ? 8 : row.name == "shared" ? 3 : 2;
      if (brings_buffer(row) && is_drawn(row)) kinds.insert(kinds.end(), weight, &row);
    }
    Operation made;
    made.setup = true;
    made.name = any_of(kinds)->name;
    made.buffer = next_name();
    made.pages = 8 + random_.below(17);
    made.text = fmt::format("{} {} {}", made.name, made.buffer, made.pages);
    const Operation buffer = made;
    append(std::move(made));
    if (one_in(4)) return;
    Operation wrote = buffer;
    wrote.name = "cw";
    wrote.value = 1;
    wrote.text = fmt::format("cw {} 0 {} 1", wrote.buffer, wrote.pages);
    append(std::move(wrote));
  }
  std::string next_name() { return std::string(1, static_cast<char>('a' + names_++)); }

  void add_any() {
    std::uint64_t all = 0;
    for (const OperationRow& row : operations())
      if (is_drawn(row)) all += weight_of(row.name);
    for (unsigned i = 0; i < kTries; ++i) {
      std::uint64_t ticket = random_.below(all);
      for (const OperationRow& row : operations()) {
        if (!is_drawn(row)) continue;
        if (ticket < weight_of(row.name)) {
          if (add_if_sensible(row)) return;
          break;
        }
        ticket -= weight_of(row.name);
      }
    }
  }

  bool add_if_sensible(const OperationRow& row) {
    if (row.name == "fork" && !model_.child().empty()) return false;  // one child at a time, as in the recordings
    Operation operation;
    operation.name = row.name;
    if (!fill(row, operation) || !model_.sensible(operation)) return false;
    operation.text = text_of(row, operation);
    if (std::any_of(row.arguments.begin(), row.arguments.end(),
                    [](const Argument& argument) { return argument.form == Form::new_buffer; }))
      ++names_;
    if (has_range(row)) last_ = operation;
    append(std::move(operation));
    return true;
  }
  static bool has_range(const OperationRow& row) {
    const auto has = [&](Form form, std::uint64_t Operation::*member) {
      return std::any_of(row.arguments.begin(), row.arguments.end(), [&](const Argument& argument) {
        const auto* number = std::get_if<std::uint64_t Operation::*>(&argument.member);
        return argument.form == form && number != nullptr && *number == member;
      });
    };
    return has(Form::first, &Operation::first) && has(Form::pages, &Operation::pages);
  }
  const MemoryModel::Buffer* find(const std::string& name) const {
    return &*std::find_if(model_.buffers().begin(), model_.buffers().end(),
                          [&](const MemoryModel::Buffer& buffer) { return buffer.name == name; });
  }

  // Arguments by their form; what a number means the other arguments say.
  bool fill(const OperationRow& row, Operation& operation) {
    const auto has = [&](std::uint64_t Operation::*member, Form form) {
      return std::any_of(row.arguments.begin(), row.arguments.end(), [&](const Argument& argument) {
        return argument.form == form && std::holds_alternative<std::uint64_t Operation::*>(argument.member) &&
               std::get<std::uint64_t Operation::*>(argument.member) == member;
      });
    };
    const MemoryModel::Buffer& drawn = one_in(4) ? any_of(model_.buffers()) : model_.buffers().front();
    // Often the same pages again: most of what goes wrong takes several operations on one page.
    const bool again = last_.pages > 0 && one_in(3);
    const MemoryModel::Buffer& buffer = again ? *find(last_.buffer) : drawn;
    const MemoryModel::Buffer& target = any_of(model_.buffers());
    std::uint64_t length = one_in(10) ? buffer.pages : 1 + random_.below(std::min<std::uint64_t>(8, buffer.pages));
    std::uint64_t first = random_.below(buffer.pages - length + 1);
    if (again && last_.first + last_.pages <= buffer.pages) {
      length = last_.pages;
      first = last_.first;
    }
    for (const Argument& argument : row.arguments) {
      if (argument.optional) continue;
      switch (argument.form) {
        case Form::buffer:
        case Form::new_buffer: {
          const auto member = std::get<std::string Operation::*>(argument.member);
          if (argument.form == Form::new_buffer) {
            if (names_ >= 26) return false;
            operation.*member = std::string(1, static_cast<char>('a' + names_));
          } else {
            operation.*member = member == &Operation::target ? target.name : buffer.name;
          }
          break;
        }
        case Form::first: {
          const auto member = std::get<std::uint64_t Operation::*>(argument.member);
          if (member == &Operation::target_first)
            operation.target_first = target.pages < length ? 0 : random_.below(target.pages - length + 1);
          else
            operation.*member = has(&Operation::pages, Form::pages) ? first : random_.below(buffer.pages + 1);
          break;
        }
        case Form::pages: {
          const bool old_size = std::get<std::uint64_t Operation::*>(argument.member) == &Operation::first;
          if (old_size)
            operation.first = buffer.pages;
          else
            operation.pages = has(&Operation::first, Form::pages) ? 1 + random_.below(buffer.pages + 4) : length;
          break;
        }
        case Form::value:
          operation.value = 2 * (1 + random_.below(100));
          break;
        case Form::word:
          operation.word = any_of(argument.words);
          break;
      }
    }
    return true;
  }

  // Some programs tell of the end of the address space.
  void end() {
    if (!one_in(5)) return;
    std::vector<const OperationRow*> ways;
    for (const OperationRow& row : operations())
      if ((row.name == "exit" || row.name == "mrelease") && is_drawn(row)) ways.push_back(&row);
    if (ways.empty()) return;
    add_if_sensible(*any_of(ways));
    for (const char* name : {"dr", "kr"})
      if (const OperationRow* row = find_operation(name)) add_if_sensible(*row);
  }

  RandomStream random_;
  Recording program_;
  MemoryModel model_;
  std::string device_;
  unsigned names_ = 0;
  Operation last_;  // on pages
};

}  // namespace

bool is_drawn(const OperationRow& row) { return row.steps != nullptr && MemoryModel::knows(row.name); }

Recording draw_program(std::uint64_t seed, const std::string& device) { return Generator(seed, device).draw(); }

}  // namespace secmmu::conform
