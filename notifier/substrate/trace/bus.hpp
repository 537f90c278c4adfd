// The bus that everything observable passes. Models emit; sinks listen. A sink never changes the run:
// it gets const events and may not call back into a model. Listeners are called in the order in which
// they were added, at the point of emission, in the emitting task.
#pragma once

#include <functional>
#include <vector>

#include "notifier/substrate/trace/event.hpp"

namespace secmmu {

// When, by whom and where an event happened.
struct Stamp {
  Time at;
  unsigned task = 0;           // Task::id(); index into the machine's list of tasks
  int processor = -1;          // core number; -1 for an engine that runs on no core
  bool in_interrupt = false;   // on top of that task, not by it
  std::uint64_t number = 0;    // ordinal of the event in the run, from 0: breaks ties of time
};

struct AnyEvent {
  const EventType& type;
  const void* event;
  Stamp stamp;

  template <class E>
  const E* as() const {
    return &type == &event_type<E>() ? static_cast<const E*>(event) : nullptr;
  }
  void describe(FieldVisitor& visit) const { type.describe(event, visit); }
};

class Bus {
 public:
  // Supplies time, task and core; set by the arbiter: a callable that returns a Stamp. `number` is filled in
  // by the bus.
  template <class Clock>
  void set_clock(Clock clock) {
    clock_ = [clock = std::move(clock)](Stamp& stamp) mutable { stamp = clock(); };
  }

  // `listener` is called as listener(const E&, const Stamp&).
  template <class E, class Hear>
  void listen(Hear listener) {
    slot(event_type<E>().index).push_back([listener = std::move(listener)](const AnyEvent& any) mutable {
      listener(*static_cast<const E*>(any.event), any.stamp);
    });
  }
  void listen_to_all(std::function<void(const AnyEvent&)> listener) { all_.push_back(std::move(listener)); }

  template <class E>
  bool wanted() const {
    const unsigned index = event_type<E>().index;
    return !all_.empty() || (index < typed_.size() && !typed_[index].empty());
  }

  // Costs a few loads when nobody listens.
  template <class E>
  void emit(const E& event) {
    if (!wanted<E>()) {
      ++number_;
      return;
    }
    deliver(event_type<E>(), &event);
  }
  // For what happens as often as memory is accessed: only those hear it who listen to this very kind. It has no
  // ordinal of its own, so no stream of events changes when somebody does.
  template <class E>
  void tell(const E& event) {
    const unsigned index = event_type<E>().index;
    if (index < typed_.size() && !typed_[index].empty()) [[unlikely]]
      deliver_typed(event_type<E>(), &event);
  }

  std::uint64_t emitted() const { return number_; }  // in this run so far

  // A new run: the ordinal starts again. Listeners stay.
  void reset() { number_ = 0; }
  // Drops every listener: before other sinks are attached to the same machine.
  void clear_listeners() {
    typed_.clear();
    all_.clear();
  }

 private:
  using Listener = std::function<void(const AnyEvent&)>;
  std::vector<Listener>& slot(unsigned index) {
    if (typed_.size() <= index) typed_.resize(index + 1);
    return typed_[index];
  }
  void deliver(const EventType& type, const void* event);
  void deliver_typed(const EventType& type, const void* event);

  std::function<void(Stamp&)> clock_;
  std::uint64_t number_ = 0;
  std::vector<std::vector<Listener>> typed_;
  std::vector<Listener> all_;
};

}  // namespace secmmu
