// How actors of a scenario wait for each other: barriers, and steps that others have completed. These are
// the scenario's own means, not the machine's: they cost no modelled time, and a wait for them is never
// "sleeping" in the kernel's sense (where a callback may not sleep, it spins).
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "notifier/substrate/arbiter.hpp"
#include "sim/scenario/scenario.hpp"

namespace secmmu {

class Meetings {
 public:
  // `runs`: whether the kernel at hand calls the callback of that name. A script that never runs is not waited for.
  Meetings(Arbiter& arbiter, const Scenario& scenario, const std::function<bool(const std::string& callback)>& runs);

  // Waits until everyone who names the barrier has come. `party` is an actor's name, or "device/callback" of
  // a script. A script meets a barrier once; when its callback runs again it goes through. An actor that has
  // finished is no longer waited for.
  void meet(const std::string& barrier, const std::string& party);
  void wait_for_step(const std::string& actor_dot_id);
  void step_done(const std::string& actor_dot_id);
  void actor_finished(const std::string& actor);
  void reset();

 private:
  struct Barrier final : Waitable {
    std::string name;
    std::set<std::string> actors;
    std::set<std::string> scripts;
    std::set<std::string> arrived;
    std::set<std::string> gone;  // actors that have finished, scripts that have met
    std::vector<Task*> waiting;
    bool complete() const;
    std::string describe() const override;
  };
  struct Done final : Waitable {
    std::string name;
    bool done = false;
    std::vector<Task*> waiting;
    std::string describe() const override { return "step " + name; }
  };
  void enlist(const std::vector<Step>& steps, const std::string& party, bool script);
  void release(Barrier& barrier);

  Arbiter& arbiter_;
  std::map<std::string, Barrier> barriers_;
  std::map<std::string, Done> done_;
};

}  // namespace secmmu
