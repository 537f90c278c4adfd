#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>

#include <fmt/format.h>

#include "notifier/kernel.hpp"
#include "sim/commands/command.hpp"
#include "sim/commands/usage.hpp"
#include "sim/output/file_set.hpp"
#include "sim/output/junit.hpp"
#include "sim/run/build.hpp"
#include "sim/run/worker.hpp"
#include "sim/scenario/kernel_names.hpp"
#include "sim/scenario/parser.hpp"
#include "sim/scenario/values.hpp"

namespace secmmu {
namespace {

// As typed; checked before anything runs.
struct Request {
  std::vector<std::string> files;
  std::vector<std::string> sets;
  std::vector<std::string> kernels;
  std::vector<std::string> lanes;
  std::optional<std::string> out;
  std::optional<std::string> junit;
  std::optional<std::string> seed;
  std::optional<std::string> jobs;
  std::optional<std::string> from;
  std::optional<std::string> to;
  std::optional<std::string> max_events;
  bool verbose = false;
};

Time moment(std::string_view option, const std::string& text) {
  const auto parsed = language::parse_duration(text);
  if (!parsed.value) throw WrongUsage(fmt::format("{}: {}, expected {}", option, parsed.wrong, parsed.expected));
  return *parsed.value;
}

// A file that is given by its path, which may have a folder.
struct Document {
  explicit Document(const std::string& path) : whole(path) {}
  FileSet folder() const { return FileSet(whole.has_parent_path() ? whole.parent_path() : "."); }
  void write(const std::string& text) const { folder().write(whole.filename().string(), text); }
  // A run may take long: better to hear before it that its result cannot be kept.
  void try_to_write() const {
    if (whole.filename().empty() || std::filesystem::is_directory(whole))
      throw OutputError("cannot write " + whole.string() + ": it is a directory");
    folder().open(whole.filename().string());  // given up at once
  }
  std::filesystem::path whole;
};

RunOptions options_of(const Request& request) {
  RunOptions options;
  options.kernels = kernels_option(request.kernels);
  if (request.seed) options.seed = number_option("--seed", *request.seed, 0, UINT64_MAX);
  if (request.jobs) options.jobs = static_cast<unsigned>(number_option("--jobs", *request.jobs, 1, 256));
  if (request.max_events) options.sinks.max_events = number_option("--max-events", *request.max_events, 1, UINT64_MAX);
  if (request.from) options.sinks.from = moment("--from", *request.from);
  if (request.to) options.sinks.to = moment("--to", *request.to);
  if (options.sinks.to < options.sinks.from) throw WrongUsage("--to comes before --from");
  options.sinks.lanes = request.lanes;
  if (request.out && request.out->empty()) throw WrongUsage("--out: '' is no folder");
  if (request.junit && request.junit->empty()) throw WrongUsage("--junit: '' is no file");
  options.directory = request.out.value_or("");
  while (options.directory.size() > 1 && options.directory.ends_with('/')) options.directory.pop_back();
  options.brief = request.files.size() > 1 && !request.verbose;
  options.verbose = request.verbose;
  const char* no_colour = std::getenv("NO_COLOR");
  options.colour = isatty(STDOUT_FILENO) != 0 && (no_colour == nullptr || *no_colour == '\0');
  // Two of them on one line would be no progress.
  options.progress = isatty(STDERR_FILENO) != 0 && (options.jobs == 1 || request.files.size() == 1);
  return options;
}

// A lane is a prefix of a name, of a scenario at least.
void check_lanes(const std::vector<std::string>& lanes, const std::vector<Scenario>& scenarios) {
  if (lanes.empty()) return;
  std::set<std::string> names;
  for (const NamedSentence& task : catalogue().tasks) names.insert(task.name);
  for (const Scenario& scenario : scenarios) {
    const PlatformConfig machine = platform_config(scenario);
    for (std::uint64_t core = 0; core < machine.machine.cpus; ++core) names.insert(fmt::format("cpu{}", core));
    for (const PlatformTask& task : machine.tasks) names.insert(task.name);
    for (const DeviceSpec& device : scenario.devices) names.insert(device.name);
    for (const ProcessSpec& process : scenario.processes) names.insert(process.name);
  }
  const std::vector<std::string> all(names.begin(), names.end());
  for (const std::string& lane : lanes)
    if (lane.empty() || std::none_of(all.begin(), all.end(), [&](const auto& name) { return name.starts_with(lane); }))
      throw WrongUsage("--lanes: " + unknown_name("core, task, device or process", lane, all));
}

void check_names(const std::vector<Scenario>& scenarios) {
  std::map<std::string, std::string> paths;
  for (const Scenario& scenario : scenarios) {
    const auto [place, added] = paths.emplace(scenario.name, scenario.path);
    if (added) continue;
    throw WrongUsage(fmt::format("--out: {} and {} have the same name, '{}', and would overwrite each other's outputs",
                                 place->second, scenario.path, scenario.name));
  }
}

std::string outcome_in_words(const SummaryEntry& entry) {
  if (entry.outcome != "passed") return entry.outcome == "failed" ? "FAILED" : entry.outcome;
  return entry.violated.empty() ? "clean" : fmt::format("{}", fmt::join(entry.violated, " + "));
}

// For each scenario of several kernels, which neighbours do the same: "v2.6.27..v3.2 use-after-free".
std::string overview_of_kernels(const std::vector<SummaryEntry>& entries) {
  std::vector<std::string> order;
  std::map<std::string, std::vector<const SummaryEntry*>> scenarios;
  for (const SummaryEntry& entry : entries) {
    if (!entry.variant.empty() || entry.path.empty()) continue;
    std::vector<const SummaryEntry*>& runs = scenarios[entry.scenario];
    if (runs.empty()) order.push_back(entry.scenario);
    if (runs.empty() || runs.front()->seed == entry.seed) runs.push_back(&entry);
  }
  std::string text;
  for (const std::string& name : order) {
    const std::vector<const SummaryEntry*>& runs = scenarios[name];
    if (runs.size() <= 2) continue;
    text += fmt::format("  {}\n", name);
    for (std::size_t from = 0; from < runs.size();) {
      const std::string what = outcome_in_words(*runs[from]);
      std::size_t to = from;
      while (to + 1 < runs.size() && outcome_in_words(*runs[to + 1]) == what) ++to;
      const std::string kernels =
          from == to ? runs[from]->kernel : fmt::format("{}..{}", runs[from]->kernel, runs[to]->kernel);
      text += fmt::format("      {:17} {}\n", kernels, what);
      from = to + 1;
    }
  }
  return text;
}

int run(const Request& request) {
  const RunOptions options = options_of(request);
  // Every file is parsed first: a mistake in the last one costs no run.
  std::vector<Scenario> scenarios;
  bool sound = true;
  for (const std::string& file : request.files) {
    ParseResult parsed = parse_scenario_file(file, request.sets);
    for (const Diagnostic& error : parsed.errors) fmt::print(stderr, "{}", to_text(error));
    sound = sound && parsed.scenario.has_value();
    if (parsed.scenario) scenarios.push_back(std::move(*parsed.scenario));
  }
  if (!sound) return static_cast<int>(ExitCode::input);
  check_lanes(options.sinks.lanes, scenarios);
  const Document overview(options.directory + "/summary.json");
  if (!options.directory.empty()) {
    check_names(scenarios);
    overview.try_to_write();
    std::filesystem::remove(overview.whole);  // that of an earlier run says nothing about this one
  }
  if (request.junit) Document(*request.junit).try_to_write();

  ExitCode code = ExitCode::held;
  std::vector<SummaryEntry> summary;
  std::vector<JunitResult> junit;
  std::uint64_t runs = 0;
  std::uint64_t passed = 0;
  std::uint64_t never = 0;
  run_scenarios(scenarios, options, [&](const FileResult& result) {
    fmt::print("{}", result.report);
    std::fflush(stdout);
    fmt::print(stderr, "{}", result.errors);
    code = more_serious(code, result.code);
    summary.insert(summary.end(), result.summary.begin(), result.summary.end());
    junit.insert(junit.end(), result.junit.begin(), result.junit.end());
    runs += result.runs;
    passed += result.passed;
    never += result.never;
  });
  if (!options.directory.empty()) overview.write(summary_json(summary));
  if (request.junit) Document(*request.junit).write(junit_xml(junit));
  if (!options.directory.empty() && options.brief)
    fmt::print("outputs in {}; summary.json there has one entry per run\n", options.directory);
  if (scenarios.size() > 1) fmt::print("{}", overview_of_kernels(summary));
  if (runs > 1)
    fmt::print("{} of {} runs as expected{}\n", passed, runs,
               never == 0 ? "" : fmt::format("; `sometimes` never held in {}", never));
  return static_cast<int>(code);
}

}  // namespace

void add_run_command(CLI::App& program, Action& chosen) {
  auto request = std::make_shared<Request>();
  CLI::App* command = program.add_subcommand("run", "Plays scenarios and judges them.");
  const auto option = [&](const char* name, auto& value, const char* type, const char* description) {
    return command->add_option(name, value, description)->type_name(type)->expected(1)->allow_extra_args(false);
  };
  command->add_option("SCENARIO", request->files, "Scenario files.")->type_name("")->required();
  option("--out", request->out, "DIR", "Writes verdicts, events, traces and waveforms to DIR/scenario/kernel/.");
  option("--kernel", request->kernels, "V,...",
         "Runs these kernels instead of the scenario's: names, ranges as v3.2..v3.9, or all; may be repeated.")
      ->delimiter(',')
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  option("--seed", request->seed, "N", "Runs this seed only.");
  option("--set", request->sets, "PATH=VALUE", "Overrides a value, path as in resolved.yaml; may be repeated.")
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  option("--junit", request->junit, "FILE", "Writes the results as JUnit XML.");
  option("--jobs", request->jobs, "N", "Scenarios at the same time, 1 to 256.");
  command->add_flag("--verbose", request->verbose, "Tells every run in full. Of several files only failed ones are.");
  option("--from", request->from, "TIME", "Outputs begin at this modelled time.");
  option("--to", request->to, "TIME", "Outputs end at this modelled time.");
  option("--lanes", request->lanes, "NAME,...",
         "Outputs have only these cores, tasks, devices and processes, each with all whose name begins so.")
      ->delimiter(',')
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  option("--max-events", request->max_events, "N", "Most events in each output.");
  command->callback([request, &chosen] {
    chosen = [request] {
      try {
        return run(*request);
      } catch (const WrongUsage& error) {
        return usage_error("run", error.what());
      } catch (const OutputError& error) {
        fmt::print(stderr, "secmmu run: error: {}\n", error.what());
        return static_cast<int>(ExitCode::input);
      }
    };
  });
}

}  // namespace secmmu
