// trace.txt: the run as Linux's ftrace prints it. TASK is the task's name, PID its number plus one; a device's
// engine runs on no core and has a CPU# of its own behind the real ones, which the header names. Time is
// modelled, in seconds with all twelve decimals, so that it is exact. Flags that are known: d and h inside an
// interrupt, and the preemption depth as the number of spinlocks held.
#pragma once

#include <memory>

#include "sim/output/byte_sink.hpp"
#include "sim/output/sink.hpp"

namespace secmmu {

class TextTrace final : public Sink {
 public:
  TextTrace(ByteSink& out, const RunDescription& run, SinkOptions options = {});
  ~TextTrace() override;
  void attach(Bus& bus) override;
  void violation(const Violation& violation) override;
  void finish(Time end) override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace secmmu
