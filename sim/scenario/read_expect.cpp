// The block expect.
#include <algorithm>

#include "sim/scenario/reading.hpp"

namespace secmmu::language {
namespace {

// cpu7: 7.
std::optional<std::uint64_t> core_number(std::string_view word) {
  if (!word.starts_with("cpu")) return std::nullopt;
  return parse_number(word.substr(3)).value;
}

void check_counter(const Place& place, const std::string& counter, const Symbols& symbols) {
  const Catalogue& catalogue = symbols.catalogue;
  std::vector<std::string> names = names_in(catalogue.machine_counters);
  const auto add = [&](const std::string& owner, const std::vector<NamedSentence>& counters) {
    for (const NamedSentence& named : counters) names.push_back(owner + "." + named.name);
  };
  for (const DeviceSpec& device : symbols.scenario.devices)
    if (const DeviceKind* kind = symbols.kind(device)) add(device.name, kind->counters);
  for (const ProcessSpec& process : symbols.scenario.processes) add(process.name, catalogue.process_counters);
  const std::size_t dot = counter.find('.');
  const auto core = core_number(counter.substr(0, dot));
  constexpr std::uint64_t kSuggestedCores = 4;
  const std::uint64_t cores = symbols.cpus.value_or(kSuggestedCores);
  if (core && *core < cores) add("cpu" + std::to_string(*core), catalogue.core_counters);
  if (!core || *core >= cores)
    for (std::uint64_t i = 0; i < std::min(cores, kSuggestedCores); ++i)
      add("cpu" + std::to_string(i), catalogue.core_counters);
  if (std::find(names.begin(), names.end(), counter) != names.end()) return;

  // Only those of the same owner are worth a list.
  std::vector<std::string> same;
  for (const std::string& name : names)
    if (name.starts_with(counter.substr(0, dot) + ".")) same.push_back(name);
  const std::string expected =
      same.empty() ? "<device>, <process>, cpuN or a part of the machine, a dot, and a counter (see `list counters`)"
                   : one_of(same);
  place.fail("there is no counter '" + counter + "'", expected, nearest(counter, names));
}

void read_counter_checks(const Place& place, std::vector<CounterCheck>& into, Reading& reading) {
  for (const Place& item : place.one_or_more("comparisons such as \"gru0.faults >= 4\""))
    if (std::optional<CounterCheck> check = read_counter_check(item, reading)) into.push_back(std::move(*check));
}

void check_task(const Place& place, const Symbols& symbols) {
  std::vector<std::string> names = names_in(symbols.scenario.actors);
  for (const std::string& name : names_in(symbols.scenario.devices)) {
    if (place.text().starts_with(name + ".")) return;  // a part of a device that acts on its own
    names.push_back(name);
  }
  for (const std::string& name : names_in(symbols.catalogue.tasks)) names.push_back(name);
  if (std::find(names.begin(), names.end(), place.text()) == names.end())
    place.fail_name("no actor, device or kernel thread", names);
}

EventPattern read_pattern(const Place& place, Reading& reading) {
  EventPattern pattern;
  const EventKind* kind = nullptr;
  if (const Node* word = place.node().find("event"); word != nullptr)
    for (const EventKind& candidate : reading.catalogue.events)
      if (candidate.name == word->text) kind = &candidate;
  std::vector<std::string> rest;
  if (kind != nullptr && !kind->fields.empty())
    rest = kind->fields;
  else
    for (const Node& key : place.node().keys) rest.push_back(key.text);

  const Fields fields(place, pattern_keys(), kind != nullptr ? "a pattern for " + kind->name : "a pattern", rest);
  if (const auto event = fields.find("event"))
    pattern.event = event->choice(names_in(reading.catalogue.events), "event").value_or("");
  if (const auto by = fields.find("by")) {
    pattern.by = by->any_text().value_or("");
    reading.later([place = *by](const Symbols& symbols) { check_task(place, symbols); });
  }
  for (const std::string& field : rest)
    if (find_key(pattern_keys(), field) == nullptr)
      if (const auto value = fields.find(field))
        if (const auto text = value->any_text()) pattern.fields[field] = *text;
  return pattern;
}

ValueCheck read_value_check(const Place& place, Reading& reading) {
  ValueCheck check;
  check.mark = place.mark();
  const Fields fields(place, value_keys(), "an expected value");
  if (const auto process = fields.find("process")) {
    check.process = process->any_text().value_or("");
    reading.later([place = *process](const Symbols& symbols) { symbols.check_process(place); });
  }
  const auto buffer = fields.find("buffer");
  if (buffer) {
    check.buffer = buffer->any_text().value_or("");
    reading.later(
        [place = *buffer, process = check.process](const Symbols& symbols) { symbols.check_buffer(place, {process}); });
  }
  if (const auto page = fields.find("page"))
    if (const auto number = page->number(0, UINT64_MAX - 1)) {
      check.page = *number;
      reading.later([place = *page, process = check.process, name = check.buffer, pages = Pages{*number, *number + 1}](
                        const Symbols& symbols) { symbols.check_pages(place, name, pages, {process}); });
    }
  if (const auto offset = fields.find("offset")) check.offset = offset->number(0, kPageSize - 8).value_or(0);
  if (const auto value = fields.find("value"))
    if (!value->node().is(Node::Kind::scalar) || value->text() != "absent") check.value = value->number();
  return check;
}

void read_rules(const Place& place, Expectations& into, const Reading& reading) {
  into.violated.clear();
  for (const Place& item : place.one_or_more("rules"))
    if (const auto rule = item.choice(names_in(reading.catalogue.rules), "rule of the oracle")) {
      if (std::find(into.violated.begin(), into.violated.end(), *rule) != into.violated.end())
        item.fail("'" + *rule + "' is there twice", "each rule once");
      into.violated.push_back(*rule);
    }
}

void read_block(const Fields& fields, Expectations& into, Reading& reading) {
  if (const auto absent = fields.find("absent")) into.absent = absent->flag().value_or(false);
  if (const auto violated = fields.find("violated")) read_rules(*violated, into, reading);
  if (const auto counters = fields.find("counters")) read_counter_checks(*counters, into.counters, reading);
  if (const auto sometimes = fields.find("sometimes")) read_counter_checks(*sometimes, into.sometimes, reading);
  if (const auto order = fields.find("order"))
    for (const Place& item : order->items("{first: {event: ...}, then: {event: ...}}")) {
      OrderCheck check;
      check.mark = item.mark();
      const Fields pair(item, order_keys(), "an order");
      if (const auto first = pair.find("first")) check.first = read_pattern(*first, reading);
      if (const auto then = pair.find("then")) check.then = read_pattern(*then, reading);
      into.order.push_back(std::move(check));
    }
  if (const auto values = fields.find("values"))
    for (const Place& item : values->items("{process: ..., buffer: ..., page: ..., value: ...}"))
      into.values.push_back(read_value_check(item, reading));
}

}  // namespace

std::optional<CounterCheck> read_counter_check(const Place& place, Reading& reading) {
  const std::string form = "a comparison such as \"gru0.faults >= 4\"";
  if (!place.node().is(Node::Kind::scalar)) {
    place.fail("this is no comparison", form);
    return std::nullopt;
  }
  CounterCheck check;
  check.text = place.text();
  check.mark = place.mark();
  const std::string_view text = check.text;
  const std::size_t op = text.find_first_of("=!<>");
  const std::size_t number = text.find_first_not_of("=!<>", op == std::string_view::npos ? text.size() : op);
  const auto trim = [](std::string_view part) {
    while (part.starts_with(' ')) part.remove_prefix(1);
    while (part.ends_with(' ')) part.remove_suffix(1);
    return part;
  };
  if (op == std::string_view::npos || number == std::string_view::npos) {
    place.fail("'" + check.text + "' is no comparison", form);
    return std::nullopt;
  }
  check.counter = trim(text.substr(0, op));
  check.op = text.substr(op, number - op);
  static const std::vector<std::string> kOperators = {"==", "!=", "<", "<=", ">", ">="};
  if (std::find(kOperators.begin(), kOperators.end(), check.op) == kOperators.end()) {
    place.fail("'" + check.op + "' compares nothing", one_of(kOperators), nearest(check.op, kOperators));
    return std::nullopt;
  }
  std::string_view value = trim(text.substr(number));
  const bool negative = value.starts_with('-');
  if (negative) value.remove_prefix(1);
  const Parsed<std::uint64_t> magnitude = parse_number(value);
  if (!magnitude.value || *magnitude.value > INT64_MAX) {
    place.fail("'" + std::string(value) + "' is no number of 63 bits", form);
    return std::nullopt;
  }
  check.value = static_cast<std::int64_t>(*magnitude.value);
  if (negative) check.value = -check.value;
  reading.later([place, counter = check.counter](const Symbols& symbols) { check_counter(place, counter, symbols); });
  return check;
}

void read_expectations(const Place& place, Reading& reading) {
  Scenario& scenario = reading.scenario;
  const Fields fields(place, expect_keys(), "expect");
  read_block(fields, scenario.expect, reading);
  if (const auto kept = fields.find("kept"))
    read_block(Fields(*kept, plain_expect_keys(), "the expectations with every rule kept"),
               scenario.expect_kept.emplace(), reading);
  const auto per_kernel = fields.find("per_kernel");
  if (!per_kernel || !per_kernel->mapping("kernels of the scenario")) return;
  for (const Place::Entry& entry : per_kernel->entries()) {
    Expectations expected;
    expected.violated = scenario.expect.violated;
    if (entry.value.node().is(Node::Kind::scalar) && entry.value.text() == "absent")
      expected.absent = true;
    else
      read_block(Fields(entry.value, plain_expect_keys(), "the expectations for a kernel, or the word absent"), expected,
                 reading);
    for (const std::string& kernel : read_kernel_names(entry.key, names_in(reading.catalogue.kernels), scenario.kernels,
                                                       "none of this scenario's kernels"))
      if (!scenario.expect_by_kernel.emplace(kernel, expected).second)
        entry.key.fail("the expectations of " + kernel + " are there twice", "each kernel once");
  }
}

}  // namespace secmmu::language
