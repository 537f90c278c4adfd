// --set path=value: changes the tree before it is parsed, so that a value from the command line passes
// the same checks, with the same messages, as one from the file.
#include <algorithm>

#include "sim/scenario/document.hpp"

namespace secmmu::language {
namespace {

std::vector<std::string> split(std::string_view path) {
  std::vector<std::string> parts;
  for (std::size_t start = 0; start <= path.size();) {
    const std::size_t end = std::min(path.find('.', start), path.size());
    parts.emplace_back(path.substr(start, end - start));
    start = end + 1;
  }
  return parts;
}

bool is_index(const std::string& part) {
  return !part.empty() && part.size() < 7 &&
         std::all_of(part.begin(), part.end(), [](char c) { return c >= '0' && c <= '9'; });
}

std::vector<std::string> key_names(const Node& mapping) {
  std::vector<std::string> names;
  for (const Node& key : mapping.keys) names.push_back(key.text);
  return names;
}

// Where the path's last part belongs is made by the scenario's author, not by a --set: a new device or
// process that nobody described would only hide a misspelt name.
bool holds_named_things(const std::string& path) {
  return path == "processes" || path == "devices" || path == "actors" || path.ends_with(".buffers");
}

}  // namespace

void apply_set(Node& root, const std::string& set, unsigned ordinal, Diagnostics& out) {
  const Mark mark{0, ordinal};
  const std::size_t equals = set.find('=');
  if (equals == std::string::npos || equals == 0) {
    out.add(mark, "", "there is no path and value in it", "path=value, e.g. machine.cpus=4");
    return;
  }
  const std::string whole = set.substr(0, equals);
  std::optional<Node> value = read_set_value(std::string_view(set).substr(equals + 1), ordinal, whole, out);
  if (!value) return;

  const std::vector<std::string> parts = split(whole);
  Node* node = &root;
  std::string path;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const std::string& part = parts[i];
    const bool last = i + 1 == parts.size();
    if (part.empty()) {
      out.add(mark, whole, "a part of the path is empty", "names joined by single dots");
      return;
    }
    if (node->is(Node::Kind::null)) *node = Node{Node::Kind::mapping, mark, "", false, {}, {}};
    if (node->is(Node::Kind::sequence)) {
      const std::size_t index = is_index(part) ? std::stoul(part) : node->items.size();
      if (index >= node->items.size()) {
        const std::string count = std::to_string(node->items.size());
        out.add(mark, whole, "'" + part + "' is no element of " + path, "an index below " + count);
        return;
      }
      node = &node->items[index];
    } else if (node->is(Node::Kind::mapping)) {
      Node* next = node->find(part);
      if (next == nullptr) {
        if (!last && holds_named_things(path)) {
          out.add(mark, whole, path + " has no '" + part + "'", one_of(key_names(*node)),
                  nearest(part, key_names(*node)));
          return;
        }
        node->keys.push_back({Node::Kind::scalar, mark, part, false, {}, {}});
        node->items.push_back({Node::Kind::null, mark, "", false, {}, {}});
        next = &node->items.back();
      }
      node = next;
    } else {
      out.add(mark, whole, path + " is a single value", "a path that ends there");
      return;
    }
    path += path.empty() ? part : "." + part;
  }
  *node = std::move(*value);
  if (whole == "kernel" || whole == "kernels") {  // the one replaces the other
    const std::string other = whole == "kernel" ? "kernels" : "kernel";
    for (std::size_t i = 0; i < root.keys.size(); ++i)
      if (root.keys[i].text == other) {
        root.keys.erase(root.keys.begin() + static_cast<std::ptrdiff_t>(i));
        root.items.erase(root.items.begin() + static_cast<std::ptrdiff_t>(i));
        break;
      }
  }
}

}  // namespace secmmu::language
