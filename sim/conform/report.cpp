#include "sim/conform/report.hpp"

#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace secmmu::conform {
namespace {

using Json = nlohmann::ordered_json;

Json to_json(const ReportedRecording& one) {
  Json differences = Json::array();
  for (const Difference& difference : one.comparison.differences) {
    const Operation& operation = one.recording.blocks[difference.block].operation;
    differences.push_back({{"line", difference.row.line},
                           {"operation", operation.text},
                           {"recorded", difference.row.recorded},
                           {"played", difference.row.played}});
  }
  std::set<std::string> missing;
  for (const Block& block : one.recording.blocks)
    if (!is_modelled(block.operation)) missing.insert(block.operation.name);
  return {{"path", one.recording.path},
          {"name", one.recording.name},
          {"identical", one.identical()},
          {"not_modelled", missing},
          {"fault", one.fault},
          {"remarks", one.remarks},
          {"differences", std::move(differences)}};
}

// How often each operation was played as recorded.
struct OperationCount {
  std::uint64_t identical = 0;
  std::uint64_t recorded = 0;
  bool modelled = true;
};
std::map<std::string, OperationCount> by_operation(const Report& report) {
  std::map<std::string, OperationCount> counts;
  for (const ReportedRecording& one : report.recordings)
    for (std::size_t block = 0; block < one.recording.blocks.size(); ++block) {
      const Operation& operation = one.recording.blocks[block].operation;
      OperationCount& count = counts[operation.name];
      ++count.recorded;
      count.modelled = count.modelled && is_modelled(operation);
      if (block >= one.comparison.rows.size()) continue;
      const std::vector<Row>& rows = one.comparison.rows[block];
      if (std::all_of(rows.begin(), rows.end(), [](const Row& row) { return row.equal(); })) ++count.identical;
    }
  return counts;
}

}  // namespace

std::size_t Report::identical() const {
  return static_cast<std::size_t>(
      std::count_if(recordings.begin(), recordings.end(), [](const auto& one) { return one.identical(); }));
}

KindCounts Report::counts() const {
  KindCounts counts{};
  for (const ReportedRecording& one : recordings)
    for (std::size_t kind = 0; kind < counts.size(); ++kind) counts[kind].add(one.comparison.counts[kind]);
  return counts;
}

std::string report_json(const Report& report) {
  Json json = {{"kernel", report.kernel}, {"identical", report.identical()}, {"recordings", report.recordings.size()}};
  const KindCounts counts = report.counts();
  for (const LineKind kind : kLineKinds) {
    const KindCount& count = counts[static_cast<std::size_t>(kind)];
    json["lines"][std::string(name_of(kind))] = {
        {"matching", count.matching}, {"recorded", count.recorded}, {"surplus", count.surplus}};
  }
  for (const auto& [name, count] : by_operation(report))
    json["operations"][name] = {
        {"identical", count.identical}, {"recorded", count.recorded}, {"modelled", count.modelled}};
  for (const ReportedRecording& one : report.recordings) json["files"].push_back(to_json(one));
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace secmmu::conform
