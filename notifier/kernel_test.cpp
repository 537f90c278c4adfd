#include "notifier/kernel.hpp"

#include <stdexcept>

#include <doctest/doctest.h>

#include "notifier/behaviour.hpp"

using namespace secmmu;

TEST_CASE("a kernel version has one spelling") {
  struct Row {
    const char* text;
    std::optional<KernelVersion> version;
  };
  const Row rows[] = {
      {"v6.10", KernelVersion{6, 10, 0}},
      {"v3.5.6", KernelVersion{3, 5, 6}},
      {"v2.6.27", KernelVersion{2, 6, 27}},
      {"v3.0", KernelVersion{3, 0, 0}},
      {"6.10", std::nullopt},  // YAML would read 6.10 as 6.1
      {"v6", std::nullopt},
      {"v6.", std::nullopt},
      {"v06.1", std::nullopt},
      {"v6.01", std::nullopt},
      {"v6.1.0", std::nullopt},
      {"v6.1.2.3", std::nullopt},
      {"v6.1-rc2", std::nullopt},
      {"v-6.1", std::nullopt},
      {"v6.99999999999", std::nullopt},
      {"", std::nullopt},
  };
  for (const Row& row : rows) {
    CAPTURE(row.text);
    CHECK(parse_kernel_version(row.text) == row.version);
    if (row.version) CHECK(to_text(*row.version) == row.text);
  }
  CHECK(*parse_kernel_version("v6.9") < *parse_kernel_version("v6.10"));
  CHECK(*parse_kernel_version("v2.6.38") < *parse_kernel_version("v3.0"));
  CHECK(*parse_kernel_version("v4.12.9") < *parse_kernel_version("v4.13-rc"));
  CHECK(*parse_kernel_version("v4.13-rc") < *parse_kernel_version("v4.13"));
  CHECK(!parse_kernel_version("v6.4.0"));  // a name of the list, no version
  CHECK(find_kernel("v6.4.0") == parse_kernel_version("v6.4"));
}

TEST_CASE("the known kernels are in order and parse to their versions") {
  const auto& kernels = known_kernels();
  CHECK(kernels.size() == 14);
  for (std::size_t i = 0; i < kernels.size(); ++i) {
    CHECK(find_kernel(kernels[i].name) == kernels[i].version);
    if (i > 0) CHECK(kernels[i - 1].version < kernels[i].version);
  }
}

TEST_CASE("a wrong row in a table of changes is refused whatever the kernel") {
  const auto& rows = notifier_behaviour_table();
  NotifierBehaviour behaviour;
  const auto apply = [&](Change change) { apply_changes({std::move(change)}, rows, {2, 6, 27}, &behaviour); };
  CHECK_THROWS_AS(apply({"c0ffee", {6, 0, 0}, "no_such_thing", true, ""}), std::logic_error);
  CHECK_THROWS_AS(apply({"c0ffee", {6, 0, 0}, "get_put", std::string("yes"), ""}), std::logic_error);
  CHECK_THROWS_AS(apply({"c0ffee", {6, 0, 0}, "read_side", true, ""}), std::logic_error);
  CHECK_THROWS_AS(apply({"c0ffee", {6, 0, 0}, "read_side", std::string("qsbr"), ""}), std::logic_error);
  CHECK_NOTHROW(apply({"c0ffee", {6, 0, 0}, "read_side", std::string("rcu"), ""}));
}

TEST_CASE("changes apply oldest first, of one version the later row last, and not from the future") {
  const auto& rows = notifier_behaviour_table();
  const std::vector<Change> changes{
      {"b", {5, 0, 0}, "read_side", std::string("srcu"), ""},
      {"a", {4, 0, 0}, "read_side", std::string("rcu"), ""},
      {"c", {5, 0, 0}, "get_put", false, ""},
      {"d", {5, 0, 0}, "get_put", true, ""},
      {"e", {6, 0, 0}, "get_put", false, ""},
  };
  NotifierBehaviour behaviour;
  apply_changes(changes, rows, {5, 0, 0}, &behaviour);
  CHECK(behaviour.read_side == "srcu");
  CHECK(behaviour.get_put);
}
