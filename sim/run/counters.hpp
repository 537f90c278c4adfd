// Every counter of a machine under its dotted name: what expectations compare and stats.json lists. The
// names and sentences without a machine are what `secmmu list counters` and the parser know.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "models/platform.hpp"
#include "sim/output/statistics.hpp"
#include "sim/run/world.hpp"
#include "sim/scenario/catalogue.hpp"

namespace secmmu {

std::vector<NamedSentence> machine_counter_names();
std::vector<NamedSentence> core_counter_names();
std::vector<NamedSentence> process_counter_names();

std::vector<StatisticRow> read_counters(const World& world);
std::optional<std::int64_t> find_counter(const std::vector<StatisticRow>& rows, const std::string& name);

}  // namespace secmmu
