// Writes a value change dump (VCD), the waveform format of IEEE 1364 that every viewer opens. Pushed, not
// polled: it costs only where something changes. Equal runs give equal bytes: no wall clock, and the
// signals of one instant come in the order of their declaration.
//
// Declare scopes, codes and signals; then change() in the order of time; then finish(). Of several changes
// of one signal at one instant the last one counts, for the format cannot show more. Something that takes
// no time is therefore a pulse: it stays high for `pulse_width`, and pulses closer than that run together.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "notifier/substrate/time.hpp"
#include "sim/output/byte_sink.hpp"

namespace secmmu {

struct VcdScope {
  std::uint32_t index = 0;  // 0: the outermost scope, `secmmu`
};
struct VcdSignal {
  std::uint32_t index = UINT32_MAX;
};
struct VcdCode {
  std::uint32_t index = UINT32_MAX;
};

struct VcdOptions {
  // The window, both ends in it. What happened before shows as the values at its start.
  Time from{};
  Time to = kForever;
  // More than this and viewers grow slow: from there on every signal is unknown (x) and
  // `secmmu.truncated` is high.
  std::uint64_t max_changes = 4'000'000;
  Time pulse_width{1'000};
  std::string title{};  // one line in the header: scenario, kernel, seed
};

class VcdWriter {
 public:
  // A code gives the values of a vector names: 0 is the first, and so on.
  struct Code {
    std::string name;
    std::vector<std::string> values;
    unsigned width;
  };

  VcdWriter(ByteSink& sink, VcdOptions options);

  VcdScope scope(std::string_view name, VcdScope parent = {});
  VcdCode code(std::string_view name, std::vector<std::string> values);

  VcdSignal wire(VcdScope scope, std::string_view name, bool initial = false);
  VcdSignal vector(VcdScope scope, std::string_view name, unsigned width, std::uint64_t initial = 0);
  VcdSignal coded(VcdScope scope, std::string_view name, VcdCode code, std::uint64_t initial = 0);
  VcdSignal pulse(VcdScope scope, std::string_view name);

  void change(VcdSignal signal, std::uint64_t value, Time at);
  void strike(VcdSignal pulse, Time at);
  void finish(Time end);

  // For the save file that goes with the dump.
  std::string full_name(VcdSignal signal) const;  // secmmu.mm0.sequence[31:0]
  unsigned width(VcdSignal signal) const { return signals_.at(signal.index).width; }
  const Code* code_of(VcdSignal signal) const;
  VcdSignal truncated_signal() const { return {0}; }
  Time first() const { return options_.from; }
  Time last() const { return last_; }  // of what is written so far
  bool truncated() const { return truncated_; }
  std::uint64_t changes() const { return changes_; }

 private:
  struct Scope {
    std::string name;
    std::uint32_t parent;
    std::vector<std::string> taken;  // names below it, to keep them apart
  };
  struct Signal {
    std::string name;
    std::string id;
    std::uint32_t scope;
    unsigned width;
    std::uint32_t code;
    bool is_pulse;
    bool dirty = false;
    std::uint64_t value;
    std::uint64_t written = 0;
    Time falls_at{};
  };
  struct Fall {
    Time at;
    std::uint32_t signal;
  };

  VcdSignal declare(VcdScope scope, std::string_view name, unsigned width, VcdCode code, bool is_pulse,
                    std::uint64_t initial);
  std::string unique_name(std::uint32_t scope, std::string_view name);
  void advance(Time at);
  void move_to(Time at);
  void set(std::uint32_t index, std::uint64_t value);
  void write_header();
  void write_scope(std::uint32_t index);
  void write_start();
  void write_instant();
  void write_stamp(Time at);
  void append_value(const Signal& signal, std::uint64_t value);

  ByteSink& sink_;
  VcdOptions options_;
  std::vector<Scope> scopes_;
  std::vector<Code> codes_;
  std::vector<Signal> signals_;
  std::vector<std::uint32_t> dirty_;
  std::deque<Fall> falls_;  // in the order of time, for every pulse has the same width
  std::string text_;
  Time now_{};
  Time last_{};
  std::uint64_t changes_ = 0;
  bool started_ = false;  // the values at the start of the window are written
  bool stopped_ = false;  // nothing more will be shown
  bool truncated_ = false;
  bool finished_ = false;
};

}  // namespace secmmu
