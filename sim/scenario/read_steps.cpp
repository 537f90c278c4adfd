// Steps of programs and scripts, after the table of operations.
#include "sim/scenario/read_arguments.hpp"

namespace secmmu::language {
namespace {

class StepReader {
 public:
  StepReader(const StepScope& scope, Reading& reading) : scope_(scope), reading_(reading) {}

  std::optional<Step> read(const Place& place) {
    step_.mark = place.mark();
    if (place.node().is(Node::Kind::scalar)) {
      const Verb* verb = find(place);
      if (verb == nullptr) return std::nullopt;
      step_.verb = verb->name;
      check_process(*verb, place);
      if (!verb->bare()) place.fail("'" + place.text() + "' stands alone", form_of(*verb));
      return step_;
    }
    if (!place.mapping("one operation: " + one_of(verb_names(scope_.user)))) return std::nullopt;
    const Verb* verb = pick_verb(place);
    for (const Place::Entry& entry : place.entries())
      if (find_key(modifier_keys(), entry.key.text()) != nullptr) read_modifier(entry);
    if (verb == nullptr) return std::nullopt;
    return step_;
  }

 private:
  std::string form_of(const Verb& verb) const {
    std::string form = "{" + std::string(verb.name) + ": {";
    for (const Argument& argument : verb.arguments)
      if (argument.key.required) form += (form.ends_with("{") ? "" : ", ") + std::string(argument.key.name) + ": ...";
    return form + "}}";
  }

  // The operation that this word names for this user; reports a wrong one.
  const Verb* find(const Place& word) const {
    const Verb* verb = find_verb(word.text(), scope_.user);
    if (verb != nullptr) return verb;
    const std::vector<std::string> others = users_of(word.text());
    if (others.empty())
      word.fail_name("no operation of " + std::string(to_text(scope_.user)), verb_names(scope_.user));
    else
      word.fail("'" + word.text() + "' is an operation of " + one_of(others) + ", not of " +
                    std::string(to_text(scope_.user)),
                one_of(verb_names(scope_.user)));
    return nullptr;
  }

  void check_process(const Verb& verb, const Place& word) const {
    if (verb.needs_process && scope_.kernel_thread)
      word.fail("'" + word.text() + "' needs the memory of a process", "the key 'process' in " + scope_.party);
  }

  const Verb* pick_verb(const Place& place) {
    const Verb* picked = nullptr;
    std::string word;
    for (const Place::Entry& entry : place.entries()) {
      const std::string key = entry.key.text();
      if (find_key(modifier_keys(), key) != nullptr) continue;
      const bool known = !users_of(key).empty();
      if (!known) {
        std::vector<std::string> names = verb_names(scope_.user);
        for (const std::string& modifier : names_of(modifier_keys())) names.push_back(modifier);
        entry.key.fail_name("neither an operation of " + std::string(to_text(scope_.user)) + " nor a key of a step",
                            names);
        if (word.empty()) word = key;
        continue;
      }
      if (picked != nullptr) {
        entry.key.fail("the step has two operations, '" + word + "' and '" + key + "'", "one operation in a step");
        continue;
      }
      word = key;
      picked = find(entry.key);
      if (picked == nullptr) continue;
      step_.verb = picked->name;
      check_process(*picked, entry.key);
      arguments_.read(*picked, entry.value);
    }
    if (word.empty()) place.fail("the step names no operation", one_of(verb_names(scope_.user)));
    return picked;
  }

  void read_modifier(const Place::Entry& entry) {
    const std::string key = entry.key.text();
    if (!may_use_modifier(scope_.user, key)) {
      entry.key.fail("'" + key + "' has no meaning in " + std::string(to_text(scope_.user)), "times or result");
    } else if (key == "id") {
      read_id(entry.value);
    } else if (key == "after") {
      read_after(entry.value);
    } else if (key == "at") {
      step_.at = entry.value.duration();
    } else if (key == "times") {
      if (step_.verb == "loop") return entry.key.fail("a loop says itself how often it runs", "times in the loop only");
      step_.times = entry.value.number(1).value_or(1);
      if (const auto& child = arguments_.child(); child && step_.times > 1)
        child->fail("the fork would bring '" + child->text() + "' in more than once", "a fork without times");
    } else if (key == "result") {
      read_by_kernel(
          entry.value, reading_, [](const Place& at) { return at.choice(result_words(), "result"); },
          [&](const std::string& kernel, const std::string& value) {
            if (kernel.empty())
              step_.result = value;
            else
              step_.result_by_kernel[kernel] = value;
          });
    }
  }

  void read_id(const Place& place) {
    const std::string id = place.name().value_or(place.text());  // a wrong one is still a step
    if (!reading_.step_ids.insert(scope_.actor + "." + id).second)
      place.fail("another step of " + scope_.party + " has the id '" + id + "'", "an id of its own");
    step_.id = id;
  }

  void read_after(const Place& place) {
    for (const Place& item : place.one_or_more("steps as actor.id")) {
      const std::optional<std::string> name = item.any_text();
      if (!name) continue;
      step_.after.push_back(*name);
      reading_.later([item](const Symbols& symbols) {
        if (!symbols.steps.contains(item.text()))
          item.fail_name("no step (actor.id)", {symbols.steps.begin(), symbols.steps.end()});
      });
    }
  }

  const StepScope& scope_;
  Reading& reading_;
  Step step_;
  ArgumentReader arguments_{scope_, reading_, step_};
};

}  // namespace

std::vector<Step> read_steps(const Place& place, const StepScope& scope, Reading& reading) {
  std::vector<Step> steps;
  const std::vector<Place> items = place.items("steps");
  if (items.empty() && place.node().is(Node::Kind::sequence)) place.fail("there are no steps", "at least one");
  for (const Place& item : items) {
    StepReader reader(scope, reading);
    if (std::optional<Step> step = reader.read(item)) steps.push_back(std::move(*step));
  }
  return steps;
}

}  // namespace secmmu::language
