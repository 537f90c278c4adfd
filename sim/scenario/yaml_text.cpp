// Writing YAML: only forms that YAML 1.1 and 1.2 read alike.
#include <algorithm>
#include <array>
#include <cstdio>

#include "sim/scenario/document.hpp"

namespace secmmu::language {
namespace {

bool digit(char c) { return c >= '0' && c <= '9'; }

// 12:30 and 1:02:03.5 are numbers to the base 60.
bool sexagesimal(std::string_view word) {
  if (!word.empty() && (word[0] == '-' || word[0] == '+')) word.remove_prefix(1);
  if (word.empty() || !digit(word[0]) || word.find(':') == std::string_view::npos) return false;
  return std::all_of(word.begin(), word.end(), [](char c) { return digit(c) || c == ':' || c == '_' || c == '.'; });
}

bool plain(std::string_view text) {
  if (text.empty() || yaml11_reads_otherwise(text) || text.back() == ' ') return false;
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || digit(c); };
  if (!letter(text[0])) return false;
  return std::all_of(text.begin(), text.end(),
                     [&](char c) { return letter(c) || c == '_' || c == '-' || c == '.' || c == '/'; });
}

void write_scalar(const Node& node, std::string& out) {
  const bool flag = node.text == "true" || node.text == "false";
  if (!node.quoted && (plain(node.text) || flag)) {
    out += node.text;
    return;
  }
  out += '"';
  for (const char c : node.text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      std::array<char, 8> code{};
      std::snprintf(code.data(), code.size(), "\\x%02x", static_cast<unsigned>(c));
      out += code.data();
    } else {
      out += c;
    }
  }
  out += '"';
}

void write_flow(const Node& node, std::string& out) {
  if (node.is(Node::Kind::scalar)) return write_scalar(node, out);
  const bool mapping = node.is(Node::Kind::mapping);
  out += mapping ? '{' : '[';
  for (std::size_t i = 0; i < node.items.size(); ++i) {
    if (i > 0) out += ", ";
    if (mapping) {
      write_scalar(node.keys[i], out);
      out += ": ";
    }
    write_flow(node.items[i], out);
  }
  out += mapping ? '}' : ']';
}

bool flat(const Node& node) {
  if (node.items.empty()) return true;
  return std::all_of(node.items.begin(), node.items.end(), [](const Node& item) { return item.items.empty(); });
}

// How deep blocks go: devices: <name>: callbacks: <name>: one step in a line.
constexpr unsigned kBlockDepth = 5;

void write_block(const Node& node, unsigned depth, std::string& out) {
  const std::string indent(std::size_t{depth} * 2, ' ');
  for (std::size_t i = 0; i < node.items.size(); ++i) {
    const Node& item = node.items[i];
    out += indent;
    if (node.is(Node::Kind::mapping)) {
      write_scalar(node.keys[i], out);
      out += ':';
    } else {
      out += '-';
    }
    const bool sequence_of_plain = item.is(Node::Kind::sequence) && flat(item);
    const bool block = !item.items.empty() && depth + 1 < kBlockDepth && !sequence_of_plain &&
                       !(node.is(Node::Kind::sequence)) && !(depth > 0 && flat(item) && item.items.size() < 6);
    if (block) {
      out += '\n';
      write_block(item, depth + 1, out);
    } else {
      out += ' ';
      write_flow(item, out);
      out += '\n';
    }
  }
}

}  // namespace

bool yaml11_reads_otherwise(std::string_view word) {
  std::string lower(word);
  for (char& c : lower)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  static constexpr std::array<std::string_view, 11> kWords = {"y",  "n",   "yes",  "no", "true", "false",
                                                              "on", "off", "null", "~",  ""};
  return std::find(kWords.begin(), kWords.end(), lower) != kWords.end() || sexagesimal(word);
}

std::string to_yaml(const Node& root) {
  std::string out;
  write_block(root, 0, out);
  return out;
}

}  // namespace secmmu::language
