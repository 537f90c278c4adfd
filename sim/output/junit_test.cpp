#include "sim/output/junit.hpp"

#include <doctest/doctest.h>

#include <vector>

using namespace secmmu;

TEST_CASE("results become JUnit's XML, grouped by scenario") {
  const std::vector<JunitResult> results{
      {"tour/a.yaml", "v3.2", JunitResult::Outcome::passed, {}, {}},
      {"races/b.yaml", "v6.10/7", JunitResult::Outcome::error, "the worker died", {}},
      {"tour/a.yaml", "v6.10", JunitResult::Outcome::failed, "use-after-free at \"x\"", "first\n<second> & third"},
  };
  CHECK(junit_xml(results) ==
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
        "<testsuites name=\"secmmu\" tests=\"3\" failures=\"1\" errors=\"1\" skipped=\"0\">\n"
        "  <testsuite name=\"tour/a.yaml\" tests=\"2\" failures=\"1\" errors=\"0\" skipped=\"0\">\n"
        "    <testcase classname=\"tour/a.yaml\" name=\"v3.2\"/>\n"
        "    <testcase classname=\"tour/a.yaml\" name=\"v6.10\">\n"
        "      <failure message=\"use-after-free at &quot;x&quot;\">first&#10;&lt;second&gt; &amp; third</failure>\n"
        "    </testcase>\n"
        "  </testsuite>\n"
        "  <testsuite name=\"races/b.yaml\" tests=\"1\" failures=\"0\" errors=\"1\" skipped=\"0\">\n"
        "    <testcase classname=\"races/b.yaml\" name=\"v6.10/7\">\n"
        "      <error message=\"the worker died\"/>\n"
        "    </testcase>\n"
        "  </testsuite>\n"
        "</testsuites>\n");
}

TEST_CASE("XML text keeps what XML can hold and spells out the rest") {
  CHECK(xml_escaped("plain \xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80") == "plain \xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80");
  CHECK(xml_escaped(std::string("\x1b[31m\0\x7f\r", 8)) == "\\x1b[31m\\x00\\x7f\\x0d");
  // Cut short, overlong, a surrogate, a continuation on its own, beyond Unicode, U+FFFE.
  CHECK(xml_escaped("\xe2\x82") == "\\xe2\\x82");
  CHECK(xml_escaped("\xe0\x80\xaf") == "\\xe0\\x80\\xaf");
  CHECK(xml_escaped("\xed\xa0\x80") == "\\xed\\xa0\\x80");
  CHECK(xml_escaped("\xa4") == "\\xa4");
  CHECK(xml_escaped("\xf5\x80\x80\x80") == "\\xf5\\x80\\x80\\x80");
  CHECK(xml_escaped("\xef\xbf\xbe") == "\\xef\\xbf\\xbe");
}
