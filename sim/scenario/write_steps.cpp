#include "sim/scenario/write_steps.hpp"

#include "sim/scenario/values.hpp"

namespace secmmu::language {
namespace {

Node number(std::uint64_t value) { return Node::scalar(std::to_string(value)); }

// Keeps its own overloads: one for every type that a Target may point at.
struct ToNode {
  std::optional<Node> operator()(const std::string& value) const {
    return value.empty() ? std::nullopt : std::optional(Node::scalar(value));
  }
  std::optional<Node> operator()(std::uint64_t value) const { return number(value); }
  std::optional<Node> operator()(bool value) const { return Node::flag(value); }
  std::optional<Node> operator()(const std::optional<std::uint64_t>& value) const {
    return value ? std::optional(number(*value)) : std::nullopt;
  }
  std::optional<Node> operator()(const std::optional<VirtAddr>& value) const {
    return value ? std::optional(Node::scalar(print_address(*value))) : std::nullopt;
  }
  std::optional<Node> operator()(Time value) const { return Node::scalar(print_duration(value)); }
  std::optional<Node> operator()(Protection value) const {
    return Node::scalar(protection_words()[static_cast<std::size_t>(value)]);
  }
  std::optional<Node> operator()(Backing value) const {
    return Node::scalar(backing_words()[static_cast<std::size_t>(value)]);
  }
};

template <class Value, class Print>
Node by_kernel(const std::optional<Value>& general, const std::map<std::string, Value>& own, const Print& print) {
  if (own.empty()) return print(*general);
  Node node = Node::mapping();
  for (const auto& [kernel, value] : own) node.add(kernel, print(value));
  return node;
}

std::optional<Node> argument_node(const Step& step, const Argument& argument, User user) {
  const std::string_view name = argument.key.name;
  const bool grows = step.verb == "mremap" && step.pages > 0;
  switch (argument.key.shape) {
    case Shape::pages:
      if (step.end_page == 0 || grows) return std::nullopt;
      return Node::scalar(print_pages(step.first_page, step.end_page));
    case Shape::want:
      if (!step.want && step.want_by_kernel.empty()) return std::nullopt;
      return by_kernel(step.want, step.want_by_kernel, &number);
    case Shape::steps:
      return steps_node(step.body, user);
    case Shape::hundredths:
      if (step.generator.pattern != "zipf") return std::nullopt;
      return Node::scalar(print_hundredths(step.generator.skew_percent));
    default:
      break;
  }
  if (name == "grow_to" && !grows) return std::nullopt;
  if (name == "onto_page" && step.onto.empty()) return std::nullopt;
  if (name == "stride" && step.generator.pattern != "stride") return std::nullopt;
  return std::visit(
      [&](auto member) -> std::optional<Node> {
        using Member = decltype(member);
        if constexpr (std::is_same_v<Member, std::monostate>)
          return std::nullopt;
        else if constexpr (std::is_invocable_v<Member, const Generator&>)
          return ToNode{}(step.generator.*member);
        else
          return ToNode{}(step.*member);
      },
      argument.target);
}

Node step_node(const Step& step, User user) {
  const Verb* verb = find_verb(step.verb, user);
  Node arguments = Node::mapping();
  if (verb != nullptr)
    for (const Argument& argument : verb->arguments)
      if (auto value = argument_node(step, argument, user))
        arguments.add(std::string(argument.key.name), std::move(*value));

  Node node = Node::mapping();
  if (!step.id.empty()) node.add("id", Node::scalar(step.id));
  if (!step.after.empty()) {
    Node& after = node.add("after", Node::sequence());
    for (const std::string& name : step.after) after.add(Node::scalar(name));
  }
  if (step.at) node.add("at", Node::scalar(print_duration(*step.at)));
  const bool short_form = verb != nullptr && arguments.items.size() == 1 && arguments.keys[0].text == verb->shorthand;
  node.add(step.verb, short_form ? arguments.items[0] : arguments);
  if (step.times != 1 && step.verb != "loop") node.add("times", number(step.times));
  if (step.result || !step.result_by_kernel.empty())
    node.add("result",
             by_kernel(step.result, step.result_by_kernel, [](const std::string& word) { return Node::scalar(word); }));
  if (node.items.size() == 1 && arguments.items.empty()) return Node::scalar(step.verb);
  return node;
}

}  // namespace

Node steps_node(const std::vector<Step>& steps, User user) {
  Node list = Node::sequence();
  for (const Step& step : steps) list.add(step_node(step, user));
  return list;
}

}  // namespace secmmu::language
