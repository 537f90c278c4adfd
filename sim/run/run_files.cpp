#include "sim/run/run_files.hpp"

#include "sim/output/event_stream.hpp"
#include "sim/output/file_set.hpp"
#include "sim/output/text_trace.hpp"
#include "sim/output/timeline.hpp"
#include "sim/output/waveform.hpp"

namespace secmmu {

struct RunFiles::Parts {
  Parts(const std::string& directory, const RunDescription& the_run, const SinkOptions& options)
      : run(the_run),
        files(directory),
        events_file(files.open("events.jsonl")),
        trace_file(files.open("trace.txt")),
        timeline_file(files.open("timeline.pftrace")),
        waves_file(files.open("waves.vcd")),
        events(events_file, run, options),
        trace(trace_file, run, options),
        timeline(timeline_file, run, options),
        waves(waves_file, run, options),
        statistics(run) {}

  RunDescription run;
  FileSet files;
  OutputFile events_file;
  OutputFile trace_file;
  OutputFile timeline_file;
  OutputFile waves_file;
  EventStream events;
  TextTrace trace;
  Timeline timeline;
  Waveform waves;
  Statistics statistics;
  std::vector<Sink*> sinks{&events, &trace, &timeline, &waves, &statistics};
};

RunFiles::RunFiles(const std::string& directory, const RunDescription& run, const SinkOptions& options) {
  if (!directory.empty()) parts_ = std::make_unique<Parts>(directory, run, options);
}
RunFiles::~RunFiles() = default;

void RunFiles::attach(Bus& bus) {
  if (parts_ == nullptr) return;
  for (Sink* sink : parts_->sinks) sink->attach(bus);
}

void RunFiles::violation(const Violation& violation) {
  if (parts_ == nullptr) return;
  for (Sink* sink : parts_->sinks) sink->violation(violation);
}

void RunFiles::finish(RunVerdict& verdict, const std::vector<StatisticRow>& counters, const std::string& resolved) {
  if (parts_ == nullptr) return;
  for (Sink* sink : parts_->sinks) sink->finish(verdict.end);
  parts_->waves.write_view(parts_->files);
  for (OutputFile* file :
       {&parts_->events_file, &parts_->trace_file, &parts_->timeline_file, &parts_->waves_file})
    file->commit();
  parts_->statistics.add(counters);
  parts_->files.write("stats.json", parts_->statistics.json());
  parts_->files.write("resolved.yaml", resolved);
  verdict.directory = parts_->files.directory().string();
  verdict.files = {"resolved.yaml", "verdict.json", "events.jsonl",     "trace.txt",
                   "waves.vcd",     "waves.gtkw",   "timeline.pftrace", "stats.json"};
  parts_->files.write("verdict.json", verdict_json(verdict));
}

}  // namespace secmmu
