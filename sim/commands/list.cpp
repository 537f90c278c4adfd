#include <algorithm>
#include <memory>
#include <optional>

#include <fmt/format.h>

#include "models/devices/behaviour.hpp"
#include "models/mm/mm.hpp"
#include "notifier/behaviour.hpp"
#include "notifier/kernel.hpp"
#include "sim/commands/command.hpp"
#include "sim/commands/text.hpp"
#include "sim/commands/usage.hpp"
#include "sim/scenario/catalogue.hpp"
#include "sim/scenario/diagnostic.hpp"
#include "sim/scenario/verbs.hpp"

namespace secmmu {
namespace {

std::string value_text(const ParameterValue& value) {
  if (const auto* number = std::get_if<std::uint64_t>(&value)) return std::to_string(*number);
  if (const auto* time = std::get_if<Time>(&value)) return to_text(*time);
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  return std::get<std::string>(value);
}

// The change that gave a behaviour the value that it has in a kernel.
const Change* last_change(std::string_view behaviour, KernelVersion kernel) {
  const Change* last = nullptr;
  for (const std::vector<Change>* room : {&notifier_changes(), &mm_changes(), &driver_changes()})
    for (const Change& change : *room)
      if (change.behaviour == behaviour && change.since <= kernel && (last == nullptr || last->since <= change.since))
        last = &change;
  return last;
}

void list_kernels() {
  const KernelEntry* before = nullptr;
  for (const KernelEntry& kernel : known_kernels()) {
    fmt::print("{}{}\n{}", before == nullptr ? "" : "\n", kernel.name, paragraph(kernel.sentence, 4));
    if (before != nullptr) {
      fmt::print("    What differs from {}, and since when:\n", before->name);
      for (const Behaviour& behaviour : catalogue().behaviours) {
        const std::string old = catalogue().behaviour_of(before->name, behaviour.name);
        const std::string now = catalogue().behaviour_of(kernel.name, behaviour.name);
        if (old == now) continue;
        const Change* change = last_change(behaviour.name, kernel.version);
        std::string since;
        if (change != nullptr)
          since = fmt::format("  ({}{}{})", to_text(change->since), change->commit.empty() ? "" : ", commit ",
                              change->commit);
        fmt::print("      {}: {} -> {}{}\n", behaviour.name, old, now, since);
        if (change != nullptr) fmt::print("{}", paragraph(change->sentence, 10));
      }
    }
    before = &kernel;
  }
  fmt::print(
      "\nA scenario names one or several (`kernel:`, `kernels:`), the command line replaces them (--kernel), and\n"
      "`behaviour:` in a scenario overrides a single one; `secmmu list parameters` has all behaviours and their "
      "values.\n");
}

void list_changes() {
  for (const auto& [room, changes] :
       {std::pair{"notifier", &notifier_changes()}, {"mm", &mm_changes()}, {"devices", &driver_changes()}})
    for (const Change& change : *changes)
      fmt::print("{}  {}  {}  {} = {}\n{}", to_text(change.since), change.commit.empty() ? "-" : change.commit, room,
                 change.behaviour, value_text(change.value), paragraph(change.sentence, 4));
}

void list_devices() {
  bool first = true;
  for (const DeviceKind& kind : catalogue().devices) {
    fmt::print("{}{}\n{}", first ? "" : "\n", kind.name, paragraph(kind.sentence, 4));
    first = false;
    if (!kind.protocol.empty()) {
      fmt::print("    Rules of its protocol (`without:` switches them off):\n");
      print_rows(kind.protocol, "      ");
    }
    if (!kind.callbacks.empty()) {
      fmt::print("    Callbacks that a scenario may script:\n");
      print_rows(kind.callbacks, "      ");
    }
  }
}

void list_operations() {
  for (const language::Verb& verb : language::verbs()) {
    std::string arguments;
    for (const language::Argument& argument : verb.arguments)
      arguments +=
          argument.key.required ? fmt::format(" {}", argument.key.name) : fmt::format(" [{}]", argument.key.name);
    std::string users;
    for (const language::User user : {language::User::cpu, language::User::device, language::User::probe})
      if (verb.may(user)) users += fmt::format("{}{}", users.empty() ? "" : ", ", language::to_text(user));
    fmt::print("{}{}\n{}", verb.name, arguments, paragraph(fmt::format("{} For {}.", verb.sentence, users), 4));
  }
}

void list_tracepoints() {
  for (const EventKind& event : catalogue().events)
    fmt::print("{}{}{}\n{}", event.name, event.fields.empty() ? "" : " ", fmt::join(event.fields, " "),
               paragraph(event.sentence, 4));
}

void list_counters() {
  std::vector<NamedSentence> rows = catalogue().machine_counters;
  const auto add = [&rows](const std::string& owner, const std::vector<NamedSentence>& counters) {
    for (const NamedSentence& counter : counters) rows.push_back({owner + "." + counter.name, counter.sentence});
  };
  add("cpuN", catalogue().core_counters);
  add("PROCESS", catalogue().process_counters);
  for (const DeviceKind& kind : catalogue().devices) add(kind.name + "N", kind.counters);
  print_rows(rows);
  fmt::print("\ncpuN is a core; PROCESS and the name of a device are those of the scenario.\n");
}

void list_parameters() {
  const auto print = [](const std::string& prefix, const std::string& sentence, const ParameterRows& table) {
    if (table.rows.empty()) return;
    fmt::print("{}  {}\n", prefix, sentence);
    for (const Parameter& row : table.rows)
      fmt::print("  {}.{} = {}\n{}", prefix, row.name, value_text(row.fallback),
                 paragraph(row.source.empty() ? row.sentence : fmt::format("{} [{}]", row.sentence, row.source), 6));
    fmt::print("\n");
  };
  for (const ParameterGroup& group : catalogue().groups) print(group.path, group.sentence, *group.rows);
  for (const DeviceKind& kind : catalogue().devices)
    print(fmt::format("devices.{}N", kind.name), fmt::format("A device of kind {}.", kind.name), *kind.rows);
  fmt::print("behaviour  What the kernel does differently from version to version, if a scenario overrides it.\n");
  for (const Behaviour& row : catalogue().behaviours)
    fmt::print("  behaviour.{}{}\n{}", row.name,
               row.values.empty() ? "" : fmt::format(" = {}", fmt::join(row.values, " | ")),
               paragraph(row.sentence, 6));
}

struct List {
  std::string_view name;
  void (*print)();
};

const std::vector<List>& lists() {
  static const std::vector<List> all{
      {"kernels", list_kernels},
      {"changes", list_changes},
      {"devices", list_devices},
      {"operations", list_operations},
      {"rules", [] { print_rows(catalogue().rules); }},
      {"tracepoints", list_tracepoints},
      {"counters", list_counters},
      {"parameters", list_parameters},
  };
  return all;
}

int list(const std::string& what) {
  std::vector<std::string> names;
  for (const List& one : lists()) {
    names.emplace_back(one.name);
    if (one.name != what) continue;
    one.print();
    return 0;
  }
  return usage_error("list", unknown_name("list", what, names));
}

}  // namespace

void add_list_command(CLI::App& program, Action& chosen) {
  std::vector<std::string> names;
  for (const List& one : lists()) names.emplace_back(one.name);
  auto what = std::make_shared<std::string>();
  CLI::App* command = program.add_subcommand("list", "Lists what a scenario may name.");
  command->footer("");
  command->add_option("WHAT", *what, fmt::format("One of {}.", language::one_of(names)))->type_name("")->required();
  command->callback([what, &chosen] { chosen = [what] { return list(*what); }; });
}

}  // namespace secmmu
