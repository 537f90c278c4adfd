// A YAML document as a plain tree in which everything knows its place. Only the part of YAML that every
// reader understands alike passes: mappings with plain keys, sequences and scalars that stay text. Tags,
// anchors, aliases, merge keys, duplicate keys and further documents are mistakes.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sim/scenario/diagnostic.hpp"

namespace secmmu::language {

inline constexpr std::size_t kLargestFile = std::size_t{1} << 20;

struct Node {
  enum class Kind { null, scalar, sequence, mapping, broken };  // broken: already reported, says nothing

  Kind kind = Kind::null;
  Mark mark;
  std::string text;         // scalar
  bool quoted = false;      // scalar in quotes or as a block: never a number or a flag
  std::vector<Node> keys;   // mapping: scalars, in the order of the file
  std::vector<Node> items;  // sequence: elements; mapping: values, one for each key

  bool is(Kind wanted) const { return kind == wanted; }
  Node* find(std::string_view key);
  const Node* find(std::string_view key) const { return const_cast<Node*>(this)->find(key); }

  // For trees that are written, not read.
  static Node scalar(std::string text, bool quoted = false);
  static Node flag(bool value) { return scalar(value ? "true" : "false"); }
  static Node sequence();
  static Node mapping();
  Node& add(std::string key, Node value);  // mapping
  Node& add(Node item);                    // sequence
};

// What the text holds, or nothing after at least one mistake that leaves no tree.
std::optional<Node> read_document(std::string_view text, Diagnostics& out);

// The value of a --set, `ordinal` from 1: a scalar or a flow collection.
std::optional<Node> read_set_value(std::string_view text, unsigned ordinal, const std::string& path, Diagnostics& out);

// Puts `path=value` into the tree; the path is keys and indices joined by dots, as in resolved.yaml.
void apply_set(Node& root, const std::string& set, unsigned ordinal, Diagnostics& out);

// Plain YAML text of a tree: blocks for what is outermost, one line for what lies deeper.
std::string to_yaml(const Node& root);

// Whether a reader of YAML 1.1 takes this bare word for a boolean, null, or base-60 number.
bool yaml11_reads_otherwise(std::string_view word);

}  // namespace secmmu::language
