#include "sim/scenario/read_arguments.hpp"

#include <type_traits>

namespace secmmu::language {
namespace {

constexpr std::uint64_t kMostPages = 1ULL << 35;      // user space
constexpr std::uint64_t kLastOffset = kPageSize - 8;  // of eight bytes in a page

template <class Member, class Value>
inline constexpr bool kKeeps = std::is_same_v<Member, Value> || std::is_same_v<Member, std::optional<Value>>;

template <class Value>
void assign(const Target& target, Step& step, const Value& value) {
  const auto put = [&](auto& member) {
    if constexpr (kKeeps<std::remove_reference_t<decltype(member)>, Value>) member = value;
  };
  std::visit(
      [&](auto member) {
        using Member = decltype(member);
        if constexpr (std::is_invocable_v<Member, Generator&>)
          put(step.generator.*member);
        else if constexpr (std::is_invocable_v<Member, Step&>)
          put(step.*member);
      },
      target);
}

template <class Value>
void assign_if(const Target& target, Step& step, const std::optional<Value>& value) {
  if (value) assign(target, step, *value);
}

}  // namespace

void ArgumentReader::read(const Verb& verb, const Place& value) {
  const std::string name(verb.name);
  if (verb.arguments.empty()) {
    if (!value.node().is(Node::Kind::null) && !(value.node().is(Node::Kind::mapping) && value.node().keys.empty()))
      value.fail("'" + name + "' has no arguments", "the bare word");
    return;
  }
  if (value.node().is(Node::Kind::scalar) && !verb.shorthand.empty()) {
    read_argument(verb, *verb.find(verb.shorthand), value);
    if (lock_) note_lock();
    return;
  }
  if (!value.node().is(Node::Kind::mapping)) {
    value.mapping("the arguments of " + name + ": " + one_of(argument_names(verb)));
    return;
  }
  std::set<std::string> given;
  for (const Place::Entry& entry : value.entries()) {
    const std::string key = entry.key.text();
    given.insert(key);
    if (const Argument* argument = verb.find(key))
      read_argument(verb, *argument, entry.value);
    else
      refuse_argument(verb, entry.key);
  }
  for (const Argument& argument : verb.arguments)
    if (argument.key.required && !given.contains(std::string(argument.key.name)))
      value.fail("the argument '" + std::string(argument.key.name) + "' is missing", "it in " + name);
  check_together(verb, value, given);
  if (lock_) note_lock();
  if (!pages_) return;
  const std::optional<Pages> pages = pages_->pages();
  if (!pages) return;
  step_.first_page = pages->first;
  step_.end_page = pages->end;
  reading_.later([place = *pages_, buffer = step_.buffer, pages = *pages, processes = scope_.processes](
                     const Symbols& symbols) { symbols.check_pages(place, buffer, pages, processes); });
}

void ArgumentReader::refuse_argument(const Verb& verb, const Place& key) const {
  std::string owner;
  for (const Verb& other : verbs())
    if (other.may(scope_.user) && other.find(key.text()) != nullptr && owner.empty()) owner = other.name;
  std::string wrong = "'" + key.text() + "' is no argument of " + std::string(verb.name);
  if (find_key(modifier_keys(), key.text()) != nullptr)
    wrong += " (it stands beside " + std::string(verb.name) + ", not in it)";
  else if (!owner.empty())
    wrong += " (it is one of " + owner + ")";
  key.fail(wrong, one_of(argument_names(verb)), owner.empty() ? nearest(key.text(), argument_names(verb)) : "");
}

void ArgumentReader::check_together(const Verb& verb, const Place& value, const std::set<std::string>& given) const {
  if (verb.name == "register" && given.contains("pages") && !given.contains("buffer"))
    value.fail("pages of which buffer?", "buffer beside pages");
  if (verb.name == "mremap") {
    const int ways = given.contains("to") + given.contains("onto") + given.contains("grow_to");
    if (ways != 1)
      value.fail(ways > 1 ? "mremap moves to one place, or grows" : "mremap neither moves nor grows",
                 "one of to, onto and grow_to");
    if (given.contains("onto_page") && !given.contains("onto"))
      value.fail("onto_page is a page of which buffer?", "onto beside it");
    if (given.contains("grow_to") && given.contains("pages"))
      value.fail("a buffer grows as a whole", "grow_to without pages");
  }
  if (verb.name != "access") return;
  const std::string& pattern = step_.generator.pattern;
  if (given.contains("stride") && !pattern.empty() && pattern != "stride")
    value.fail("stride says nothing to the pattern " + pattern, "the pattern stride");
  if (given.contains("skew") && !pattern.empty() && pattern != "zipf")
    value.fail("skew says nothing to the pattern " + pattern, "the pattern zipf");
}

void ArgumentReader::read_argument(const Verb& verb, const Argument& argument, const Place& place) {
  const Target& target = argument.target;
  switch (argument.key.shape) {
    case Shape::number:
      assign_if(target, step_, place.number(0, verb.name == "brk" ? kMostPages : UINT64_MAX));
      break;
    case Shape::count:
      read_count(verb, argument, place);
      break;
    case Shape::offset:
      assign_if(target, step_, place.number(0, kLastOffset));
      break;
    case Shape::hundredths:
      assign_if(target, step_, place.hundredths());
      break;
    case Shape::duration:
      assign_if(target, step_, place.duration());
      break;
    case Shape::flag:
      assign_if(target, step_, place.flag());
      break;
    case Shape::address:
      assign_if(target, step_, place.page_address());
      break;
    case Shape::protection:
      if (const auto word = place.choice_index(protection_words(), "protection"))
        assign(target, step_, static_cast<Protection>(*word));
      break;
    case Shape::backing:
      if (const auto word = place.choice_index(backing_words(), "backing"))
        assign(target, step_, static_cast<Backing>(*word));
      break;
    case Shape::pattern:
      assign_if(target, step_, place.choice(pattern_words(), "pattern"));
      break;
    case Shape::lock_kind:
      assign_if(target, step_, place.choice(lock_kind_words(), "kind of lock"));
      break;
    case Shape::pages:
      pages_ = place;
      break;
    case Shape::want:
      read_want(place);
      break;
    case Shape::steps:
      read_body(place);
      break;
    default:
      read_name(argument, place);
      break;
  }
}

void ArgumentReader::read_count(const Verb& verb, const Argument& argument, const Place& place) {
  const bool pages = verb.name == "mmap" || verb.name == "mremap";
  assign_if(argument.target, step_, place.number(1, pages ? kMostPages : UINT64_MAX));
}

void ArgumentReader::read_want(const Place& place) {
  read_by_kernel(
      place, reading_, [](const Place& at) { return at.number(); },
      [&](const std::string& kernel, std::uint64_t value) {
        if (kernel.empty())
          step_.want = value;
        else
          step_.want_by_kernel[kernel] = value;
      });
}

void ArgumentReader::read_body(const Place& place) {
  StepScope inner = scope_;
  inner.repeated = true;
  step_.body = read_steps(place, inner, reading_);
}

void ArgumentReader::read_name(const Argument& argument, const Place& place) {
  const std::optional<std::string> name = place.name();
  if (!name) return;
  assign(argument.target, step_, *name);
  switch (argument.key.shape) {
    case Shape::buffer:
      reading_.later(
          [place, processes = scope_.processes](const Symbols& symbols) { symbols.check_buffer(place, processes); });
      break;
    case Shape::device:
      reading_.later([place](const Symbols& symbols) { symbols.check_device(place); });
      break;
    case Shape::process:
      reading_.later([place](const Symbols& symbols) { symbols.check_process(place); });
      break;
    case Shape::meeting: {
      Reading::Meeting& meeting = reading_.meetings[*name];
      meeting.parties.insert(scope_.party);
      meeting.places.push_back(place);
      break;
    }
    case Shape::new_process:
      read_child(place, *name);
      break;
    case Shape::lock:
      if (step_.verb == "lock")
        lock_ = place;
      else
        check_lock_later(place);
      break;
    default:
      break;
  }
}

void ArgumentReader::read_child(const Place& place, const std::string& name) {
  const auto [known, fresh] = reading_.children.emplace(name, place.mark());
  if (!fresh)
    place.fail("another fork already brings in '" + name + "' (line " + std::to_string(known->second.line) + ")",
               "a new name");
  else if (scope_.repeated)
    place.fail("a fork in a loop would bring '" + name + "' in more than once", "a fork outside of loops");
  reading_.later([place](const Symbols& symbols) {
    const ProcessSpec* process = symbols.process(place.text());
    if (process != nullptr && process->forked_from.empty())
      place.fail("there is a process '" + place.text() + "' already", "a new name");
  });
  child_ = place;
}

void ArgumentReader::check_lock_later(const Place& place) {
  reading_.later([place, &kinds = reading_.lock_kinds](const Symbols&) {
    std::vector<std::string> names;
    for (const auto& [lock, kind] : kinds) names.push_back(lock);
    if (!kinds.contains(place.text())) place.fail_name("no lock that any script takes", names);
  });
}

void ArgumentReader::note_lock() {
  const auto [known, fresh] = reading_.lock_kinds.emplace(step_.name, step_.lock_kind);
  if (!fresh && known->second != step_.lock_kind)
    lock_->fail("the lock '" + step_.name + "' is a " + known->second + " elsewhere",
                "one kind of lock under one name");
}

}  // namespace secmmu::language
