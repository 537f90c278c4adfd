#include "sim/run/meeting.hpp"

#include <algorithm>

namespace secmmu {

Meetings::Meetings(Arbiter& arbiter, const Scenario& scenario,
                   const std::function<bool(const std::string& callback)>& runs)
    : arbiter_(arbiter) {
  for (const ActorSpec& actor : scenario.actors) enlist(actor.program, actor.name, false);
  for (const DeviceSpec& device : scenario.devices)
    for (const CallbackScript& script : device.scripts)
      if (runs(script.callback)) enlist(script.steps, device.name + "/" + script.callback, true);
}

void Meetings::enlist(const std::vector<Step>& steps, const std::string& party, bool script) {
  for (const Step& step : steps) {
    if (step.verb == "barrier") {
      Barrier& barrier = barriers_[step.name];
      barrier.name = step.name;
      (script ? barrier.scripts : barrier.actors).insert(party);
    }
    enlist(step.body, party, script);
  }
}

std::string Meetings::Barrier::describe() const {
  std::string missing;
  for (const auto* parties : {&actors, &scripts})
    for (const std::string& party : *parties)
      if (!arrived.contains(party) && !gone.contains(party)) missing += (missing.empty() ? "" : ", ") + party;
  return "barrier " + name + " (not there yet: " + missing + ")";
}

bool Meetings::Barrier::complete() const {
  const auto here = [this](const std::string& party) { return arrived.contains(party) || gone.contains(party); };
  return std::all_of(actors.begin(), actors.end(), here) && std::all_of(scripts.begin(), scripts.end(), here);
}

// Everyone who waits becomes ready at this instant, in order of the tasks' ids.
void Meetings::release(Barrier& barrier) {
  for (const std::string& party : barrier.arrived)
    if (barrier.scripts.contains(party)) barrier.gone.insert(party);
  barrier.arrived.clear();
  std::vector<Task*> woken;
  woken.swap(barrier.waiting);
  for (Task* task : woken) arbiter_.wake(*task);
}

void Meetings::meet(const std::string& name, const std::string& party) {
  Barrier& barrier = barriers_.at(name);
  if (barrier.gone.contains(party)) return;
  // A script is held once: a second run of it, beside one that still waits, goes through too.
  if (barrier.scripts.contains(party) && barrier.arrived.contains(party)) return;
  barrier.arrived.insert(party);
  if (barrier.complete()) {
    release(barrier);
    return;
  }
  barrier.waiting.push_back(&arbiter_.current());
  arbiter_.wait_for(barrier, true);
}

void Meetings::wait_for_step(const std::string& actor_dot_id) {
  Done& step = done_[actor_dot_id];
  step.name = actor_dot_id;
  if (step.done) return;
  step.waiting.push_back(&arbiter_.current());
  arbiter_.wait_for(step, true);
}

void Meetings::step_done(const std::string& actor_dot_id) {
  Done& step = done_[actor_dot_id];
  step.done = true;
  std::vector<Task*> woken;
  woken.swap(step.waiting);
  for (Task* task : woken) arbiter_.wake(*task);
}

void Meetings::actor_finished(const std::string& actor) {
  for (auto& [name, barrier] : barriers_) {
    if (!barrier.actors.contains(actor)) continue;
    barrier.gone.insert(actor);
    if (!barrier.waiting.empty() && barrier.complete()) release(barrier);
  }
}

void Meetings::reset() {
  for (auto& [name, barrier] : barriers_) {
    barrier.arrived.clear();
    barrier.gone.clear();
    barrier.waiting.clear();
  }
  done_.clear();
}

}  // namespace secmmu
