#include "notifier/substrate/sync/lock_validator.hpp"

#include <fmt/format.h>

#include "notifier/substrate/arbiter.hpp"
#include "notifier/substrate/sync/events.hpp"
#include "notifier/substrate/sync/lock.hpp"

namespace secmmu {
namespace {
std::string class_of(const Lock& lock, unsigned nesting) {
  return nesting == 0 ? lock.lock_class() : fmt::format("{}/{}", lock.lock_class(), nesting);
}
}  // namespace

unsigned LockValidator::number_of(const std::string& lock_class) {
  return numbers_.emplace(lock_class, static_cast<unsigned>(numbers_.size())).first->second;
}

void LockValidator::acquiring(const Task& task, const Lock& lock, unsigned nesting) {
  for (const Lock* held : task.context().locks)
    if (held == &lock || !known(held->class_number(), lock.class_number(), nesting)) learn(task, *held, lock, nesting);
}

void LockValidator::learn(const Task& task, const Lock& held, const Lock& lock, unsigned nesting) {
  const std::string taken = class_of(lock, nesting);
  const std::string& from = held.lock_class();
  if (from == taken && &held != &lock) {
    // Two locks of one class without a declared order: another task may take them the other way round.
    const std::string cycle = fmt::format("{} -> {}", from, taken);
    if (reported_.insert(cycle).second)
      arbiter_.bus().emit(LockOrderBroken{
          cycle, fmt::format("{} takes {} while it holds {}: both are of class {}, and nothing says which comes first",
                             task.name(), lock.name(), held.name(), from)});
    return;
  }
  if (&held == &lock) {
    const std::string cycle = fmt::format("{} -> {}", from, taken);
    if (!held.held()) return;  // a reader that reads again
    if (reported_.insert(cycle).second)
      arbiter_.bus().emit(LockOrderBroken{
          cycle, fmt::format("{} takes {} which it holds already: it waits for itself", task.name(), lock.name())});
    return;
  }
  if (nesting < kNestings) {
    const std::size_t at = lock.class_number() * kNestings + nesting;
    if (known_.size() <= held.class_number()) known_.resize(held.class_number() + 1);
    std::vector<bool>& to = known_[held.class_number()];
    if (to.size() <= at) to.resize(at + 1);
    to[at] = true;
  }
  auto& from_edges = edges_[from];
  if (from_edges.contains(taken)) return;
  from_edges.emplace(taken, Edge{task.name(), held.name(), lock.name(), arbiter_.now()});
  const std::vector<std::string> back = path(taken, from);
  if (back.empty()) return;
  std::string cycle = from;
  std::string story = fmt::format("{} takes {} while it holds {}", task.name(), lock.name(), held.name());
  for (std::size_t i = 0; i + 1 < back.size(); ++i) {
    const Edge& edge = edges_.at(back[i]).at(back[i + 1]);
    story += fmt::format("; {} took {} while it held {} at {}", edge.task, edge.taken, edge.held, to_text(edge.at));
  }
  for (const std::string& name : back) cycle += " -> " + name;
  if (reported_.insert(cycle).second) arbiter_.bus().emit(LockOrderBroken{cycle, story});
}

// The classes on a way from `from` to `to` along known edges; empty if there is none.
std::vector<std::string> LockValidator::path(const std::string& from, const std::string& to) const {
  std::map<std::string, std::string> reached_by{{from, from}};
  std::vector<std::string> open{from};
  while (!open.empty()) {
    const std::string at = open.back();
    open.pop_back();
    if (at == to) {
      std::vector<std::string> way{to};
      while (way.front() != from) way.insert(way.begin(), reached_by.at(way.front()));
      return way;
    }
    const auto edges = edges_.find(at);
    if (edges == edges_.end()) continue;
    for (const auto& [next, edge] : edges->second)
      if (reached_by.emplace(next, at).second) open.push_back(next);
  }
  return {};
}

void LockValidator::reset() {
  edges_.clear();
  known_.clear();
  reported_.clear();
}

}  // namespace secmmu
