#include "sim/scenario/parser.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "sim/scenario/reading.hpp"

namespace secmmu {
namespace language {
namespace {

constexpr std::string_view kDefaultKernel = "v6.10";

// "03-gru-munmap-race.yaml" may hold gru-munmap-race.
void check_file_name(const Place& place, const std::string& path) {
  const std::filesystem::path file(path);
  const std::string stem = file.stem().string();
  if (stem.empty() || stem == "resolved") return;
  const std::size_t digits = stem.find_first_not_of("0123456789");
  const bool numbered = digits != std::string::npos && digits > 0 && stem[digits] == '-';
  const std::string shown = numbered ? stem.substr(digits + 1) : stem;
  if (place.text() != stem && place.text() != shown)
    place.fail("the name '" + place.text() + "' is not that of the file", "'" + shown + "'");
}

void read_name(const Place& place, Reading& reading) {
  const std::optional<std::string> name = place.any_text();
  if (!name) return;
  reading.scenario.name = *name;
  if (!is_scenario_name(*name))
    place.fail("'" + *name + "' is no name of a scenario", "a-z, 0-9 and -");
  else if (!reading.scenario.path.empty())
    check_file_name(place, reading.scenario.path);
}

void read_kernels(const Fields& fields, Reading& reading) {
  const std::vector<std::string> known = names_in(reading.catalogue.kernels);
  std::vector<std::string>& kernels = reading.scenario.kernels;
  const auto one = fields.find("kernel");
  const auto several = fields.find("kernels");
  if (one && several) one->fail("both kernel and kernels are there", "one of the two");
  if (one)
    if (const auto kernel = one->choice(known, "kernel")) kernels.push_back(*kernel);
  if (several) {
    const std::vector<Place> items = several->one_or_more("kernels");
    if (items.empty() && several->node().is(Node::Kind::sequence))
      several->fail("the list is empty", "at least one kernel");
    for (const Place& item : items)
      for (const std::string& kernel : read_kernel_names(item, known, known, "no kernel")) {
        if (std::find(kernels.begin(), kernels.end(), kernel) != kernels.end())
          item.fail("'" + kernel + "' is there twice", "each kernel once");
        kernels.push_back(kernel);
      }
  }
  if (!kernels.empty()) return;
  const bool there = std::find(known.begin(), known.end(), kDefaultKernel) != known.end();
  kernels.emplace_back(there || known.empty() ? std::string(kDefaultKernel) : known.back());
}

void read_watch(const Place& place, Reading& reading) {
  for (const Place& item : place.one_or_more("buffers as process.buffer")) {
    const std::optional<std::string> text = item.any_text();
    if (!text) continue;
    reading.scenario.watch.push_back(*text);
    reading.later([item](const Symbols& symbols) {
      std::vector<std::string> names;
      for (const auto& [process, buffers] : symbols.buffers)
        for (const auto& [buffer, size] : buffers) names.push_back(process + "." + buffer);
      if (std::find(names.begin(), names.end(), item.text()) == names.end())
        item.fail_name("no buffer (process.buffer)", names);
    });
  }
}

void read_scenario(const Place& root, Reading& reading) {
  Scenario& scenario = reading.scenario;
  const Fields fields(root, scenario_keys(), "a scenario");
  if (!root.node().is(Node::Kind::mapping)) return;
  if (const auto place = fields.find("scenario")) {
    const std::optional<std::string> version = place->any_text();
    if (version && *version != "1") place->fail("this is version '" + *version + "' of the language", "1");
  }
  if (const auto place = fields.find("name")) read_name(*place, reading);
  if (const auto place = fields.find("about")) scenario.about = place->any_text().value_or("");
  read_kernels(fields, reading);
  if (const auto place = fields.find("seed")) scenario.seed = place->number().value_or(1);
  if (const auto place = fields.find("seeds")) scenario.seeds = place->number(1).value_or(1);
  if (const auto place = fields.find("limit"))
    if (const auto limit = place->duration()) {
      scenario.limit = *limit;
      if (limit->ps == 0) place->fail("nothing can happen in no time", "a limit above 0");
    }
  if (const auto place = fields.find("strict")) scenario.strict = place->flag().value_or(false);
  if (const auto place = fields.find("machine")) read_machine(*place, reading);
  if (const auto place = fields.find("behaviour")) read_behaviour(*place, reading);
  if (const auto place = fields.find("processes")) read_processes(*place, reading);
  if (const auto place = fields.find("devices")) read_devices(*place, reading);
  if (const auto place = fields.find("actors")) read_actors(*place, reading);
  if (const auto place = fields.find("watch")) read_watch(*place, reading);
  if (const auto place = fields.find("expect")) read_expectations(*place, reading);
}

void add_children(const std::vector<Step>& steps, const std::string& parent, Scenario& scenario) {
  for (const Step& step : steps) {
    const auto named = [&](const ProcessSpec& process) { return process.name == step.name; };
    if (step.verb == "fork" && !step.name.empty() &&
        std::none_of(scenario.processes.begin(), scenario.processes.end(), named))
      scenario.processes.push_back({step.name, {}, parent, step.mark});
    add_children(step.body, parent, scenario);
  }
}

// Counters are <owner>.<name>: an owner's name must say what it owns.
void check_owners(const Symbols& symbols, Diagnostics& out) {
  std::set<std::string> taken;
  for (const NamedSentence& counter : symbols.catalogue.machine_counters)
    taken.insert(counter.name.substr(0, counter.name.find('.')));
  const auto check = [&](const std::string& name, Mark mark, const std::string& path) {
    const bool core =
        name.starts_with("cpu") && name.size() > 3 && name.find_first_not_of("0123456789", 3) == std::string::npos;
    if (core)
      out.add(mark, path, "'" + name + "' is the name of a core", "another name");
    else if (!taken.insert(name).second)
      out.add(mark, path, "something else is called '" + name + "' too", "another name");
  };
  for (const ProcessSpec& process : symbols.scenario.processes)
    check(process.name, process.mark, "processes." + process.name);
  for (const DeviceSpec& device : symbols.scenario.devices) check(device.name, device.mark, "devices." + device.name);
}

std::optional<Scenario> parse(std::string_view text, const std::string& path, const std::vector<std::string>& sets,
                              const Catalogue& known, Diagnostics& out) {
  std::optional<Node> root = read_document(text, out);
  if (!root) return std::nullopt;
  for (std::size_t i = 0; i < sets.size(); ++i) apply_set(*root, sets[i], static_cast<unsigned>(i) + 1, out);

  Reading reading{.catalogue = known, .folder = std::filesystem::path(path).parent_path().string()};
  reading.scenario.path = path;
  read_scenario(Place(*root, "", out), reading);
  for (std::size_t i = 0; i < reading.scenario.actors.size(); ++i)
    add_children(reading.scenario.actors[i].program, reading.scenario.actors[i].process, reading.scenario);

  const Symbols symbols(reading);
  for (const Reading::Check& check : reading.checks) check(symbols);
  check_owners(symbols, out);
  check_waits(symbols, reading, out);
  check_memory(symbols, out);
  fill_in(reading, symbols, out);
  if (!out.empty()) return std::nullopt;
  return std::move(reading.scenario);
}

}  // namespace
}  // namespace language

ParseResult parse_scenario_text(std::string_view text, const std::string& path, const std::vector<std::string>& sets,
                                const Catalogue& known) {
  language::Diagnostics out(path, text, sets);
  ParseResult result;
  result.scenario = language::parse(text, path, sets, known, out);
  result.errors = out.sorted();
  return result;
}

ParseResult parse_scenario_file(const std::string& path, const std::vector<std::string>& sets, const Catalogue& known) {
  const auto refuse = [&](const std::string& message) {
    ParseResult result;
    result.errors.push_back({path, {}, "", message, ""});
    return result;
  };
  std::error_code problem;
  const std::filesystem::file_status status = std::filesystem::status(path, problem);
  if (!std::filesystem::exists(status)) return refuse("there is no such file");
  if (std::filesystem::is_directory(status)) return refuse("this is a directory, expected a scenario file");
  std::ifstream file(path, std::ios::binary);
  if (!file) return refuse("the file cannot be opened for reading");
  std::string text(language::kLargestFile + 1, '\0');  // a byte more is enough to see that it is too large
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad()) return refuse("the file cannot be read");
  text.resize(static_cast<std::size_t>(file.gcount()));
  return parse_scenario_text(text, path, sets, known);
}

Expectations expectations_for(const Scenario& scenario, const std::string& kernel) {
  Expectations all = scenario.expect;
  const auto own = scenario.expect_by_kernel.find(kernel);
  if (own == scenario.expect_by_kernel.end()) return all;
  const auto append = [](auto& to, const auto& from) { to.insert(to.end(), from.begin(), from.end()); };
  all.violated = own->second.violated;
  all.absent = own->second.absent;
  append(all.counters, own->second.counters);
  append(all.sometimes, own->second.sometimes);
  append(all.order, own->second.order);
  append(all.values, own->second.values);
  return all;
}

}  // namespace secmmu
