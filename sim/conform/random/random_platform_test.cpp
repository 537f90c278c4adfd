#include <doctest/doctest.h>
#include "sim/conform/random/hunt.hpp"
#include "sim/conform/random/generator.hpp"
#include <cstdlib>
#include <fmt/format.h>
#include "sim/scenario/resolved.hpp"
using namespace secmmu::conform;
TEST_CASE("scratch") {
  HuntOptions o; 
  if (getenv("P")) o.programs = std::atoi(getenv("P"));
  if (getenv("S")) o.first_seed = std::atoi(getenv("S"));
  if (getenv("D")) o.devices = {getenv("D")};
  if (getenv("K")) o.kernel = getenv("K");
  if (getenv("W")) o.without = {getenv("W")};
  if (getenv("F")) o.forms = {getenv("F")[0] == 'c' ? PlayForm::crowded : PlayForm::in_order};
  auto f = hunt(o);
  if (!f) { fmt::print("nothing\n"); return; }
  fmt::print("program {} seed {} device {} form {} kind {}\n{}\n{} -> {} blocks\n{}\n", f->number, f->seed, f->device, (int)f->form, f->trial.kind, f->trial.what, f->operations, f->program.blocks.size(), to_text(f->program));
  if (getenv("Y")) fmt::print("{}\n", secmmu::scenario_yaml(f->scenario));
}
