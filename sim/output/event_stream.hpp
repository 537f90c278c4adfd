// events.jsonl: every event of the run, one JSON object per line, for programs. The first line is a header, the
// last one the end of the run. Of an event: "t" in picoseconds, "n" its ordinal in the run, "task", "core" unless
// it ran on none, "irq": true if it ran on top of that task, "event" its name, and in "fields" what `secmmu list
// tracepoints` says of it. A violation has "violation", the rule, instead of "event". Numbers are exact integers,
// times picoseconds; addresses and frames are texts in hexadecimal, no frame is null, and a range of pages is two
// addresses, half open.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "sim/output/byte_sink.hpp"
#include "sim/output/sink.hpp"

namespace secmmu {

class EventStream final : public Sink {
 public:
  EventStream(ByteSink& out, const RunDescription& run, SinkOptions options = {});
  ~EventStream() override;
  void attach(Bus& bus) override;
  void violation(const Violation& violation) override;
  void finish(Time end) override;

  std::uint64_t events() const;  // seen, left out or not

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// A JSON string with its quotes. Bytes that are not UTF-8 become U+FFFD.
void append_json_text(std::string& json, std::string_view text);

}  // namespace secmmu
