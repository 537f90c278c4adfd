// A reference count that cannot go wrong silently: a count that falls below zero, and a use of a count
// that has reached zero, are events (refcount_underflow, refcount_revived), not undefined behaviour.
#pragma once

#include <cstdint>
#include <string>

#include "notifier/substrate/arbiter.hpp"

namespace secmmu {

class ReferenceCount {
 public:
  ReferenceCount(Arbiter& arbiter, std::string name, std::int64_t initial);

  // Each is a point: who takes the last reference races with who looks for one more.
  void get();
  bool get_unless_zero();
  bool put();  // true: this was the last one
  // For a holder whose reference stands for one that it has had all along, so that nobody races with it: no point.
  // join fails where nobody holds one, part at the last one, which is to be put.
  bool join();
  bool part();
  std::int64_t value() const { return value_; }
  const std::string& name() const { return name_; }

 private:
  void announce();

  Arbiter& arbiter_;
  std::string name_;
  std::uint64_t id_;
  std::int64_t value_;
};

}  // namespace secmmu
