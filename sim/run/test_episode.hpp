// For tests: scenarios as text, played on one platform in a child, each run boiled down to what must be equal.
#pragma once

#include <string>
#include <string_view>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "models/test_platform.hpp"
#include "sim/output/verdict.hpp"
#include "sim/run/build.hpp"
#include "sim/run/episode.hpp"
#include "sim/scenario/parser.hpp"

namespace secmmu::testing {

inline Scenario scenario_from(const ParseResult& parsed) {
  std::string errors;
  for (const Diagnostic& error : parsed.errors) errors += to_text(error);
  INFO(errors);
  REQUIRE(parsed.scenario.has_value());
  return *parsed.scenario;
}
inline Scenario scenario_file(const std::string& path, const std::vector<std::string>& sets = {}) {
  return scenario_from(parse_scenario_file(path, sets));
}
inline Scenario scenario_text(std::string_view text) { return scenario_from(parse_scenario_text(text, "")); }

// All events of a run as text, as one number: what, when, who, where, and every field.
class EventHash final : public FieldVisitor {
 public:
  void listen(Bus& bus) {
    bus.listen_to_all([this](const AnyEvent& event) {
      const Stamp& stamp = event.stamp;
      word(fmt::format("{} {} {} {} {} {}", event.type.name, stamp.at.ps, stamp.task, stamp.processor,
                       stamp.in_interrupt, stamp.number));
      event.describe(*this);
      ++events_;
    });
  }
  std::uint64_t events() const { return events_; }
  std::uint64_t value() const { return hash_; }

  void integer(std::string_view field, std::int64_t value) override { word(fmt::format("{}={}", field, value)); }
  void address(std::string_view field, VirtAddr value) override { word(fmt::format("{}={:#x}", field, value.value)); }
  void frame(std::string_view field, Pfn value) override { word(fmt::format("{}={:#x}", field, value.value)); }
  void range(std::string_view field, PageRange value) override {
    word(fmt::format("{}={:#x}-{:#x}", field, value.first.value, value.end.value));
  }
  void time(std::string_view field, Time value) override { word(fmt::format("{}={}ps", field, value.ps)); }
  void flag(std::string_view field, bool value) override { word(fmt::format("{}={}", field, value)); }
  void text(std::string_view field, std::string_view value) override { word(fmt::format("{}={}", field, value)); }

 private:
  void word(std::string_view text) {
    for (const char letter : text) hash_ = (hash_ ^ static_cast<unsigned char>(letter)) * 0x100000001b3ULL;
    hash_ = (hash_ ^ '\n') * 0x100000001b3ULL;
  }
  std::uint64_t hash_ = 0xcbf29ce484222325ULL;
  std::uint64_t events_ = 0;
};

struct Played {
  std::string verdict;  // as JSON
  std::uint64_t events = 0;
  std::uint64_t hash = 0;
  Outcome outcome = Outcome::passed;
  bool operator==(const Played&) const = default;
};

inline Played play(Episode& episode, const std::string& kernel, std::uint64_t seed, std::uint64_t steps = UINT64_MAX) {
  EventHash hash;
  EpisodeOptions options;
  options.steps = steps;
  options.listen = [&hash](Bus& bus) { hash.listen(bus); };
  const EpisodeResult result = episode.play(kernel, seed, options);
  return {verdict_json(result.verdict), hash.events(), hash.value(), result.verdict.outcome};
}

// One run of a scenario in a child of its own; `look` sees what came of it there.
inline void play_in_child(const Scenario& scenario, const std::function<void(Platform&, const EpisodeResult&)>& look,
                          const std::string& kernel = "v6.10") {
  in_child([&] {
    Platform platform(platform_config(scenario));
    Episode episode(platform, scenario);
    direct(platform, [&] { look(platform, episode.play(kernel, scenario.seed, {})); });
  });
}

}  // namespace secmmu::testing
