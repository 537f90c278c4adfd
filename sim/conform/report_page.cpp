// The report as a page: a table of how well we do, then each recording that differs, to be unfolded.
#include <algorithm>

#include <fmt/format.h>

#include "sim/conform/report.hpp"

namespace secmmu::conform {
namespace {

constexpr std::string_view kHead = R"(<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>secmmu conform</title>
<style>
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --bad: #c62828; --good: #2e7d32; }
@media (prefers-color-scheme: dark) { :root { --bad: #ff8a80; --good: #81c784; } }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; }
h1 { font-size: 1.4rem; margin-bottom: .2rem; }
h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; }
th, td { padding: .15rem .8rem .15rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
meter { width: 9rem; vertical-align: middle; }
details { border-bottom: 1px solid var(--line); padding: .2rem 0; }
summary { cursor: pointer; }
.first { color: var(--bad); font-family: ui-monospace, monospace; font-size: .85em; }
.lines { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); gap: 0 1rem; margin: .3rem 0 .8rem 1.2rem;
  font: 13px/1.35 ui-monospace, monospace; }
.lines > div { white-space: pre-wrap; overflow-wrap: anywhere; min-height: 1.35em; padding: 0 .3rem; }
.lines > .head { font-weight: 600; background: var(--soft); }
.lines > .different { color: var(--bad); background: var(--soft); }
.operation { margin: .4rem 0 0 1.2rem; font-family: ui-monospace, monospace; font-weight: 600; }
.columns { columns: 3 16rem; padding-left: 1.2rem; }
.good { color: var(--good); }
</style>
</head>
<body>
)";

std::string escaped(std::string_view text) {
  std::string result;
  for (const char letter : text) {
    if (letter == '&')
      result += "&amp;";
    else if (letter == '<')
      result += "&lt;";
    else if (letter == '>')
      result += "&gt;";
    else if (letter == '"')
      result += "&quot;";
    else
      result += letter;
  }
  return result;
}

std::string quoted(const std::string& line) { return line.empty() ? "nothing" : "‘" + escaped(line) + "’"; }

std::string table_of_kinds(const KindCounts& counts) {
  std::string html =
      "<table><thead><tr><th>lines</th><th class=\"number\">as recorded</th><th class=\"number\">recorded</th>"
      "<th class=\"number\">surplus</th><th></th></tr></thead><tbody>\n";
  for (const LineKind kind : kLineKinds) {
    const KindCount& count = counts[static_cast<std::size_t>(kind)];
    html += fmt::format(
        "<tr><td>{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td>"
        "<td><meter min=\"0\" max=\"{}\" value=\"{}\"></meter></td></tr>\n",
        name_of(kind), count.matching, count.recorded, count.surplus, std::max<std::uint64_t>(1, count.recorded),
        count.matching);
  }
  return html + "</tbody></table>\n";
}

std::string rows_of(const std::vector<Row>& rows) {
  std::string html = "<div class=\"lines\"><div class=\"head\">recorded</div><div class=\"head\">played</div>\n";
  for (const Row& row : rows)
    for (const std::string* side : {&row.recorded, &row.played})
      html += fmt::format("<div{}>{}</div>", row.equal() ? "" : " class=\"different\"", escaped(*side));
  return html + "</div>\n";
}

std::string details_of(const ReportedRecording& one) {
  std::string html = fmt::format("<details><summary><code>{}</code> ", escaped(one.recording.path));
  std::string rest;
  for (const std::string& remark : one.remarks) rest += fmt::format("<p class=\"first\">{}</p>\n", escaped(remark));
  if (!one.fault.empty()) {
    html += fmt::format("<span class=\"first\">internal fault: {}</span>", escaped(one.fault));
  } else if (!one.comparison.differences.empty()) {
    const Difference& first = one.comparison.differences.front();
    html += fmt::format("<span class=\"first\">line {}, {}: recorded {}, played {}</span>", first.row.line,
                        escaped(one.recording.blocks[first.block].operation.text), quoted(first.row.recorded),
                        quoted(first.row.played));
    std::size_t block = SIZE_MAX;
    for (const Difference& difference : one.comparison.differences) {
      if (difference.block == block) continue;
      block = difference.block;
      const Operation& operation = one.recording.blocks[block].operation;
      rest += fmt::format("<p class=\"operation\">{}: {} {}</p>\n", operation.mark.line,
                          operation.setup ? "setup" : "&gt;", escaped(operation.text));
      rest += rows_of(one.comparison.rows[block]);
    }
  }
  return html + "</summary>\n" + rest + "</details>\n";
}

}  // namespace

std::string report_html(const Report& report) {
  std::string html(kHead);
  html += fmt::format("<h1>{} of {} recordings identical</h1>\n<p>Played on kernel {}.</p>\n", report.identical(),
                      report.recordings.size(), escaped(report.kernel));
  html += table_of_kinds(report.counts());
  std::string same;
  std::string different;
  for (const ReportedRecording& one : report.recordings)
    if (one.identical())
      same += fmt::format("<li><code>{}</code></li>\n", escaped(one.recording.path));
    else
      different += details_of(one);
  if (!different.empty()) html += "<h2>Different</h2>\n" + different;
  if (!same.empty()) html += "<h2 class=\"good\">Identical</h2>\n<ul class=\"columns\">\n" + same + "</ul>\n";
  return html + "</body>\n</html>\n";
}

}  // namespace secmmu::conform
