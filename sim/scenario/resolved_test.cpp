#include "sim/scenario/resolved.hpp"

#include <doctest/doctest.h>

#include <random>

#include "sim/scenario/test_catalogue.hpp"
#include "sim/scenario/verbs.hpp"

using namespace secmmu;

namespace {

// Text of a random scenario in which every operation may occur; always valid.
class RandomScenario {
 public:
  explicit RandomScenario(std::uint64_t seed) : random_(seed) {}

  std::string make() {
    std::string text = "scenario: 1\nname: random\n";
    if (coin())
      text += "kernels: [v3.2, v6.10]\n";
    else
      text += "kernels: [v6.10, v3.2]\n";
    if (coin())
      text += "about: \"" + pick({"plain", "two\\nlines", "it's: {odd} # \\\"x\\\"", "\xc3\xa4\xc3\xb6", " blank "}) +
              "\"\n";
    if (coin()) text += "seed: " + number() + "\nseeds: " + small() + "\n";
    if (coin()) text += "limit: " + small() + pick({"ns", "us", "ms"}) + "\nstrict: " + flag() + "\n";
    if (coin())
      text += "machine: {tlb: {ways: " + small() + "}, cpus: 4, cost: {walk_level: " + time() +
              "}, memory: {bytes_per_bank: " + pick({"4KiB", "1MiB", "5000"}) + "}}\n";
    else
      text += "machine: {cpus: 5}\n";
    if (coin()) text += "behaviour: {exit-order: " + pick({"early", "\"true\"", "\"12:30\"", "a b"}) + "}\n";
    text += "processes: {app: {buffers: {buf: {pages: 8, prot: " + prot() + ", populate: " + flag() +
            "}, at: {at: 0x40000, pages: 2, backing: " + backing() + "}}}, lone: {}}\n";
    text += "devices:\n  gru0: {kind: gru, attach: app, contexts: 4, polling: " + flag() + "}\n";
    text += "  probe0: {kind: probe, attach: [app, lone], callbacks: {release: [" + script() + "], start: [" +
            script() + ", {lock: a}, {barrier: all}]}}\n";
    text += "actors:\n  one: {cpu: 0, process: app, do: [" + steps(language::User::cpu) +
            ", {id: end, delay: 1us}, {barrier: all}]}\n";
    text += "  two: {device: gru0, start: " + time() + ", do: [" + steps(language::User::device) + "]}\n";
    text +=
        "  three: {cpu: 3, do: [{after: one.end, sleep: " + time() + "}, {loop: {times: 3, do: [{delay: 1ns}]}}]}\n";
    text += "watch: [app.buf]\nexpect:\n  violated: [" + pick({"", "no-use-after-free"}) +
            "]\n  counters: [\"gru0.faults >= " + small() + "\"]\n";
    text += "  values: [{process: app, buffer: buf, page: 3, value: " + pick({"absent", "7", "0xffff_ffff_ffff_ffff"}) +
            "}]\n";
    text +=
        "  order: [{first: {event: frame_free, pfn: " + small() + "}, then: {event: odd, by: one, text: \"a: b\"}}]\n";
    text += "  per_kernel: {v3.2: {sometimes: [frames.free > 1], violated: []}}\n";
    return text;
  }

 private:
  bool coin() { return random_() % 2 == 0; }
  std::string pick(const std::vector<std::string>& of) { return of[random_() % of.size()]; }
  std::string small() { return std::to_string(1 + random_() % 60); }
  std::string number() { return std::to_string(random_() >> (random_() % 64)); }
  std::string flag() { return pick({"true", "false"}); }
  std::string time() { return small() + pick({"ps", "ns", "us", ".5ns"}); }
  std::string prot() { return pick({"none", "r", "rw", "rx", "rwx"}); }
  std::string backing() { return pick({"anon", "shared", "file"}); }
  std::string pages() { return pick({"", ", pages: 3", ", pages: 0..8", ", pages: 2..4"}); }

  std::string argument(const language::Argument& argument, const std::string& verb) {
    using language::Shape;
    switch (argument.key.shape) {
      case Shape::buffer:
        return "buf";
      case Shape::new_buffer:
        return "fresh" + std::to_string(++names_);
      case Shape::process:
        return "app";
      case Shape::new_process:
        return "child" + std::to_string(++names_);
      case Shape::pages:
        return pick({"3", "0..8", "2..4"});
      case Shape::offset:
        return small();
      case Shape::count:
        return small();
      case Shape::number:
        return verb == "brk" ? small() : number();
      case Shape::hundredths:
        return "1.2";
      case Shape::protection:
        return prot();
      case Shape::backing:
        return backing();
      case Shape::duration:
        return time();
      case Shape::flag:
        return flag();
      case Shape::address:
        return "0x7000_0000";
      case Shape::pattern:
        return pick({"random", "chase"});
      case Shape::want:
        return coin() ? number() : "{v3.2: " + number() + "}";
      case Shape::device:
        return pick({"gru0", "probe0"});
      case Shape::meeting:
        return "all";
      case Shape::lock:
        return "a";
      case Shape::steps:
        return "[{delay: " + time() + "}, {read: {buffer: buf" + pages() + "}}]";
      default:
        return "mutex";
    }
  }

  std::string step(const language::Verb& verb) {
    if (verb.name == "mremap")
      return coin() ? "{mremap: {buffer: buf, grow_to: 9}}"
                    : "{mremap: {buffer: buf" + pages() + ", to: moved" + std::to_string(++names_) + "}}";
    if (verb.arguments.empty()) return std::string(verb.name);
    std::string arguments;
    for (const language::Argument& one : verb.arguments) {
      const bool bound = one.key.name == "stride" || one.key.name == "skew" ||
                         (verb.name == "register" && one.key.name == "pages");  // of a buffer
      if (!one.key.required && (bound || coin())) continue;
      arguments +=
          (arguments.empty() ? "" : ", ") + std::string(one.key.name) + ": " + argument(one, std::string(verb.name));
    }
    const bool whole = verb.name == "loop" || verb.name == "fork" || verb.name == "barrier";
    return "{" + std::string(verb.name) + ": {" + arguments + "}" + (coin() && !whole ? ", times: " + small() : "") +
           (coin() ? ", result: " + pick({"ok", "ENOMEM", "{v6.10: EFAULT}"}) : "") + "}";
  }

  std::string steps(language::User user) {
    std::string list = "{delay: 1us}";
    for (int i = 0; i < 6; ++i) {
      const std::vector<std::string> names = language::verb_names(user);
      const language::Verb& verb = *language::find_verb(names[random_() % names.size()], user);
      list += ", " + step(verb);
    }
    return list;
  }
  std::string script() { return steps(language::User::probe) + ", {lock: a}"; }

  std::mt19937_64 random_;
  unsigned names_ = 0;
};

}  // namespace

TEST_CASE("the resolved scenario is a scenario and the same one") {
  const Catalogue known = test::make_catalogue();
  const auto check = [&](const std::string& text) {
    CAPTURE(text);
    const ParseResult result = test::parse(text);
    CHECK(test::messages(result) == "");
    if (!result.scenario) return;
    const ParseResult same = test::parse(scenario_yaml(*result.scenario, known));
    CHECK(test::messages(same) == "");
    for (const std::string& kernel : result.scenario->kernels) {
      if (same.scenario)
        CHECK(resolve(*same.scenario, kernel, 77, known) == resolve(*result.scenario, kernel, 77, known));
      const std::string yaml = resolved_yaml(*result.scenario, kernel, 77, known);
      CAPTURE(yaml);
      const ParseResult again = test::parse(yaml);
      CHECK(test::messages(again) == "");
      CHECK((again.scenario && *again.scenario == resolve(*result.scenario, kernel, 77, known)));
      if (again.scenario) CHECK(resolved_yaml(*again.scenario, kernel, 77, known) == yaml);
    }
  };
  check(test::kEverything);
  for (std::uint64_t seed = 0; seed < 60; ++seed) check(RandomScenario(seed).make());
}

TEST_CASE("resolving fills every value in and keeps one kernel") {
  const Catalogue known = test::make_catalogue();
  const Scenario resolved = resolve(*test::parse(test::kEverything).scenario, "v3.2", 5, known);
  CHECK(resolved.kernels == std::vector<std::string>{"v3.2"});
  CHECK(resolved.seed == 5);
  CHECK(resolved.seeds == 1);
  CHECK(resolved.machine.size() == 8);
  CHECK(resolved.devices[0].settings.size() == 4);
  CHECK(resolved.actors[0].program[1].want == 1);
  CHECK(resolved.actors[0].program[1].want_by_kernel.empty());
  CHECK(resolved.actors[3].program[1].result == "ENOMEM");
  CHECK(resolved.expect.violated.size() == 2);
  CHECK(resolved.expect_by_kernel.empty());
}

TEST_CASE("every path of a resolved scenario can be set") {
  const Catalogue known = test::make_catalogue();
  const Scenario scenario = *test::parse(test::kEverything).scenario;
  const Scenario resolved = resolve(scenario, "v6.10", 1, known);
  const std::string yaml = resolved_yaml(scenario, "v6.10", 1, known);
  std::vector<Setting> settings = resolved.machine;
  for (const DeviceSpec& device : resolved.devices)
    settings.insert(settings.end(), device.settings.begin(), device.settings.end());
  for (const Setting& setting : settings) {
    CAPTURE(setting.path);
    std::string path = setting.path;
    if (path.starts_with("kernel.")) path = "behaviour." + path.substr(7);
    const ParseResult bad = test::parse(yaml, {path + "=[]"});
    REQUIRE(bad.errors.size() == 1);  // it arrived where it belongs, and was checked there
    CHECK(bad.errors[0].path == path);
  }
}
