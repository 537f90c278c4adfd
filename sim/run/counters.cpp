#include "sim/run/counters.hpp"

#include <fmt/format.h>

#include "models/mm/memory_pressure.hpp"

namespace secmmu {
namespace {

template <class Source>
struct Row {
  const char* name;
  const char* unit;
  const char* sentence;
  std::uint64_t (*read)(const Source&);
};

const std::vector<Row<Platform>>& machine_rows() {
  static const std::vector<Row<Platform>> rows = {
      {"frames.total", "frames", "Frames of physical memory.", [](const Platform& p) { return p.memory.frames(); }},
      {"frames.free", "frames", "Free frames at the end.", [](const Platform& p) { return p.memory.free_frames(); }},
      {"frames.used", "frames", "Frames in use at the end.",
       [](const Platform& p) { return p.memory.frames() - p.memory.free_frames(); }},
      {"reclaim.scanned", "pages", "Pages of its lists that reclaim looked at.",
       [](const Platform& p) { return p.mms->pressure->counters.scanned; }},
      {"reclaim.reclaimed", "pages", "Those of them that it took away.",
       [](const Platform& p) { return p.mms->pressure->counters.reclaimed; }},
      {"reclaim.activated", "pages", "Pages that were used twice, and are in use from now on.",
       [](const Platform& p) { return p.mms->pressure->counters.activated; }},
      {"reclaim.deactivated", "pages", "Pages in use that must be used again to stay so.",
       [](const Platform& p) { return p.mms->pressure->counters.deactivated; }},
      {"reclaim.direct", "count", "Times that an allocation had to reclaim first.",
       [](const Platform& p) { return p.mms->pressure->counters.direct; }},
      {"reclaim.kswapd", "count", "Times that kswapd was woken.",
       [](const Platform& p) { return p.mms->pressure->counters.kswapd; }},
  };
  return rows;
}

const std::vector<Row<Core>>& core_rows() {
  static const std::vector<Row<Core>> rows = {
      {"hits", "count", "Accesses that found their translation in the TLB.",
       [](const Core& c) { return c.counters.hits; }},
      {"misses", "count", "Accesses that walked.", [](const Core& c) { return c.counters.misses; }},
      {"faults", "count", "Page faults.", [](const Core& c) { return c.counters.faults; }},
      {"flushes", "count", "TLB flushes of a range or of an address space.",
       [](const Core& c) { return c.counters.flushes; }},
      {"shootdowns", "count", "Shootdown interrupts received.", [](const Core& c) { return c.counters.shootdowns; }},
      {"valid_entries", "count", "Translations in the TLB at the end.",
       [](const Core& c) { return c.valid_entries(); }},
  };
  return rows;
}

const std::vector<Row<Mm>>& process_rows() {
  static const std::vector<Row<Mm>> rows = {
      {"faults", "count", "Faults that the kernel handled.", [](const Mm& m) { return m.counters.faults; }},
      {"zero_pages", "count", "Faults answered with the zero page.", [](const Mm& m) { return m.counters.zero_pages; }},
      {"cow_copies", "count", "Pages copied on write.", [](const Mm& m) { return m.counters.cow_copies; }},
      {"cow_reuses", "count", "Write faults that took a page over without a copy.",
       [](const Mm& m) { return m.counters.cow_reuses; }},
      {"around", "pages", "Pages of files that the fault of a neighbour mapped.",
       [](const Mm& m) { return m.counters.around; }},
      {"pages_unmapped", "pages", "PTEs cleared.", [](const Mm& m) { return m.counters.pages_unmapped; }},
      {"pages_freed", "pages", "Frames given back by unmapping.", [](const Mm& m) { return m.counters.pages_freed; }},
      {"huge_faults", "count", "Faults answered with a huge page of the process's own.",
       [](const Mm& m) { return m.counters.huge_faults; }},
      {"huge_splits", "count", "Huge entries that gave way to small ones.",
       [](const Mm& m) { return m.counters.huge_splits; }},
      {"huge_collapses", "count", "Blocks of small pages that became a huge one.",
       [](const Mm& m) { return m.counters.huge_collapses; }},
      {"migrated", "pages", "Pages of PTEs that came back with another frame.",
       [](const Mm& m) { return m.counters.migrated; }},
      {"merged", "count", "PTEs that KSM gave a merged page.", [](const Mm& m) { return m.counters.merged; }},
      {"protected_writes", "count", "Writes that waited for a userfaultfd's handler.",
       [](const Mm& m) { return m.counters.protected_writes; }},
      {"resident", "pages", "PTEs that map a frame at the end.",
       [](const Mm& m) { return static_cast<std::uint64_t>(m.counters.resident); }},
      {"swapped", "pages", "PTEs that name a slot of the swap area at the end.",
       [](const Mm& m) { return static_cast<std::uint64_t>(m.counters.swapped); }},
      {"users", "count", "mm_users at the end.",
       [](const Mm& m) { return static_cast<std::uint64_t>(const_cast<Mm&>(m).users().value()); }},
      {"count", "count", "mm_count at the end.",
       [](const Mm& m) { return static_cast<std::uint64_t>(const_cast<Mm&>(m).count().value()); }},
      {"vmas", "count", "VMAs at the end.",
       [](const Mm& m) { return static_cast<std::uint64_t>(m.vmas.iterative_size()); }},
  };
  return rows;
}

template <class Source>
std::vector<NamedSentence> names(const std::vector<Row<Source>>& rows) {
  std::vector<NamedSentence> result;
  for (const auto& row : rows) result.push_back({row.name, row.sentence});
  return result;
}

template <class Source>
void add(std::vector<StatisticRow>& into, const std::string& prefix, const std::vector<Row<Source>>& rows,
         const Source& source) {
  for (const auto& row : rows) into.push_back({prefix + row.name, row.unit, row.sentence, row.read(source)});
}

}  // namespace

std::vector<NamedSentence> machine_counter_names() { return names(machine_rows()); }
std::vector<NamedSentence> core_counter_names() { return names(core_rows()); }
std::vector<NamedSentence> process_counter_names() { return names(process_rows()); }

std::vector<StatisticRow> read_counters(const World& world) {
  std::vector<StatisticRow> rows;
  add(rows, "", machine_rows(), world.platform);
  for (const auto& core : world.platform.cores) add(rows, fmt::format("cpu{}.", core->number()), core_rows(), *core);
  for (const auto& [name, process] : world.processes)
    if (process.mm != nullptr) add(rows, name + ".", process_rows(), *process.mm);
  for (const auto& device : world.platform.devices)
    for (const CounterRow& row : device->counters())
      rows.push_back({device->name() + "." + row.name, row.unit, row.sentence, static_cast<std::uint64_t>(row.value)});
  for (const auto& [name, value] : world.counters)
    rows.push_back({name, "count", "Counted while a recording was played.", value});
  return rows;
}

std::optional<std::int64_t> find_counter(const std::vector<StatisticRow>& rows, const std::string& name) {
  for (const StatisticRow& row : rows)
    if (row.name == name) return static_cast<std::int64_t>(row.value);
  return std::nullopt;
}

}  // namespace secmmu
