// timeline.pftrace: the run as lanes in Perfetto. From top to bottom: violations; each core (which task it runs,
// and interrupts on top of it) with its tasks below (system calls, faults, callbacks, waits, one inside the
// other); each device (its contexts, faults, purges); each address space (how many ranges are open, and which).
// Arrows lead from an invalidation to the callback of each subscriber, from there to the device's purge, and
// back from its acknowledgement.
#pragma once

#include <memory>

#include "sim/output/byte_sink.hpp"
#include "sim/output/sink.hpp"

namespace secmmu {

class Timeline final : public Sink {
 public:
  Timeline(ByteSink& out, const RunDescription& run, SinkOptions options = {});
  ~Timeline() override;
  void attach(Bus& bus) override;
  void violation(const Violation& violation) override;
  void finish(Time end) override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace secmmu
