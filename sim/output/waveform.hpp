// waves.vcd with waves.gtkw: the state of every core, address space and device over time, as signals.
#pragma once

#include <memory>
#include <string_view>

#include "sim/output/byte_sink.hpp"
#include "sim/output/file_set.hpp"
#include "sim/output/sink.hpp"

namespace secmmu {

class Waveform final : public Sink {
 public:
  Waveform(ByteSink& vcd, const RunDescription& run, SinkOptions options = {});
  ~Waveform() override;
  void attach(Bus& bus) override;
  void violation(const Violation& violation) override;
  void finish(Time end) override;

  // After finish(): the save file with which GTKWave opens the dump, and its tables of names.
  void write_view(const FileSet& files, std::string_view name = "waves.gtkw",
                  std::string_view dump_name = "waves.vcd") const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace secmmu
