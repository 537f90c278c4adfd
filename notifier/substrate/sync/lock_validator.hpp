// The lock-order validator: it learns which lock class was taken while which other was held, and
// reports the first acquisition that closes a cycle, even if no deadlock happens in this run. Try-locks
// add no edge: they cannot wait. Rule modelled: the acquisition graph of lock classes has no cycle.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "notifier/substrate/time.hpp"

namespace secmmu {

class Arbiter;
class Lock;
class Task;

class LockValidator {
 public:
  explicit LockValidator(Arbiter& arbiter) : arbiter_(arbiter) {}
  // Called before the current task waits for or takes `lock`.
  void acquiring(const Task& task, const Lock& lock, unsigned nesting);
  // A small number for a lock class, for as long as the machine lives.
  unsigned number_of(const std::string& lock_class);
  void reset();

 private:
  struct Edge {
    std::string task;
    std::string held;   // names of the locks
    std::string taken;
    Time at;
  };
  void learn(const Task& task, const Lock& held, const Lock& lock, unsigned nesting);
  std::vector<std::string> path(const std::string& from, const std::string& to) const;
  bool known(unsigned from, unsigned to, unsigned nesting) const {
    const std::size_t at = to * kNestings + nesting;
    return nesting < kNestings && from < known_.size() && at < known_[from].size() && known_[from][at];
  }

  static constexpr unsigned kNestings = 4;  // edges with a deeper nesting are looked up by name each time
  Arbiter& arbiter_;
  std::map<std::string, unsigned> numbers_;
  std::vector<std::vector<bool>> known_;  // the edges by numbers: [from][to * kNestings + nesting]
  std::map<std::string, std::map<std::string, Edge>> edges_;
  std::set<std::string> reported_;
};

}  // namespace secmmu
