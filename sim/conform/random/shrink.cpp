#include "sim/conform/random/shrink.hpp"

#include <algorithm>
#include <map>
#include <utility>

#include "sim/conform/reader.hpp"

namespace secmmu::conform {
namespace {

class Shrinker {
 public:
  Shrinker(Recording program, const std::function<bool(const Recording&)>& fails, std::size_t tries)
      : program_(std::move(program)), fails_(fails), left_(tries) {}

  Recording shrink() {
    for (bool smaller = true; smaller && left_ > 0;) {
      smaller = leave_out();
      smaller = narrow() || smaller;
    }
    return std::move(program_);
  }

 private:
  bool take_if_it_fails(Recording smaller) {
    if (left_ == 0 || !is_readable(smaller)) return false;
    --left_;
    if (!fails_(smaller)) return false;
    program_ = std::move(smaller);
    return true;
  }

  // Delta debugging: halves, quarters, ... and then one by one, from the end, where most is only what came later.
  bool leave_out() {
    bool any = false;
    for (std::size_t length = std::max<std::size_t>(1, program_.blocks.size() / 2);; length /= 2) {
      for (std::size_t end = program_.blocks.size(); end > 0 && left_ > 0;) {
        const std::size_t begin = end > length ? end - length : 0;
        Recording smaller = program_;
        smaller.blocks.erase(smaller.blocks.begin() + static_cast<std::ptrdiff_t>(begin),
                             smaller.blocks.begin() + static_cast<std::ptrdiff_t>(end));
        any = take_if_it_fails(std::move(smaller)) || any;
        end = begin;
      }
      if (length == 1) return any;
    }
  }

  bool narrow() {
    bool any = false;
    for (std::size_t block = 0; block < program_.blocks.size() && left_ > 0; ++block)
      while (narrow_one(block)) any = true;
    return any;
  }

  // Fewer pages, from either end; then nearer to the start of the buffer.
  bool narrow_one(std::size_t block) {
    const Operation operation = program_.blocks[block].operation;
    const bool has_range = operation.pages > 0 && !operation.name.starts_with("mremap_size");
    if (!has_range) return false;
    const auto with = [&](auto change) {
      Recording smaller = program_;
      Operation& changed = smaller.blocks[block].operation;
      change(changed);
      changed.text = text_of(*find_operation(changed.name), changed);
      return take_if_it_fails(std::move(smaller));
    };
    if (operation.pages > 1) {
      const std::uint64_t half = operation.pages / 2;
      if (with([&](Operation& one) { one.pages = half; })) return true;
      if (takes_first(operation) && with([&](Operation& one) {
            one.first += half;
            one.pages -= half;
          }))
        return true;
      if (with([&](Operation& one) { one.pages -= 1; })) return true;
      if (takes_first(operation) && with([&](Operation& one) {
            one.first += 1;
            one.pages -= 1;
          }))
        return true;
    }
    return false;
  }
  static bool takes_first(const Operation& operation) {
    const std::vector<Argument>& arguments = find_operation(operation.name)->arguments;
    return std::any_of(arguments.begin(), arguments.end(),
                       [](const Argument& argument) { return argument.form == Form::first; });
  }

  Recording program_;
  const std::function<bool(const Recording&)>& fails_;
  std::size_t left_;
};

// Nobody reaches beyond the end of a buffer.
bool fits(const Recording& program) {
  std::map<std::string, std::uint64_t> sizes;
  for (const Block& block : program.blocks) {
    const Operation& operation = block.operation;
    bool has_first = false;
    const std::string* made = nullptr;
    for (const Argument& argument : find_operation(operation.name)->arguments) {
      has_first = has_first || argument.form == Form::first;
      if (argument.form == Form::new_buffer) made = &(operation.*std::get<std::string Operation::*>(argument.member));
    }
    const bool resizes = !has_first && made == nullptr && operation.pages > 0;
    if (has_first && operation.first + operation.pages > sizes[operation.buffer]) return false;
    if (operation.target_first != 0 && operation.target_first + operation.pages > sizes[operation.target]) return false;
    if (made != nullptr) sizes[*made] = operation.pages;
    if (resizes) sizes[operation.buffer] = std::max(sizes[operation.buffer], operation.pages);
  }
  return true;
}

}  // namespace

bool is_readable(const Recording& program) {
  if (!fits(program)) return false;
  Recording lined = program;
  for (Block& block : lined.blocks)
    block.lines = block.operation.setup ? std::vector<Line>{} : std::vector<Line>{{"= ok"}};
  return read_recording(to_text(lined), program.path).errors.empty();
}

Recording shrink(Recording program, const std::function<bool(const Recording&)>& fails, std::size_t tries) {
  return Shrinker(std::move(program), fails, tries).shrink();
}

}  // namespace secmmu::conform
