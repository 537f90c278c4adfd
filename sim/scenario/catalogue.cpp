// The one catalogue: what the components' tables say, brought together.
#include "sim/scenario/catalogue.hpp"

#include <fmt/format.h>

#include "models/platform.hpp"
#include "notifier/kernel.hpp"
#include "notifier/list_subscription.hpp"
#include "notifier/substrate/trace/event.hpp"
#include "sim/oracle/oracle.hpp"
#include "sim/run/counters.hpp"

namespace secmmu {
namespace {

std::string_view callback_sentence(Callback callback) {
  switch (callback) {
    case Callback::release:
      return "The mm goes, or the subscriber is unregistered: drop everything.";
    case Callback::clear_flush_young:
      return "Was the page used? Forget it.";
    case Callback::clear_young:
      return "The same, without a flush of the device's TLB.";
    case Callback::test_young:
      return "Was the page used? Remember it.";
    case Callback::change_pte:
      return "A PTE gets another frame (v2.6.32 to v6.9).";
    case Callback::invalidate_page:
      return "One PTE was cleared (up to v4.12).";
    case Callback::start:
      return "PTEs in the range are about to change.";
    case Callback::end:
      return "The PTEs have changed.";
    case Callback::invalidate_range:
      return "The CPUs' TLBs were flushed, the pages are still held (v3.19 to v6.5).";
    case Callback::secondary_tlbs:
      return "The CPUs' TLBs are flushed (v6.6 on).";
    case Callback::interval_invalidate:
      return "An interval subscription's bytes are about to change (v5.5 on).";
    case Callback::free_notifier:
      return "The last user of a shared subscription has gone: free it (v5.4 on).";
  }
  return "";
}

std::string text_of(const ParameterValue& value) {
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  return std::get<std::string>(value);
}

// The value of a behaviour in a kernel, by the rooms' tables of changes.
std::string kernel_behaviour(std::string_view kernel, std::string_view behaviour) {
  const auto version = find_kernel(kernel);
  if (!version) return "";
  const NotifierBehaviour core = notifier_behaviour(*version);
  if (const Parameter* row = notifier_behaviour_table().find(behaviour)) return text_of(row->get(&core));
  const MmBehaviour mm = mm_behaviour(*version);
  if (const Parameter* row = mm_behaviour_table().find(behaviour)) return text_of(row->get(&mm));
  const DriverBehaviour drivers = driver_behaviour(*version);
  if (const Parameter* row = driver_behaviour_table().find(behaviour)) return text_of(row->get(&drivers));
  return "";
}

// The names of an event's fields, as it describes itself.
std::vector<std::string> fields_of(const EventType& event) {
  class Names final : public FieldVisitor {
   public:
    std::vector<std::string> names;
    void integer(std::string_view field, std::int64_t) override { names.emplace_back(field); }
    void address(std::string_view field, VirtAddr) override { names.emplace_back(field); }
    void frame(std::string_view field, Pfn) override { names.emplace_back(field); }
    void range(std::string_view field, PageRange) override { names.emplace_back(field); }
    void time(std::string_view field, Time) override { names.emplace_back(field); }
    void flag(std::string_view field, bool) override { names.emplace_back(field); }
    void text(std::string_view field, std::string_view) override { names.emplace_back(field); }
  } visitor;
  event.describe_empty(visitor);
  return visitor.names;
}

Catalogue make_catalogue() {
  Catalogue known;
  known.groups = {
      {"machine", "Cores, and how the seed stretches time.", &machine_table()},
      {"machine.memory", "Physical memory.", &memory_table()},
      {"machine.mm", "The memory manager.", &mm_table()},
      {"machine.fault", "What the environment does to the kernel, for it to survive.", &fault_table()},
      {"machine.tlb", "The TLB that every core has.", &tlb_table()},
      {"machine.cost", "What every kind of step takes, in modelled time.", &machine_cost_rows()},
  };
  for (const DeviceKindRow& row : device_kinds()) {
    DeviceKind kind;
    kind.name = row.name;
    kind.sentence = row.sentence;
    kind.rows = &row.parameters;
    for (const ProtocolRule& rule : row.protocol) kind.protocol.push_back({rule.name, rule.sentence});
    if (row.scripted)
      for (const Callback callback :
           {Callback::release, Callback::start, Callback::end, Callback::invalidate_page, Callback::change_pte,
            Callback::clear_flush_young, Callback::clear_young, Callback::test_young, Callback::invalidate_range,
            Callback::secondary_tlbs, Callback::interval_invalidate, Callback::free_notifier})
        kind.callbacks.push_back({std::string(callback_name(callback)), std::string(callback_sentence(callback))});
    for (const CounterRow& counter : row.counters) kind.counters.push_back({counter.name, counter.sentence});
    known.devices.push_back(std::move(kind));
  }
  for (const KernelEntry& kernel : known_kernels())
    known.kernels.push_back({std::string(kernel.name), std::string(kernel.sentence)});
  for (const ParameterRows* table : behaviour_tables())
    for (const Parameter& row : table->rows) {
      Behaviour behaviour{row.name, row.sentence, row.choices};
      if (row.type == ParameterType::flag) behaviour.values = {"true", "false"};
      known.behaviours.push_back(std::move(behaviour));
    }
  known.behaviour_of = kernel_behaviour;
  for (const RuleInfo& rule : oracle_rules())
    known.rules.push_back({std::string(rule.name), std::string(rule.sentence)});
  known.machine_counters = machine_counter_names();
  known.core_counters = core_counter_names();
  known.process_counters = process_counter_names();
  for (const EventType* event : all_event_types())
    known.events.push_back({std::string(event->name), std::string(event->about), fields_of(*event)});
  known.tasks = {{"setup", "Makes processes and buffers before time 0."},
                 {"rcu", "Runs the callbacks of RCU."},
                 {"srcu", "Runs the callbacks of SRCU."}};
  return known;
}

}  // namespace

const Catalogue& catalogue() {
  static const Catalogue the_catalogue = make_catalogue();
  return the_catalogue;
}

}  // namespace secmmu
