// From a scenario to the configuration of a platform that can play it.
#pragma once

#include "models/platform.hpp"
#include "sim/output/run_description.hpp"
#include "sim/scenario/scenario.hpp"

namespace secmmu {

PlatformConfig platform_config(const Scenario& scenario);
RunDescription describe_run(const Scenario& scenario, const Platform& platform, const std::string& kernel,
                            std::uint64_t seed);

// Names of the tasks of an actor. A device actor whose device has user threads has two.
std::string engine_task(const ActorSpec& actor);
std::string mirror_task(const ActorSpec& actor);
std::string mirror_engine_task(const ActorSpec& actor);

}  // namespace secmmu
