#include "sim/commands/usage.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "notifier/kernel.hpp"
#include "sim/run/worker.hpp"
#include "sim/scenario/diagnostic.hpp"
#include "sim/scenario/kernel_names.hpp"
#include "sim/scenario/values.hpp"

namespace secmmu {
namespace {

std::string did_you_mean(const std::string& close) {
  return close.empty() ? "" : fmt::format("; did you mean '{}'?", close);
}

std::vector<std::string> subcommands_of(const CLI::App& program) {
  std::vector<std::string> names;
  for (const CLI::App* command : program.get_subcommands([](const CLI::App*) { return true; }))
    names.push_back(command->get_name());
  return names;
}

std::vector<std::string> options_of(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::Option* option : command.get_options())
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  return names;
}

std::string unknown_option(const CLI::App& command, const std::string& word) {
  const std::string name = word.substr(0, word.find('='));
  return fmt::format("no option '{}'{}", name, did_you_mean(nearest(name, options_of(command))));
}

}  // namespace

std::uint64_t number_option(std::string_view option, const std::string& text, std::uint64_t least, std::uint64_t most) {
  const auto parsed = language::parse_number(text);
  if (!parsed.value) throw WrongUsage(fmt::format("{}: {}, expected {}", option, parsed.wrong, parsed.expected));
  if (*parsed.value < least || *parsed.value > most)
    throw WrongUsage(fmt::format("{}: '{}' is out of range, expected {} to {}", option, text, least, most));
  return *parsed.value;
}

std::vector<std::string> kernels_option(const std::vector<std::string>& words) {
  std::vector<std::string> known;
  for (const KernelEntry& entry : known_kernels()) known.emplace_back(entry.name);
  std::vector<std::string> kernels;
  for (const std::string& word : words) {
    const language::KernelNames read = language::kernel_names(word, known, known, "no kernel");
    if (read.unknown == word) throw WrongUsage("--kernel: " + unknown_kernel(word));
    if (read.names.empty())
      throw WrongUsage(fmt::format("--kernel: {}, expected {}{}", read.wrong, read.expected,
                                   read.nearest.empty() ? "" : fmt::format("; did you mean '{}'?", read.nearest)));
    for (const std::string& kernel : read.names) {
      if (std::find(kernels.begin(), kernels.end(), kernel) != kernels.end())
        throw WrongUsage(fmt::format("--kernel: '{}' is there twice, expected each kernel once", kernel));
      kernels.push_back(kernel);
    }
  }
  return kernels;
}

int usage_error(std::string_view command, std::string_view text) {
  fmt::print(stderr, "secmmu{}{}: error: {}\nTry 'secmmu{}{} --help'.\n", command.empty() ? "" : " ", command, text,
             command.empty() ? "" : " ", command);
  return static_cast<int>(ExitCode::input);
}

std::string unknown_name(std::string_view kind, std::string_view word, const std::vector<std::string>& known) {
  return fmt::format("no {} '{}', expected {}{}", kind, word, language::one_of(known),
                     did_you_mean(nearest(word, known)));
}

std::string unknown_kernel(std::string_view word) {
  std::vector<std::string> names;
  std::string close;
  const auto wanted = parse_kernel_version(word);
  for (const KernelEntry& entry : known_kernels()) {
    names.emplace_back(entry.name);
    if (wanted && (close.empty() || entry.version <= *wanted)) close = entry.name;
  }
  if (!wanted) close = nearest(word, names);
  return fmt::format("no kernel '{}', expected {}{}", word, language::one_of(names), did_you_mean(close));
}

std::string wrong_subcommand(const CLI::App& program, int argc, char** argv) {
  const std::vector<std::string> names = subcommands_of(program);
  if (argc < 2) return fmt::format("the subcommand is missing, expected {}", language::one_of(names));
  const std::string word = argv[1];
  if (word == "-h" || word == "--help") return "";
  if (word.starts_with('-'))
    return fmt::format("no option '{}' here, expected --help, or first {}", word, language::one_of(names));
  if (std::find(names.begin(), names.end(), word) != names.end()) return "";
  return unknown_name("subcommand", word, names);
}

std::string wrong_usage(const CLI::App& command, const CLI::ParseError& error) {
  for (const std::string& word : command.remaining())
    if (word.starts_with('-') && word != "-" && word != "--") return unknown_option(command, word);
  const std::string text = error.what();
  const std::string name = text.substr(0, text.find_first_of(": "));
  if (dynamic_cast<const CLI::ArgumentMismatch*>(&error) != nullptr)
    return text.find("missing") == std::string::npos ? name + " is there twice, expected once"
                                                     : name + " needs a value";
  if (dynamic_cast<const CLI::RequiredError*>(&error) != nullptr) {
    // A name like WHAT says little: its description has the choice.
    const CLI::Option* option = command.get_option_no_throw(name);
    return fmt::format("{} is missing{}{}", name, option == nullptr ? "" : ": ",
                       option == nullptr ? "" : option->get_description());
  }
  for (const std::string& word : command.remaining())
    if (word != "--") return fmt::format("'{}' is one word too many", word);
  return text;
}

}  // namespace secmmu
