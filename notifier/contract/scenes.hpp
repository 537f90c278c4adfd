// The scenes of which the suite plays one per seed. Each asks for what it provokes; the judge asks for the rest.
#pragma once

#include <string_view>
#include <vector>

namespace secmmu::contract {

class Stage;

struct Scene {
  std::string_view name;
  void (*play)(Stage&);
};
const std::vector<Scene>& scenes();

}  // namespace secmmu::contract
