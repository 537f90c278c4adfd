// The arguments of one operation, after its row in the table.
#pragma once

#include <algorithm>

#include "sim/scenario/reading.hpp"

namespace secmmu::language {

class ArgumentReader {
 public:
  ArgumentReader(const StepScope& scope, Reading& reading, Step& step)
      : scope_(scope), reading_(reading), step_(step) {}

  void read(const Verb& verb, const Place& value);

  // The name of a fork's child, if there is one.
  const std::optional<Place>& child() const { return child_; }

 private:
  void read_argument(const Verb& verb, const Argument& argument, const Place& place);
  void refuse_argument(const Verb& verb, const Place& key) const;
  void check_together(const Verb& verb, const Place& value, const std::set<std::string>& given) const;
  void read_count(const Verb& verb, const Argument& argument, const Place& place);
  void read_want(const Place& place);
  void read_body(const Place& place);
  void read_name(const Argument& argument, const Place& place);
  void read_child(const Place& place, const std::string& name);
  void check_lock_later(const Place& place);
  void note_lock();

  const StepScope& scope_;
  Reading& reading_;
  Step& step_;
  std::optional<Place> pages_;
  std::optional<Place> child_;
  std::optional<Place> lock_;
};

// A value, or a mapping from kernels to values.
template <class Read, class Keep>
void read_by_kernel(const Place& place, const Reading& reading, const Read& read, const Keep& keep) {
  if (!place.node().is(Node::Kind::mapping)) {
    if (const auto value = read(place)) keep("", *value);
    return;
  }
  const std::vector<std::string>& kernels = reading.scenario.kernels;
  for (const Place::Entry& entry : place.entries()) {
    const auto names = read_kernel_names(entry.key, names_in(reading.catalogue.kernels), kernels,
                                         "none of this scenario's kernels");
    const auto value = read(entry.value);
    for (const std::string& name : names)
      if (value) keep(name, *value);
  }
}

}  // namespace secmmu::language
