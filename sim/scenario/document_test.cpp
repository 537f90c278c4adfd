#include "sim/scenario/document.hpp"

#include <doctest/doctest.h>

#include <random>

#include "sim/scenario/test_catalogue.hpp"

using namespace secmmu;
using namespace secmmu::language;
using test::mistakes;

namespace {

bool mentions(const std::string& text, const std::string& part) {
  INFO("messages:\n" << text);
  const bool found = text.find(part) != std::string::npos;
  CHECK_MESSAGE(found, "missing: ", part);
  return found;
}

}  // namespace

TEST_CASE("YAML that readers understand differently is refused where it stands") {
  mentions(mistakes("a: 1\na: 2\n"),
           ":2:1: error: a: the key 'a' is there twice (first in line 1), expected each key once");
  mentions(mistakes("a: &x 1\n"), "error: a: the anchor '&x' is not part of the language");
  mentions(mistakes("a: &x 1\nb: *x\n"), ":2:4: error: b: an alias (*name) is not part of the language");
  mentions(mistakes("a: !!str 1\n"), "error: a: the tag '");
  mentions(mistakes("m: {<<: {a: 1}}\n"), "error: m.<<: a merge key (<<) is not part of the language");
  mentions(mistakes("[1, 2]: 3\n"), "this key is no plain word");
  mentions(mistakes("a: 1\n---\nb: 2\n"), "a second YAML document begins here");
  mentions(mistakes("a: [1, 2\n"), "error: this is no YAML: ");
}

TEST_CASE("files that are no text at all") {
  mentions(mistakes(""), "error: the file is empty");
  mentions(mistakes("# nothing\n"), "error: the file is empty");
  mentions(mistakes("name: \xff\n"), ":1:7: error: this is not UTF-8");
  mentions(mistakes("name: \xc0\x80\n"), "this is not UTF-8");
  mentions(mistakes("name: \xed\xa0\x80\n"), "this is not UTF-8");
  mentions(mistakes(std::string("name: \0x\n", 9)), "there is a control character in the text");
  mentions(mistakes("name: a\rb\n"), "there is a control character in the text");
  mentions(mistakes("a:\n\tb: 1\n"), ":2:1: error: there is a tab in the indentation, expected spaces");
  mentions(mistakes(std::string(2 << 20, ' ')), "the file is larger than 1 MiB");
  mentions(mistakes("a: " + std::string(20'000, 'x')), ":1:1: error: this line is longer than 10000 bytes");
  mentions(mistakes("- 1\n"), "is a list, expected a mapping");
  mentions(mistakes("just words\n"), "is 'just words', expected a mapping");
}

TEST_CASE("deep nesting is refused and harmless") {
  mentions(mistakes("a: " + std::string(5000, '[')), "nested deeper than 32 levels");
  mentions(mistakes("a: " + std::string(5000, '{')), "error: ");
  std::string blocks;
  for (int i = 0; i < 100; ++i) blocks += std::string(static_cast<std::size_t>(i), ' ') + "a:\n";
  mentions(mistakes(blocks), "nested deeper than 32 levels");
}

TEST_CASE("files that cannot be read") {
  const Catalogue known = test::make_catalogue();
  mentions(test::messages(parse_scenario_file("no/such.yaml", {}, known)),
           "no/such.yaml: error: there is no such file");
  mentions(test::messages(parse_scenario_file(".", {}, known)), ".: error: this is a directory");
}

TEST_CASE("windows line ends and a byte order mark change nothing") {
  std::string text = "\xef\xbb\xbf";
  for (const char c : test::kEverything) text += c == '\n' ? std::string("\r\n") : std::string(1, c);
  const ParseResult result = test::parse(text);
  CHECK(test::messages(result) == "");
  REQUIRE(result.scenario);
  CHECK(*result.scenario == *test::parse(test::kEverything).scenario);
}

TEST_CASE("columns count characters and the caret stands under the place") {
  const std::string text = mistakes("scenario: 1\nname: x\nabout: {\xc3\xa4\xc3\xb6: 1, z: [}\n");
  mentions(text, ":3:");
  const std::string found = mistakes("\"\xc3\xa4\xc3\xb6\": 1\n\xc3\xa4: {a: 1, a: 2}\n");
  mentions(found, ":2:11: error: ");
  mentions(found, "\n    \xc3\xa4: {a: 1, a: 2}\n              ^\n");
  mentions(mistakes("a: {" + std::string(3000, 'x') + ": 1, b: 1, b: 2}\n"), "...");
}

TEST_CASE("random damage to a scenario never does more than give messages") {
  std::mt19937_64 random(1);
  for (int round = 0; round < 1500; ++round) {
    std::string text = test::kEverything;
    for (std::uint64_t i = 0; i < 1 + random() % 4; ++i) {
      const std::size_t at = random() % text.size();
      switch (random() % 5) {
        case 0:
          text.erase(at, 1 + random() % 20);
          break;
        case 1:
          text.insert(at, 1, "{}[]:,&*!|>'\"%@`#-? \n\t.0~"[random() % 26]);
          break;
        case 2:
          text[at] = static_cast<char>(random() % 256);
          break;
        case 3:
          text.insert(at, text.substr(random() % text.size(), random() % 60));
          break;
        default:
          text.resize(at + 1);
          break;
      }
    }
    const ParseResult result = test::parse(text);
    CHECK(result.scenario.has_value() == result.errors.empty());
    CHECK_FALSE(test::messages(result).ends_with("\n\n"));
  }
}

TEST_CASE("a set changes the file before it is checked") {
  const auto set = [](const std::string& what) { return test::parse(test::kEverything, {what}); };
  const auto setting = [](const ParseResult& result, const std::string& path) -> std::string {
    if (!result.scenario) return test::messages(result);
    for (const Setting& one : result.scenario->machine)
      if (one.path == path) return std::to_string(std::get<std::uint64_t>(one.value));
    return "absent";
  };
  CHECK(setting(set("machine.tlb.entries=8"), "machine.tlb.entries") == "8");
  CHECK(setting(set("machine.tlb.ways=2"), "machine.tlb.ways") == "2");
  CHECK(set("seed=9").scenario->seed == 9);
  CHECK(test::parse("scenario: 1\nname: x\nkernels: [v6.10]\nactors: {a: {cpu: 0, do: [{delay: 1us}]}}\n",
                    {"kernel=v3.2"})
            .scenario->kernels == std::vector<std::string>{"v3.2"});
  CHECK(set("devices.gru0.without=[]").scenario->devices[0].without.empty());
  CHECK(set("actors.reader.do.0.read.pages=1").scenario->actors[0].program[0].first_page == 1);

  mentions(
      test::messages(set("machine.tlb.entires=8")),
      "--set machine.tlb.entires=8: error: machine.tlb.entires: 'entires' is no key of machine.tlb, expected entries "
      "or ways; did you mean 'entries'?");
  mentions(test::messages(set("machine.tlb.entries=0")),
           "error: machine.tlb.entries: '0' is out of range, expected 1 to 4096");
  mentions(test::messages(set("devices.gru1.contexts=1")),
           "devices has no 'gru1', expected gru0 or probe0; did you mean 'gru0'?");
  mentions(test::messages(set("machine")), "there is no path and value in it");
  mentions(test::messages(set("name.x=1")), "name is a single value");
  mentions(test::messages(set("a..b=1")), "a part of the path is empty");
  mentions(test::messages(set("actors.reader.do.99.read=1")),
           "'99' is no element of actors.reader.do, expected an index below 4");
  mentions(test::messages(set("seed={")), "this is no YAML");
  mentions(test::messages(set("seed=")), "error: seed: is empty, expected a number");
  mentions(test::messages(set("seed=\xff")), "is not plain UTF-8");
}
