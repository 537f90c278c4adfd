#include <algorithm>
#include <memory>

#include <fmt/format.h>

#include "models/mm/mm.hpp"
#include "notifier/behaviour.hpp"
#include "notifier/kernel.hpp"
#include "sim/commands/command.hpp"
#include "sim/scenario/catalogue.hpp"
#include "sim/scenario/verbs.hpp"

namespace secmmu {
namespace {

std::string value_text(const ParameterValue& value) {
  if (const auto* number = std::get_if<std::uint64_t>(&value)) return std::to_string(*number);
  if (const auto* time = std::get_if<Time>(&value)) return to_text(*time);
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  return std::get<std::string>(value);
}

void print_rows(const std::vector<NamedSentence>& rows, std::string_view prefix = "") {
  std::size_t width = 0;
  for (const NamedSentence& row : rows) width = std::max(width, prefix.size() + row.name.size());
  for (const NamedSentence& row : rows)
    fmt::print("{:{}}  {}\n", fmt::format("{}{}", prefix, row.name), width, row.sentence);
}

void list_kernels() {
  print_rows(catalogue().kernels);
  fmt::print("\nWhat changed from one kernel to the next:\n");
  std::vector<std::pair<std::string_view, const Change*>> changes;
  for (const Change& change : notifier_changes()) changes.emplace_back("notifier", &change);
  for (const Change& change : mm_changes()) changes.emplace_back("mm", &change);
  std::stable_sort(changes.begin(), changes.end(),
                   [](const auto& a, const auto& b) { return a.second->since < b.second->since; });
  for (const auto& [room, change] : changes)
    fmt::print("{:8} {:13} {:9} {} = {}: {}\n", to_text(change->since),
               change->commit.empty() ? "(as it was)" : change->commit, room, change->behaviour,
               value_text(change->value), change->sentence);
}

void list_devices() {
  for (const DeviceKind& kind : catalogue().devices) {
    fmt::print("{}  {}\n", kind.name, kind.sentence);
    if (!kind.protocol.empty()) {
      fmt::print("  rules of its protocol (`without:` switches them off):\n");
      print_rows(kind.protocol, "    ");
    }
    if (!kind.callbacks.empty()) {
      fmt::print("  callbacks that a scenario may script:\n");
      print_rows(kind.callbacks, "    ");
    }
  }
}

void list_operations() {
  for (const language::Verb& verb : language::verbs()) {
    std::string arguments;
    for (const language::Argument& argument : verb.arguments)
      arguments += argument.key.required ? fmt::format(" {}", argument.key.name) : fmt::format(" [{}]", argument.key.name);
    std::string users;
    for (const language::User user : {language::User::cpu, language::User::device, language::User::probe})
      if (verb.may(user)) users += fmt::format("{}{}", users.empty() ? "" : ", ", language::to_text(user));
    fmt::print("{}{}\n    {} For {}.\n", verb.name, arguments, verb.sentence, users);
  }
}

void list_counters() {
  print_rows(catalogue().machine_counters);
  print_rows(catalogue().core_counters, "cpuN.");
  print_rows(catalogue().process_counters, "PROCESS.");
  for (const DeviceKind& kind : catalogue().devices)
    print_rows(kind.counters, fmt::format("DEVICE({}).", kind.name));
}

void list_parameters() {
  const auto print = [](const std::string& prefix, const ParameterRows& table) {
    for (const Parameter& row : table.rows) {
      fmt::print("{}.{} = {}  {}", prefix, row.name, value_text(row.fallback), row.sentence);
      if (!row.source.empty()) fmt::print(" [{}]", row.source);
      fmt::print("\n");
    }
  };
  for (const ParameterGroup& group : catalogue().groups) print(group.path, *group.rows);
  for (const DeviceKind& kind : catalogue().devices) print(fmt::format("devices.DEVICE({})", kind.name), *kind.rows);
  fmt::print("\nBehaviours of the kernel that `behaviour:` may override:\n");
  for (const Behaviour& row : catalogue().behaviours)
    fmt::print("behaviour.{}: {}{}\n", row.name, row.sentence,
               row.values.empty() ? "" : fmt::format(" One of: {}.", fmt::join(row.values, ", ")));
}

}  // namespace

void add_list_command(CLI::App& program, Action& chosen) {
  static const std::vector<std::pair<std::string, void (*)()>> kLists = {
      {"kernels", list_kernels},
      {"devices", list_devices},
      {"operations", list_operations},
      {"rules", [] { print_rows(catalogue().rules); }},
      {"tracepoints",
       [] {
         for (const EventKind& event : catalogue().events)
           fmt::print("{}: {} Fields: {}.\n", event.name, event.sentence, fmt::join(event.fields, ", "));
       }},
      {"counters", list_counters},
      {"parameters", list_parameters},
  };
  std::vector<std::string> names;
  for (const auto& [name, print] : kLists) names.push_back(name);
  auto what = std::make_shared<std::string>();
  CLI::App* command = program.add_subcommand("list", "Lists what a scenario may name.");
  command->add_option("WHAT", *what, fmt::format("One of: {}.", fmt::join(names, ", ")))
      ->required()
      ->check(CLI::IsMember(names));
  command->callback([what, &chosen] {
    chosen = [what] {
      for (const auto& [name, print] : kLists)
        if (name == *what) print();
      return 0;
    };
  });
}

}  // namespace secmmu
