#include "sim/conform/random/generator.hpp"

#include <algorithm>
#include <set>

#include <doctest/doctest.h>

#include "sim/conform/random/memory_model.hpp"
#include "sim/conform/random/shrink.hpp"

namespace secmmu::conform {

TEST_CASE("random programs are recordings that can be read, and the same seed draws the same one") {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    const Recording program = draw_program(seed, "kvm");
    CAPTURE(seed);
    CHECK(is_readable(program));
    CHECK(to_text(program) == to_text(draw_program(seed, "kvm")));
    const auto played = static_cast<std::size_t>(std::count_if(
        program.blocks.begin(), program.blocks.end(), [](const Block& block) { return !block.operation.setup; }));
    CHECK(played >= 15);
    CHECK(played <= 42);
  }
  CHECK(to_text(draw_program(1, "kvm")) != to_text(draw_program(2, "kvm")));
}

TEST_CASE("an operation that our machine can do is drawn, and the model knows what it means") {
  std::set<std::string> drawn;
  for (std::uint64_t seed = 1; seed <= 3'000; ++seed)
    for (const Block& block : draw_program(seed, "hmm").blocks) drawn.insert(block.operation.name);
  for (const OperationRow& row : operations()) {
    CAPTURE(row.name);
    CHECK(MemoryModel::knows(row.name));
    if (is_drawn(row) && row.name != "unregister") CHECK(drawn.contains(std::string(row.name)));
  }
}

// Whatever fails it is found at once: here, a write of page 3.
TEST_CASE("a failing program is shrunk to what makes it fail") {
  const auto fails = [](const Recording& program) {
    return std::any_of(program.blocks.begin(), program.blocks.end(), [](const Block& block) {
      const Operation& operation = block.operation;
      return operation.name == "dw" && operation.first <= 3 && operation.first + operation.pages > 3;
    });
  };
  std::uint64_t seed = 1;
  while (!fails(draw_program(seed, "hmm"))) ++seed;
  const Recording small = shrink(draw_program(seed, "hmm"), fails);
  CHECK(is_readable(small));
  REQUIRE(small.blocks.size() == 4);
  CHECK(small.blocks[1].operation.name == "watch");
  CHECK(small.blocks[2].operation.name == "device");
  CHECK(small.blocks[3].operation.name == "dw");
  CHECK(small.blocks[3].operation.first == 3);
  CHECK(small.blocks[3].operation.pages == 1);
}

}  // namespace secmmu::conform
