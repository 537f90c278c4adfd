#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>

#include <fmt/format.h>

#include "sim/commands/command.hpp"
#include "sim/commands/random_programs.hpp"
#include "sim/commands/usage.hpp"
#include "sim/conform/comparison.hpp"
#include "sim/conform/difference_text.hpp"
#include "sim/conform/player.hpp"
#include "sim/conform/reader.hpp"
#include "sim/conform/report.hpp"
#include "sim/conform/scenario_run.hpp"
#include "sim/output/file_set.hpp"
#include "sim/run/worker.hpp"
#include "sim/scenario/parser.hpp"

namespace secmmu {
namespace {

using namespace conform;

struct Request {
  std::vector<std::string> paths;
  bool diff = false;
  std::optional<std::string> report;
  std::optional<std::string> scenario;  // --record
  std::vector<std::string> kernels;
  std::optional<std::string> jobs;
  std::vector<std::string> without;
  // --random
  std::optional<std::string> random;
  std::optional<std::string> seed;
  std::vector<std::string> devices;
  std::optional<std::string> write;
};

// The files that a path stands for: itself, or the .txt files of a folder, but its README.
std::vector<std::string> files_of(const std::string& path) {
  std::error_code problem;
  if (!std::filesystem::is_directory(path, problem)) return {path};
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(path))
    if (entry.path().extension() == ".txt" && entry.path().filename() != "known-differences.txt")
      files.push_back(entry.path().string());
  std::sort(files.begin(), files.end());
  return files;
}

// FILE and, beside it, the same as a page (or, if FILE is a page, the same as JSON).
bool write_report(const Report& report, const std::string& file) {
  std::filesystem::path json = file;
  std::filesystem::path page = file;
  if (json.extension() == ".html")
    json.replace_extension(".json");
  else
    page.replace_extension(".html");
  try {
    const FileSet files(json.has_parent_path() ? json.parent_path() : ".");
    files.write(json.filename().string(), report_json(report));
    files.write(page.filename().string(), report_html(report));
  } catch (const OutputError& error) {
    fmt::print(stderr, "secmmu conform: error: {}\n", error.what());
    return false;
  }
  return true;
}

// The scenario's run as a recording; of several kernels, how the others differ from the first.
int record_scenario(const Request& request) {
  const ParseResult parsed = parse_scenario_file(*request.scenario);
  for (const Diagnostic& error : parsed.errors) fmt::print(stderr, "{}", to_text(error));
  if (!parsed.scenario) return static_cast<int>(ExitCode::input);
  const RecordedScenario recorded = record(*parsed.scenario, request.kernels);
  if (!recorded.refused.empty()) {
    fmt::print(stderr, "{}: error: {}\n", *request.scenario, recorded.refused);
    return static_cast<int>(ExitCode::input);
  }
  if (!recorded.fault.empty()) {
    fmt::print(stderr, "{}: internal fault: {}\n", *request.scenario, recorded.fault);
    return static_cast<int>(ExitCode::fault);
  }
  for (std::size_t i = 0; i < recorded.missing.size(); ++i)
    if (!recorded.missing[i].empty())
      fmt::print(stderr, "{}: {} ends early: {}\n", *request.scenario, request.kernels[i], recorded.missing[i]);
  if (recorded.recordings.size() == 1) {
    fmt::print("{}", to_text(recorded.recordings.front()));
    return static_cast<int>(ExitCode::held);
  }
  ExitCode code = ExitCode::held;
  for (std::size_t i = 1; i < recorded.recordings.size(); ++i) {
    Recording first = recorded.recordings.front();
    first.path = fmt::format("{}: {} and {}", *request.scenario, request.kernels[0], request.kernels[i]);
    std::vector<std::vector<Line>> lines;
    for (const Block& block : recorded.recordings[i].blocks) lines.push_back(block.lines);
    const Comparison comparison = compare(first, lines);
    fmt::print("{}", two_kernels_line(first, comparison, request.kernels[0], request.kernels[i]));
    if (request.diff) fmt::print("{}", side_by_side(first, comparison));
    if (!comparison.identical()) code = ExitCode::failed;
  }
  return static_cast<int>(code);
}

int conform_to(const Request& request) {
  PlayOptions play;
  if (request.jobs) play.jobs = static_cast<unsigned>(number_option("--jobs", *request.jobs, 1, 256));
  std::vector<Recording> recordings;
  bool sound = true;
  for (const std::string& path : request.paths) {
    const std::vector<std::string> files = files_of(path);
    if (files.empty()) {
      fmt::print(stderr, "{}: error: there is no recording (*.txt) in this folder\n", path);
      sound = false;
    }
    for (const std::string& file : files) {
      ReadRecording read = read_recording_file(file);
      for (const Diagnostic& error : read.errors) fmt::print(stderr, "{}", to_text(error));
      if (read.recording)
        recordings.push_back(std::move(*read.recording));
      else
        sound = false;
    }
  }
  if (!sound) return static_cast<int>(ExitCode::input);

  play.kernel = request.kernels.front();
  play.without = request.without;
  ExitCode code = ExitCode::held;
  Report report;
  report.kernel = request.kernels.front();
  perform(recordings, play, [&](std::size_t index, const Performance& performance) {
    ReportedRecording& one = report.recordings.emplace_back();
    one.recording = recordings[index];
    one.fault = performance.fault;
    one.remarks = performance.remarks;
    if (!one.fault.empty()) {
      fmt::print(stderr, "{}: internal fault: {}\n", one.recording.path, one.fault);
      fmt::print("{}: not played to its end\n", one.recording.path);
      code = more_serious(code, ExitCode::fault);
      return;
    }
    one.comparison = compare(one.recording, performance.lines);
    fmt::print("{}", verdict_line(one.recording, one.comparison, one.remarks));
    if (request.diff) fmt::print("{}", side_by_side(one.recording, one.comparison));
    if (!one.identical()) code = more_serious(code, ExitCode::failed);
  });
  if (request.report && !write_report(report, *request.report)) code = more_serious(code, ExitCode::input);
  fmt::print("\n{}\n{} of {} recordings identical\n", table_of(report.counts()), report.identical(), recordings.size());
  return static_cast<int>(code);
}

int random_programs(const Request& request) {
  RandomRequest random;
  random.programs = *request.random;
  random.seed = request.seed;
  random.kernel = request.kernels.front();
  random.devices = request.devices;
  random.without = request.without;
  random.write = request.write;
  return play_random_programs(random);
}

void check_random(const Request& request) {
  const std::pair<bool, const char*> its_own[] = {{request.seed.has_value(), "--seed"},
                                                  {!request.devices.empty(), "--device"},
                                                  {request.write.has_value(), "--write"}};
  for (const auto& [given, option] : its_own)
    if (given && !request.random) throw WrongUsage(fmt::format("{} is about --random, which is missing", option));
  const std::pair<bool, const char*> others[] = {{!request.paths.empty(), "PATH"},
                                                 {request.scenario.has_value(), "--record"},
                                                 {request.report.has_value(), "--report"},
                                                 {request.diff, "--diff"},
                                                 {request.jobs.has_value(), "--jobs"}};
  for (const auto& [given, option] : others)
    if (given && request.random)
      throw WrongUsage(fmt::format("--random draws its own programs: expected no {} beside it", option));
  if (request.random && request.kernels.size() > 1)
    throw WrongUsage("--kernel: random programs are played on one kernel, expected one");
  if (request.scenario && !request.without.empty())
    throw WrongUsage("--without: a scenario says itself what it is without, expected no --record beside it");
}

void check_usage(const Request& request) {
  check_random(request);
  if (request.random) return;
  check_protocol_rules(request.without);
  if (request.scenario && !request.paths.empty())
    throw WrongUsage("--record plays a scenario, no recordings: expected no PATH beside it");
  if (request.scenario && request.report)
    throw WrongUsage("--report is about recordings: expected no --record beside it");
  if (!request.scenario && request.paths.empty()) throw WrongUsage("PATH is missing: recordings, or folders of them");
  if (!request.scenario && request.kernels.size() > 1)
    throw WrongUsage("--kernel: recordings are played on one kernel, expected one");
  if (request.report && request.report->empty()) throw WrongUsage("--report: '' is no file");
}

}  // namespace

void add_conform_command(CLI::App& program, Action& chosen) {
  auto request = std::make_shared<Request>();
  CLI::App* command =
      program.add_subcommand("conform", "Plays recordings of a real kernel, and says where our machine differs.");
  command->footer("Exit codes: 0 all are identical; 1 one is not; 2 wrong usage or input; 3 internal fault.");
  command->add_option("PATH", request->paths, "Recordings, or folders of them.")->type_name("");
  command->add_flag("--diff", request->diff, "Shows all differences side by side.");
  command->add_option("--report", request->report, "Writes all of it as JSON, and beside it as a page (.html).")
      ->type_name("FILE");
  command
      ->add_option("--record", request->scenario, "Instead: plays a scenario and prints what it told, as a recording.")
      ->type_name("SCENARIO");
  command
      ->add_option("--kernel", request->kernels,
                   "Plays on this kernel; v6.1 if absent. With --record several: how the others differ from the first.")
      ->type_name("KERNEL")
      ->expected(1)
      ->allow_extra_args(false)
      ->delimiter(',')
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command
      ->add_option("--random", request->random,
                   "Instead: plays so many random programs, with every device, in order and crowded, and shows the first "
                   "that fails, made small.")
      ->type_name("N");
  command->add_option("--seed", request->seed, "Of the first random program; 1 if absent.")->type_name("S");
  command->add_option("--device", request->devices, "Random programs with this device only.")
      ->type_name("DEVICE")
      ->expected(1)
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command->add_option("--write", request->write, "Where the failing program is written.")->type_name("DIR");
  command->add_option("--without", request->without, "Switches a rule of the devices' protocols off.")
      ->type_name("RULE")
      ->expected(1)
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command->add_option("--jobs", request->jobs, "How many workers play at a time; 1 if absent.")->type_name("N");
  command->callback([request, &chosen] {
    chosen = [request] {
      try {
        request->kernels = kernels_option(request->kernels);
        if (request->kernels.empty()) request->kernels = {"v6.1"};
        check_usage(*request);
        if (request->random) return random_programs(*request);
        return request->scenario ? record_scenario(*request) : conform_to(*request);
      } catch (const WrongUsage& error) {
        return usage_error("conform", error.what());
      }
    };
  });
}

}  // namespace secmmu
