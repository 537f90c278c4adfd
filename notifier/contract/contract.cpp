#include "notifier/contract/contract.hpp"

#include <algorithm>
#include <set>
#include <stdexcept>

#include <fmt/format.h>

#include "notifier/contract/scenes.hpp"
#include "notifier/contract/stage.hpp"

namespace secmmu::contract {
namespace {

KernelVersion version_of(const std::string& kernel) {
  const auto version = find_kernel(kernel);
  if (!version) throw std::invalid_argument(fmt::format("no kernel {}", kernel));
  return *version;
}

// Plays every scene with its seeds, up to its first breach.
void play_kernel(Surroundings& surroundings, const SubscriberFactory& make, const Options& options,
                 const std::string& kernel, std::vector<Breach>& breaches) {
  const KernelVersion version = version_of(kernel);
  std::set<std::string_view> broken;
  const std::uint64_t rounds = std::max<std::uint64_t>(1, options.seeds / scenes().size());
  for (std::uint64_t seed = 1; seed <= rounds; ++seed) {
    for (const Scene& scene : scenes()) {
      if (broken.count(scene.name) != 0) continue;
      Stage stage(surroundings, version, seed, scene.name, make, options.without);
      if (!stage.has_a_hook()) return;
      scene.play(stage);
      if (!stage.judge.first()) continue;
      broken.insert(scene.name);
      Breach breach = *stage.judge.first();
      breach.kernel = kernel;
      breach.seed = seed;
      breach.scene = scene.name;
      breaches.push_back(std::move(breach));
    }
  }
}

}  // namespace

std::string to_text(const Breach& breach) {
  return fmt::format("{} {} seed {}, {}: {}: {}", breach.kernel, breach.scene, breach.seed, to_text(breach.at),
                     breach.rule, breach.sentence);
}

std::vector<Breach> run_contract(Surroundings& surroundings, const SubscriberFactory& make, const Options& options) {
  std::vector<std::string> kernels = options.kernels;
  if (kernels.empty())
    for (const KernelEntry& kernel : known_kernels()) kernels.emplace_back(kernel.name);
  std::vector<Breach> breaches;
  for (const std::string& kernel : kernels) play_kernel(surroundings, make, options, kernel, breaches);
  return breaches;
}

}  // namespace secmmu::contract
