// How an event describes itself. An event is a plain struct with a name and its fields in order:
//
//   struct FrameFreed {
//     static constexpr std::string_view kName = "frame_free";
//     static constexpr std::string_view kAbout = "A frame went back to the allocator.";
//     Pfn pfn;
//     template <class V> void describe(V& visit) const { visit("pfn", pfn); }
//   };
//
// Text trace, event stream, timeline and docs are all made from describe(): a sink that prints needs no
// knowledge of any event. Fields are integers, addresses, ranges, times, booleans and texts.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "notifier/substrate/address.hpp"
#include "notifier/substrate/time.hpp"

namespace secmmu {

// One field as a sink sees it. The typed overloads tell an address from a count.
class FieldVisitor {
 public:
  virtual ~FieldVisitor() = default;
  virtual void integer(std::string_view field, std::int64_t value) = 0;
  virtual void address(std::string_view field, VirtAddr value) = 0;
  virtual void frame(std::string_view field, Pfn value) = 0;
  virtual void range(std::string_view field, PageRange value) = 0;
  virtual void time(std::string_view field, Time value) = 0;
  virtual void flag(std::string_view field, bool value) = 0;
  virtual void text(std::string_view field, std::string_view value) = 0;

  void operator()(std::string_view field, std::int64_t value) { integer(field, value); }
  void operator()(std::string_view field, std::uint64_t value) { integer(field, static_cast<std::int64_t>(value)); }
  void operator()(std::string_view field, int value) { integer(field, value); }
  void operator()(std::string_view field, unsigned value) { integer(field, value); }
  void operator()(std::string_view field, VirtAddr value) { address(field, value); }
  void operator()(std::string_view field, Vpn value) { address(field, address_of(value)); }
  void operator()(std::string_view field, Pfn value) { frame(field, value); }
  void operator()(std::string_view field, PageRange value) { range(field, value); }
  void operator()(std::string_view field, Time value) { time(field, value); }
  void operator()(std::string_view field, bool value) { flag(field, value); }
  void operator()(std::string_view field, std::string_view value) { text(field, value); }
  void operator()(std::string_view field, const std::string& value) { text(field, value); }
  void operator()(std::string_view field, const char* value) { text(field, value); }
};

// What the bus knows of one kind of event. Addresses of EventType identify kinds; `index` is dense.
struct EventType {
  std::string_view name;
  std::string_view about;
  void (*describe)(const void* event, FieldVisitor& visit);
  void (*describe_empty)(FieldVisitor& visit);  // of an event without content: for the names of its fields
  unsigned index;
};

namespace detail {
unsigned register_event_type(EventType* type);
template <class E>
void describe_event(const void* event, FieldVisitor& visit) {
  static_cast<const E*>(event)->describe(visit);
}
template <class E>
void describe_empty_event(FieldVisitor& visit) {
  E{}.describe(visit);
}
// Made before main(), so that `list tracepoints` knows it before any run and emit() meets no guard.
template <class E>
struct EventTypeOf {
  static EventType type;
};
template <class E>
EventType EventTypeOf<E>::type{E::kName, E::kAbout, &describe_event<E>, &describe_empty_event<E>,
                               register_event_type(&EventTypeOf<E>::type)};
}  // namespace detail

template <class E>
const EventType& event_type() {
  return detail::EventTypeOf<E>::type;
}

// Every kind of event that is linked in, sorted by name.
std::vector<const EventType*> all_event_types();

}  // namespace secmmu
