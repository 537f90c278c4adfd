// Checks of the scenario as a whole: waits that end in a circle, barriers for one, places in memory.
#include <algorithm>

#include "sim/scenario/reading.hpp"

namespace secmmu::language {
namespace {

// Who must come before whom. Each step is two points, its start and its end.
class WaitGraph {
 public:
  explicit WaitGraph(const Scenario& scenario) {
    std::map<std::string, std::size_t> starts;  // of actors
    for (const ActorSpec& actor : scenario.actors) {
      const std::size_t start = add_point(nullptr, "");
      starts[actor.name] = start;
      add_steps(actor.program, "actors." + actor.name + ".do", actor.name, start);
    }
    for (const auto& [point, names] : waits_)
      for (const std::string& name : names)
        if (const auto target = ends_.find(name); target != ends_.end()) needs_[point].push_back(target->second);
    for (const ProcessSpec& process : scenario.processes) {
      const auto fork = forks_.find(process.name);
      if (process.forked_from.empty() || fork == forks_.end()) continue;
      for (const ActorSpec& actor : scenario.actors)
        if (actor.process == process.name) needs_[starts[actor.name]].push_back(fork->second);
    }
  }

  // Reports each circle at the step that closes it.
  void report(Diagnostics& out) const {
    enum Colour : char { fresh, open, done };
    std::vector<Colour> colours(needs_.size(), fresh);
    for (std::size_t root = 0; root < needs_.size(); ++root) {
      if (colours[root] != fresh) continue;
      std::vector<std::pair<std::size_t, std::size_t>> trail = {{root, 0}};  // point, next need
      colours[root] = open;
      while (!trail.empty()) {
        auto& [point, next] = trail.back();
        if (next == needs_[point].size()) {
          colours[point] = done;
          trail.pop_back();
          continue;
        }
        const std::size_t need = needs_[point][next++];
        if (colours[need] == open) report_circle(trail, need, out);
        if (colours[need] != fresh) continue;
        colours[need] = open;
        trail.emplace_back(need, 0);
      }
    }
  }

 private:
  struct Point {
    const Step* step;
    std::string path;
  };

  std::size_t add_point(const Step* step, std::string path) {
    points_.push_back({step, std::move(path)});
    needs_.emplace_back();
    return points_.size() - 1;
  }

  // The end of the last step.
  std::size_t add_steps(const std::vector<Step>& steps, const std::string& path, const std::string& actor,
                        std::size_t before) {
    for (std::size_t i = 0; i < steps.size(); ++i) {
      const Step& step = steps[i];
      const std::string where = path + "." + std::to_string(i);
      const std::size_t start = add_point(&step, where);
      needs_[start].push_back(before);
      if (!step.after.empty()) waits_[start] = step.after;
      const std::size_t inner = add_steps(step.body, where + ".loop.do", actor, start);
      const std::size_t end = add_point(&step, where);
      needs_[end].push_back(inner);
      if (!step.id.empty()) ends_[actor + "." + step.id] = end;
      if (step.verb == "fork") forks_[step.name] = end;
      before = end;
    }
    return before;
  }

  void report_circle(const std::vector<std::pair<std::size_t, std::size_t>>& trail, std::size_t closing,
                     Diagnostics& out) const {
    const auto from =
        std::find_if(trail.begin(), trail.end(), [&](const auto& entry) { return entry.first == closing; });
    std::vector<const Point*> circle;  // the steps that wait, each once
    for (auto at = from; at != trail.end(); ++at) {
      const Point& point = points_[at->first];
      const bool waits = point.step != nullptr && (!point.step->after.empty() || point.step->verb == "fork");
      const auto same = [&](const Point* other) { return other->path == point.path; };
      if (waits && std::none_of(circle.begin(), circle.end(), same)) circle.push_back(&point);
    }
    if (circle.empty()) return;
    std::string text;
    for (const Point* point : circle) text += (text.empty() ? "" : ", which waits for ") + point->path;
    out.add(circle[0]->step->mark, circle[0]->path, "this waits for itself: " + text + ", and so on",
            "waits that end somewhere");
  }

  std::vector<Point> points_;
  std::vector<std::vector<std::size_t>> needs_;
  std::map<std::size_t, std::vector<std::string>> waits_;
  std::map<std::string, std::size_t> ends_;
  std::map<std::string, std::size_t> forks_;
};

void fill_pages(std::vector<Step>& steps, const BufferSizes& buffers) {
  for (Step& step : steps) {
    const Verb* verb = find_verb(step.verb, User::cpu);  // all that have pages may stand in a CPU program
    const Argument* pages = verb != nullptr ? verb->find("pages") : nullptr;
    if (pages != nullptr && pages->key.shape == Shape::pages && step.end_page == 0)
      if (const auto size = buffers.find(step.buffer); size != buffers.end()) step.end_page = size->second.first;
    fill_pages(step.body, buffers);
  }
}

}  // namespace

void check_waits(const Symbols& symbols, const Reading& reading, Diagnostics& out) {
  WaitGraph(symbols.scenario).report(out);
  std::vector<std::string> names;
  for (const auto& [name, meeting] : reading.meetings) names.push_back(name);
  for (const auto& [name, meeting] : reading.meetings) {
    if (meeting.parties.size() > 1) continue;
    for (const Place& place : meeting.places)
      place.fail("nobody else comes to the barrier '" + name + "'", "at least two who name it", nearest(name, names));
  }
}

void check_memory(const Symbols& symbols, Diagnostics& out) {
  for (const ProcessSpec& process : symbols.scenario.processes)
    for (std::size_t i = 0; i < process.buffers.size(); ++i) {
      const BufferSpec& buffer = process.buffers[i];
      if (!buffer.at) continue;
      const PageRange range{buffer.at->page(), buffer.at->page() + buffer.pages};
      const std::string path = "processes." + process.name + ".buffers." + buffer.name;
      if (range.end > kWholeSpace.end)
        out.add(buffer.mark, path, "the buffer reaches beyond the end of user space",
                "an end at or below 0x8000_0000_0000");
      for (std::size_t j = 0; j < i; ++j) {
        const BufferSpec& other = process.buffers[j];
        if (other.at && range.overlaps({other.at->page(), other.at->page() + other.pages}))
          out.add(buffer.mark, path, "the buffer overlaps '" + other.name + "'", "a place of its own");
      }
    }
}

void fill_in(Reading& reading, const Symbols& symbols, Diagnostics& out) {
  Scenario& scenario = reading.scenario;
  for (ActorSpec& actor : scenario.actors)
    if (const auto buffers = symbols.buffers.find(actor.process); buffers != symbols.buffers.end())
      fill_pages(actor.program, buffers->second);
  for (DeviceSpec& device : scenario.devices)
    for (CallbackScript& script : device.scripts)
      for (const std::string& process : device.attach)
        if (const auto buffers = symbols.buffers.find(process); buffers != symbols.buffers.end())
          fill_pages(script.steps, buffers->second);

  std::map<std::string, std::map<std::uint64_t, const ActorSpec*>> used;  // by device and context
  for (const ActorSpec& actor : scenario.actors) {
    if (!reading.contexts_named.contains(actor.name)) continue;
    const auto [other, fresh] = used[actor.device].emplace(actor.context, &actor);
    if (!fresh && other->second->process != actor.process)
      out.add(actor.mark, "actors." + actor.name,
              "context " + std::to_string(actor.context) + " of " + actor.device + " belongs to " +
                  other->second->process + " (actor " + other->second->name + ")",
              "another context");
  }
  for (ActorSpec& actor : scenario.actors) {
    const DeviceSpec* device = symbols.device(actor.device);
    const std::optional<std::uint64_t> contexts = device != nullptr ? symbols.contexts(*device) : std::nullopt;
    if (!contexts || reading.contexts_named.contains(actor.name)) continue;
    std::map<std::uint64_t, const ActorSpec*>& taken = used[actor.device];
    while (taken.contains(actor.context)) ++actor.context;
    if (actor.context >= *contexts)
      out.add(actor.mark, "actors." + actor.name, "no context of " + actor.device + " is left",
              "at most " + std::to_string(*contexts) + " programs, or more in devices." + actor.device + ".contexts");
    taken[actor.context] = &actor;
  }
}

}  // namespace secmmu::language
