#include "sim/output/vcd_writer.hpp"

#include <algorithm>
#include <bit>
#include <stdexcept>
#include <utility>

namespace secmmu {
namespace {

constexpr std::uint32_t kNoCode = UINT32_MAX;
constexpr std::uint32_t kTop = 0;
constexpr unsigned kMaxWidth = 64;

bool is_word(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'; }

// Viewers disagree on anything but plain identifiers, brackets above all.
std::string sanitised_name(std::string_view name) {
  std::string result;
  if (name.empty() || (name.front() >= '0' && name.front() <= '9')) result += '_';
  for (const char c : name) result += is_word(c) ? c : '_';
  return result;
}

// Text inside a $comment: printable ASCII, and nothing that could end it.
std::string sanitised_comment(std::string_view text) {
  std::string result;
  for (const char c : text) result += c >= ' ' && c <= '~' && c != '$' ? c : '_';
  return result;
}

// Short printable names: the digits of `number` in base 94, the first of them being '!'.
std::string identifier(std::size_t number) {
  std::string id;
  do {
    id += static_cast<char>('!' + number % 94);
    number /= 94;
  } while (number != 0);
  return id;
}

}  // namespace

VcdWriter::VcdWriter(ByteSink& sink, VcdOptions options) : sink_(sink), options_(std::move(options)) {
  if (options_.to <= options_.from) throw std::invalid_argument("the window of a waveform is empty");
  if (options_.pulse_width == Time{}) throw std::invalid_argument("a pulse needs a width to be seen");
  scopes_.push_back({"secmmu", kTop, {}});
  declare({}, "truncated", 1, {}, false, 0);
}

VcdScope VcdWriter::scope(std::string_view name, VcdScope parent) {
  if (now_ != Time{} || started_) throw std::logic_error("a scope was declared after the first change");
  scopes_.push_back({unique_name(parent.index, name), parent.index, {}});
  return {static_cast<std::uint32_t>(scopes_.size() - 1)};
}

VcdCode VcdWriter::code(std::string_view name, std::vector<std::string> values) {
  if (values.empty()) throw std::invalid_argument("a code needs at least one value");
  const auto width = std::max(1U, static_cast<unsigned>(std::bit_width(values.size() - 1)));
  codes_.push_back({sanitised_name(name), std::move(values), width});
  return {static_cast<std::uint32_t>(codes_.size() - 1)};
}

VcdSignal VcdWriter::wire(VcdScope scope, std::string_view name, bool initial) {
  return declare(scope, name, 1, {}, false, initial ? 1 : 0);
}

VcdSignal VcdWriter::vector(VcdScope scope, std::string_view name, unsigned width, std::uint64_t initial) {
  return declare(scope, name, width, {}, false, initial);
}

VcdSignal VcdWriter::coded(VcdScope scope, std::string_view name, VcdCode code, std::uint64_t initial) {
  return declare(scope, name, codes_.at(code.index).width, code, false, initial);
}

VcdSignal VcdWriter::pulse(VcdScope scope, std::string_view name) { return declare(scope, name, 1, {}, true, 0); }

VcdSignal VcdWriter::declare(VcdScope scope, std::string_view name, unsigned width, VcdCode code, bool is_pulse,
                             std::uint64_t initial) {
  if (now_ != Time{} || started_) throw std::logic_error("a signal was declared after the first change");
  if (width == 0 || width > kMaxWidth) throw std::invalid_argument("a signal has 1 to 64 bits");
  const std::size_t number = signals_.size();
  signals_.push_back({unique_name(scope.index, name),
                      identifier(number),
                      scope.index,
                      width,
                      code.index,
                      is_pulse,
                      false,
                      initial,
                      initial,
                      {}});
  return {static_cast<std::uint32_t>(number)};
}

std::string VcdWriter::unique_name(std::uint32_t scope, std::string_view name) {
  std::vector<std::string>& taken = scopes_.at(scope).taken;
  const std::string wanted = sanitised_name(name);
  std::string result = wanted;
  for (unsigned copy = 2; std::find(taken.begin(), taken.end(), result) != taken.end(); ++copy)
    result = wanted + "_" + std::to_string(copy);
  taken.push_back(result);
  return result;
}

std::string VcdWriter::full_name(VcdSignal handle) const {
  const Signal& signal = signals_.at(handle.index);
  std::string name = signal.name;
  for (std::uint32_t scope = signal.scope;; scope = scopes_[scope].parent) {
    name.insert(0, scopes_[scope].name + ".");
    if (scope == kTop) break;
  }
  if (signal.width > 1) name += "[" + std::to_string(signal.width - 1) + ":0]";
  return name;
}

const VcdWriter::Code* VcdWriter::code_of(VcdSignal signal) const {
  const std::uint32_t index = signals_.at(signal.index).code;
  return index == kNoCode ? nullptr : &codes_[index];
}

void VcdWriter::change(VcdSignal signal, std::uint64_t value, Time at) {
  const Signal& changed = signals_.at(signal.index);
  if (changed.width < kMaxWidth && value >> changed.width != 0)
    throw std::logic_error(full_name(signal) + " is too narrow for " + std::to_string(value));
  if (changed.is_pulse) throw std::logic_error(full_name(signal) + " is a pulse: strike it");
  advance(at);
  if (!stopped_) set(signal.index, value);
}

void VcdWriter::strike(VcdSignal pulse, Time at) {
  Signal& struck = signals_.at(pulse.index);
  if (!struck.is_pulse) throw std::logic_error(full_name(pulse) + " is not a pulse");
  advance(at);
  if (stopped_) return;
  set(pulse.index, 1);
  struck.falls_at = at + options_.pulse_width;
  falls_.push_back({struck.falls_at, pulse.index});
}

void VcdWriter::advance(Time at) {
  if (finished_) throw std::logic_error("a waveform was changed after its end");
  if (at < now_) throw std::logic_error("a waveform was changed at a time that had passed: " + to_text(at));
  while (!stopped_ && !falls_.empty() && falls_.front().at <= at) {
    const Fall fall = falls_.front();
    falls_.pop_front();
    // Struck again in the meantime: a later entry lets it fall.
    if (signals_[fall.signal].falls_at != fall.at) continue;
    move_to(fall.at);
    if (!stopped_) set(fall.signal, 0);
  }
  move_to(at);
}

void VcdWriter::move_to(Time at) {
  if (at == now_) return;
  if (!stopped_) {
    if (started_)
      write_instant();
    else if (at > options_.from)
      write_start();
    if (at > options_.to) stopped_ = true;
  }
  now_ = at;
}

void VcdWriter::set(std::uint32_t index, std::uint64_t value) {
  Signal& signal = signals_[index];
  signal.value = value;
  if (signal.dirty || !started_) return;
  signal.dirty = true;
  dirty_.push_back(index);
}

void VcdWriter::write_header() {
  text_ +=
      "$date the same for every run $end\n"
      "$version secmmu $end\n";
  if (!options_.title.empty()) text_ += "$comment " + sanitised_comment(options_.title) + " $end\n";
  text_ += "$comment window: " + to_text(options_.from) + " to " +
           (options_.to == kForever ? "the end" : to_text(options_.to)) + " $end\n";
  // Viewers without translate files show numbers: this says what they mean.
  for (const Code& code : codes_) {
    text_ += "$comment " + code.name + ":";
    for (std::size_t value = 0; value < code.values.size(); ++value)
      text_ += " " + std::to_string(value) + " " + sanitised_comment(code.values[value]);
    text_ += " $end\n";
  }
  text_ += "$timescale 1ps $end\n";
  write_scope(kTop);
  text_ += "$enddefinitions $end\n";
}

void VcdWriter::write_scope(std::uint32_t index) {
  text_ += "$scope module " + scopes_[index].name + " $end\n";
  for (const Signal& signal : signals_) {
    if (signal.scope != index) continue;
    text_ += "$var wire " + std::to_string(signal.width) + " " + signal.id + " " + signal.name;
    if (signal.width > 1) text_ += " [" + std::to_string(signal.width - 1) + ":0]";
    text_ += " $end\n";
  }
  for (std::uint32_t child = 1; child < scopes_.size(); ++child)
    if (scopes_[child].parent == index) write_scope(child);
  text_ += "$upscope $end\n";
}

void VcdWriter::write_start() {
  write_header();
  write_stamp(options_.from);
  text_ += "$dumpvars\n";
  for (Signal& signal : signals_) {
    append_value(signal, signal.value);
    signal.written = signal.value;
  }
  text_ += "$end\n";
  sink_.write(text_);
  text_.clear();
  started_ = true;
}

void VcdWriter::write_instant() {
  std::erase_if(dirty_, [this](std::uint32_t index) {
    Signal& signal = signals_[index];
    signal.dirty = false;
    return signal.value == signal.written;
  });
  if (dirty_.empty()) return;
  write_stamp(now_);
  if (changes_ + dirty_.size() > options_.max_changes) {
    truncated_ = stopped_ = true;
    text_ += "1" + signals_.front().id + "\n";
    for (std::size_t index = 1; index < signals_.size(); ++index)
      text_ += (signals_[index].width == 1 ? "x" : "bx ") + signals_[index].id + "\n";
  } else {
    changes_ += dirty_.size();
    std::sort(dirty_.begin(), dirty_.end());
    for (const std::uint32_t index : dirty_) {
      Signal& signal = signals_[index];
      append_value(signal, signal.value);
      signal.written = signal.value;
    }
  }
  dirty_.clear();
  sink_.write(text_);
  text_.clear();
}

void VcdWriter::write_stamp(Time at) {
  text_ += "#" + std::to_string(at.ps) + "\n";
  last_ = at;
}

void VcdWriter::append_value(const Signal& signal, std::uint64_t value) {
  if (signal.width == 1) {
    text_ += value != 0 ? '1' : '0';
  } else {
    text_ += 'b';
    // The format extends with zeros, so the leading ones need not be written.
    for (auto bit = std::max(1, static_cast<int>(std::bit_width(value))); bit-- > 0;)
      text_ += (value >> bit & 1) != 0 ? '1' : '0';
    text_ += ' ';
  }
  text_ += signal.id;
  text_ += '\n';
}

void VcdWriter::finish(Time end) {
  if (finished_) return;
  advance(end);
  // A pulse at the very end must still be seen, so the dump may end one pulse later than the run.
  while (!stopped_ && !falls_.empty()) advance(end = falls_.front().at);
  if (!started_)
    write_start();
  else if (!stopped_)
    write_instant();
  // The last stamp has no change: it only gives the last values a length.
  write_stamp(std::max(std::min(end, options_.to), last_ + Time{1}));
  sink_.write(text_);
  text_.clear();
  finished_ = true;
}

}  // namespace secmmu
