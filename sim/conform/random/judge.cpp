#include "sim/conform/random/judge.hpp"

#include <fmt/format.h>

#include "models/devices/device.hpp"
#include "sim/conform/translation.hpp"

namespace secmmu::conform {

void Judge::run_begins(const World& world) {
  world_ = &world;
  recorder_.run_begins(world);
}

void Judge::step_begins(const ActorProgram& program, const Step& step) {
  recorder_.step_begins(program, step);
  step_ = &step;
  const std::size_t block = block_of(step);
  if (block == block_) return;  // a part of the same operation
  close();
  block_ = block;
}

void Judge::step_ended(const ActorProgram& program, const Step& step, std::string_view result) {
  recorder_.step_ended(program, step, result);
  // What the translation maps beside the program's own.
  if (block_of(step) >= program_.blocks.size() && step.verb == "mmap" && step.backing == Backing::anon &&
      result == "ok")
    model_.mapped_beside(step.address->page().value, step.pages);
  if (block_of(step) != block_) return;
  if (result_ == "ok") result_ = result;
  for (const auto& [name, buffer] : world_->processes.at(std::string(kProcess)).buffers)
    places_[name] = buffer.at.page().value;
}

void Judge::answered(const ActorProgram& program, std::string_view word) { recorder_.answered(program, word); }

void Judge::accessed(const ActorProgram& program, VirtAddr address, bool write, std::uint64_t value,
                     std::string_view result) {
  recorder_.accessed(program, address, write, value, result);
  const auto buffer = program.process->buffers.find(step_->buffer);
  if (buffer == program.process->buffers.end()) return;
  MemoryModel::Access access;
  access.process = program.process->name;
  access.device = program.device == nullptr ? "" : program.device->name();
  access.buffer = step_->buffer;
  access.at = address.page().value;
  access.page = address.page() - buffer->second.at.page();
  access.write = write;
  access.value = value;
  access.result = result;
  if (block_of(*step_) == block_) seen_[block_].push_back(model_.expected(access));
  say(model_.accessed(access));
}

// The place of each buffer is looked up when an operation has ended: the kernel has chosen it.
void Judge::close() {
  if (block_ < program_.blocks.size()) say(model_.done(program_.blocks[block_].operation, result_, places_));
  result_ = "ok";
}

void Judge::say(const std::string& what) {
  if (!what.empty() && wrong_.empty())
    wrong_ =
        block_ < program_.blocks.size() ? fmt::format("{}: {}", program_.blocks[block_].operation.text, what) : what;
}

std::vector<std::vector<Line>> Judge::expected(const std::vector<Recorder::Part>& parts) const {
  std::vector<std::vector<Line>> lines(program_.blocks.size());
  for (const Recorder::Part& part : parts) {
    if (part.block >= lines.size() || program_.blocks[part.block].operation.setup) continue;
    const auto seen = seen_.find(part.block);
    std::size_t next = 0;
    for (Line line : part.lines) {
      const LineKind kind = kind_of(line.text);
      if (seen != seen_.end() && kind == LineKind::value) {
        line.text = "v";
        for (const std::string& word : seen->second) line.text += " " + word;
      } else if (seen != seen_.end() && kind == LineKind::device && next < seen->second.size()) {
        // "d PAGE r hit VALUE", "d PAGE r error -14"
        const std::string& right = seen->second[next++];
        const std::size_t place = line.text.find(' ', line.text.find(' ', 2) + 1);
        const bool error = line.text.find("error") != std::string::npos;
        if (right.starts_with("error"))
          line.text = line.text.substr(0, place) + " " + right;
        else if (error)
          line.text = line.text.substr(0, place) + " fault " + right;
        else
          line.text = line.text.substr(0, line.text.rfind(' ')) + " " + right;
      }
      lines[part.block].push_back(std::move(line));
    }
  }
  return lines;
}

}  // namespace secmmu::conform
