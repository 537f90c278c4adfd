#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>

#include <fmt/format.h>

#include "notifier/kernel.hpp"
#include "sim/commands/command.hpp"
#include "sim/output/file_set.hpp"
#include "sim/output/junit.hpp"
#include "sim/run/worker.hpp"
#include "sim/scenario/parser.hpp"
#include "sim/scenario/values.hpp"

namespace secmmu {
namespace {

struct Request {
  std::vector<std::string> files;
  std::vector<std::string> sets;
  std::string junit;
  std::string from;
  std::string to;
  std::string seed;
  RunOptions options;
};

// Writes a file whose path may have a folder.
void write_document(const std::string& path, const std::string& text) {
  const std::filesystem::path whole(path);
  FileSet files(whole.has_parent_path() ? whole.parent_path() : ".");
  files.write(whole.filename().string(), text);
}

int usage_error(const std::string& text) {
  fmt::print(stderr, "secmmu run: error: {}\n", text);
  return static_cast<int>(ExitCode::input);
}

int run(Request& request) {
  for (const std::string& kernel : request.options.kernels) {
    std::vector<std::string> names;
    for (const KernelEntry& entry : known_kernels()) names.emplace_back(entry.name);
    if (std::find(names.begin(), names.end(), kernel) != names.end()) continue;
    const std::string close = nearest(kernel, names);
    return usage_error(fmt::format("--kernel: no kernel '{}', expected one of: {}{}", kernel, fmt::join(names, ", "),
                                   close.empty() ? "" : fmt::format("; did you mean '{}'?", close)));
  }
  for (const auto& [text, time, name] : {std::tuple{&request.from, &request.options.sinks.from, "--from"},
                                         std::tuple{&request.to, &request.options.sinks.to, "--to"}}) {
    if (text->empty()) continue;
    const auto parsed = language::parse_duration(*text);
    if (!parsed.value) return usage_error(fmt::format("{}: '{}' is no time, expected one like 12.5us", name, *text));
    *time = *parsed.value;
  }
  if (request.options.sinks.to < request.options.sinks.from) return usage_error("--to comes before --from");

  // Every file is parsed first: a mistake in the last one costs no run.
  std::vector<Scenario> scenarios;
  bool sound = true;
  for (const std::string& file : request.files) {
    ParseResult parsed = parse_scenario_file(file, request.sets);
    for (const Diagnostic& error : parsed.errors) fmt::print(stderr, "{}", to_text(error));
    if (!parsed.scenario) {
      sound = false;
      continue;
    }
    scenarios.push_back(std::move(*parsed.scenario));
  }
  if (!sound) return static_cast<int>(ExitCode::input);
  for (std::size_t i = 0; i < scenarios.size() && !request.options.directory.empty(); ++i)
    for (std::size_t j = 0; j < i; ++j)
      if (scenarios[i].name == scenarios[j].name)
        return usage_error(fmt::format("{} and {} have the same name, '{}': their outputs would overwrite each other",
                                       scenarios[j].path, scenarios[i].path, scenarios[i].name));

  ExitCode code = ExitCode::held;
  std::vector<SummaryEntry> summary;
  std::vector<JunitResult> junit;
  run_scenarios(scenarios, request.options, [&](const FileResult& result) {
    fmt::print("{}", result.report);
    std::fflush(stdout);
    fmt::print(stderr, "{}", result.errors);
    code = more_serious(code, result.code);
    summary.insert(summary.end(), result.summary.begin(), result.summary.end());
    junit.insert(junit.end(), result.junit.begin(), result.junit.end());
  });
  try {
    if (!request.options.directory.empty())
      write_document(request.options.directory + "/summary.json", summary_json(summary));
    if (!request.junit.empty()) write_document(request.junit, junit_xml(junit));
  } catch (const OutputError& error) {
    return usage_error(error.what());
  }
  if (scenarios.size() > 1) {
    const auto passed = std::count_if(summary.begin(), summary.end(),
                                      [](const SummaryEntry& entry) { return entry.outcome == "passed"; });
    fmt::print("{} of {} runs as expected\n", passed, summary.size());
  }
  return static_cast<int>(code);
}

}  // namespace

void add_run_command(CLI::App& program, Action& chosen) {
  auto request = std::make_shared<Request>();
  CLI::App* command = program.add_subcommand("run", "Plays scenarios and judges them.");
  command->add_option("SCENARIO", request->files, "Scenario files.")->required();
  command->add_option("--out", request->options.directory,
                      "Folder for verdicts, events, traces and waveforms: DIR/scenario/kernel/...")
      ->type_name("DIR");
  command->add_option("--kernel", request->options.kernels, "Kernels to run instead of the scenario's.")
      ->type_name("V")
      ->expected(1)
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command->add_option("--seed", request->options.seed, "Run this seed only.")->type_name("N");
  command->add_option("--set", request->sets, "Overrides a value; paths as in resolved.yaml.")
      ->type_name("PATH=VALUE")
      ->expected(1)
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command->add_option("--junit", request->junit, "Writes the results as JUnit XML.")->type_name("FILE");
  command->add_option("--jobs", request->options.jobs, "Scenarios at the same time.")
      ->type_name("N")
      ->check(CLI::Range(1, 256));
  command->add_option("--from", request->from, "Outputs begin at this modelled time.")->type_name("TIME");
  command->add_option("--to", request->to, "Outputs end at this modelled time.")->type_name("TIME");
  command->add_option("--lanes", request->options.sinks.lanes,
                      "Only these cores, tasks, devices and processes in the outputs (prefixes, comma-separated).")
      ->delimiter(',')
      ->type_name("NAME,...")
      ->expected(1)
      ->allow_extra_args(false);
  command->add_option("--max-events", request->options.sinks.max_events, "Most events in each output.")
      ->type_name("N");
  command->callback([request, &chosen] {
    request->options.colour = isatty(1) != 0 && std::getenv("NO_COLOR") == nullptr;
    request->options.progress = isatty(2) != 0;
    chosen = [request] { return run(*request); };
  });
}

}  // namespace secmmu
