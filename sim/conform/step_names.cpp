#include "sim/conform/step_names.hpp"

#include <fmt/format.h>

#include "sim/conform/devices.hpp"
#include "sim/scenario/values.hpp"

namespace secmmu::conform {
namespace {

// What a step does, apart from when, how often and with which result it should.
Step bare(Step step) {
  step.id.clear();
  step.after.clear();
  step.at.reset();
  step.times = 1;
  step.result.reset();
  step.result_by_kernel.clear();
  step.want.reset();
  step.want_by_kernel.clear();
  step.mark = {};
  if (step.verb == "mmap") step.address.reset();
  if (step.value) step.value = *step.value & 0xff;  // recordings know the first byte only
  if (step.verb == "fork") step.name.clear();
  if ((step.verb == "write" || step.verb == "pwrite") && step.end_page - step.first_page == 1) step.count_up = true;  // of one page: all the same
  return step;
}

std::vector<Operation> candidates(const OperationRow& row, const Step& step, const std::string& buffer) {
  Operation operation;
  operation.name = row.name;
  operation.buffer = step.buffer.empty() ? buffer : step.buffer;
  operation.first = step.first_page;
  operation.pages = step.end_page > 0 ? step.end_page - step.first_page : step.pages;
  operation.value = step.value.value_or(0) & 0xff;
  operation.target = step.onto.empty() ? step.name : step.onto;
  operation.target_first = step.onto_page;
  std::vector<Operation> all = {operation};
  for (const Argument& argument : row.arguments)
    for (const std::string& word : argument.words) {
      all.push_back(operation);
      all.back().word = word;
    }
  return all;
}

std::string written(const Operation& operation, const OperationRow& row) {
  std::string text = operation.name;
  for (const Argument& argument : row.arguments) {
    if (const auto* word = std::get_if<std::string Operation::*>(&argument.member)) {
      if (!(operation.**word).empty()) text += " " + operation.**word;
    } else {
      text += fmt::format(" {}", operation.*std::get<std::uint64_t Operation::*>(argument.member));
    }
  }
  return text;
}

bool has_all_words(const Operation& operation, const OperationRow& row) {
  for (const Argument& argument : row.arguments)
    if (argument.form == Form::word && !argument.optional && operation.word.empty()) return false;
  return true;
}

}  // namespace

// Found by trying: the operation whose steps begin with this one.
NamedStep operation_of(const Step& given, Player player, const std::string& buffer) {
  const Step step = bare(given);
  for (const OperationRow& row : operations()) {
    if (row.player != player || !row.steps) continue;
    for (const Operation& operation : candidates(row, step, buffer)) {
      if (!has_all_words(operation, row)) continue;
      std::vector<Step> steps = row.steps(operation);
      if (steps.empty() || !(bare(steps.front()) == step)) continue;
      steps.erase(steps.begin());
      return {written(operation, row), std::move(steps)};
    }
  }
  return {};
}

void StepNames::run_begins() {
  progress_.clear();
  recording_ = recording_at_first_;
}

std::size_t StepNames::add(std::string text, bool setup) {
  Block& block = blocks_.emplace_back();
  block.operation.text = std::move(text);
  block.operation.name = block.operation.text.substr(0, block.operation.text.find(' '));
  block.operation.setup = setup;
  return blocks_.size() - 1;
}

std::size_t StepNames::block_of(const ActorProgram& program, const Step& given) {
  Progress& progress = progress_[program.actor.name];
  const std::uint64_t number = progress.steps++;
  Step step = given;
  // The whole of a buffer, in numbers.
  if (step.end_page == 0 && program.process != nullptr)
    if (const auto buffer = program.process->buffers.find(step.buffer);
        buffer != program.process->buffers.end() && step.pages == 0)
      step.end_page = buffer->second.pages;

  if (!progress.rest.empty() && bare(progress.rest.front()) == bare(step)) {
    progress.rest.erase(progress.rest.begin());
    return progress.block;
  }
  const Player player = program.device != nullptr                                         ? Player::device
                        : program.process != nullptr && program.process->name == process_ ? Player::process
                                                                                          : Player::child;
  NamedStep named = operation_of(step, player, buffer_);
  progress.rest = std::move(named.rest);
  const bool watches = step.verb == "register" && step.name == kRecorder;
  if (watches) recording_ = true;
  const auto [known, is_new] = known_.emplace(std::pair(program.actor.name, number), blocks_.size());
  progress.block = known->second;
  if (!is_new) return progress.block;
  add(named.text.empty() ? fmt::format("# {}: {}", program.actor.name, step.verb) : named.text, !recording_);
  return progress.block;
}

}  // namespace secmmu::conform
