#include "sim/scenario/document.hpp"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <set>
#include <sstream>
#include <utility>

namespace secmmu::language {
namespace {

constexpr std::size_t kLongestLine = 10'000;
constexpr std::size_t kDeepest = 32;

struct TooDeep {};

class TreeBuilder : public YAML::EventHandler {
 public:
  TreeBuilder(Diagnostics& out, unsigned set_ordinal) : out_(out), set_ordinal_(set_ordinal) {}

  std::optional<Node> take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (documents_++ == 1) out_.add(place(mark), "", "a second YAML document begins here", "one scenario in a file");
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t) override {
    add({Node::Kind::null, place(mark), "", false, {}, {}});
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    out_.add(place(mark), path(), "an alias (*name) is not part of the language", "the value itself");
    add({Node::Kind::broken, place(mark), "", false, {}, {}});
  }

  void OnAnchor(const YAML::Mark& mark, const std::string& name) override {
    out_.add(place(mark), path(), "the anchor '&" + name + "' is not part of the language", "the value itself");
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t, const std::string& value) override {
    refuse_tag(mark, tag);
    add({Node::Kind::scalar, place(mark), value, tag == "!", {}, {}});
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {
    refuse_tag(mark, tag);
    open({Node::Kind::sequence, place(mark), "", false, {}, {}});
  }
  void OnSequenceEnd() override { close(); }

  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t, YAML::EmitterStyle::value) override {
    refuse_tag(mark, tag);
    open({Node::Kind::mapping, place(mark), "", false, {}, {}});
  }
  void OnMapEnd() override { close(); }

 private:
  struct Level {
    Node node;
    std::set<std::string> seen;
    bool repeated = false;  // the key that was just read is a duplicate
  };

  Mark place(const YAML::Mark& mark) const {
    return set_ordinal_ > 0 ? Mark{0, set_ordinal_} : out_.mark_at(mark.line, mark.column);
  }

  std::string path() const {
    std::string text;
    for (const Level& level : stack_) {
      std::string part;
      if (level.node.is(Node::Kind::sequence))
        part = std::to_string(level.node.items.size());
      else if (level.node.keys.size() > level.node.items.size())
        part = level.node.keys.back().text;
      if (part.empty()) continue;
      if (!text.empty()) text += '.';
      text += part;
    }
    return text;
  }

  std::string path_to(const Node& key) const {
    const std::string above = path();
    return above.empty() ? key.text : above + "." + key.text;
  }

  void refuse_tag(const YAML::Mark& mark, const std::string& tag) {
    if (tag.empty() || tag == "?" || tag == "!") return;
    out_.add(place(mark), path(), "the tag '" + tag + "' is not part of the language", "the value without it");
  }

  void open(Node node) {
    if (stack_.size() >= kDeepest) {
      out_.add(node.mark, "", "nested deeper than " + std::to_string(kDeepest) + " levels");
      throw TooDeep{};
    }
    stack_.push_back({std::move(node), {}, false});
  }

  void close() {
    Node node = std::move(stack_.back().node);
    stack_.pop_back();
    add(std::move(node));
  }

  void add(Node node) {
    if (stack_.empty()) {
      if (!root_) root_ = std::move(node);
      return;
    }
    Level& level = stack_.back();
    if (level.node.is(Node::Kind::sequence)) {
      level.node.items.push_back(std::move(node));
    } else if (level.node.keys.size() == level.node.items.size()) {
      add_key(level, std::move(node));
    } else {
      level.node.items.push_back(std::move(node));
      if (std::exchange(level.repeated, false)) {
        level.node.keys.pop_back();
        level.node.items.pop_back();
      }
    }
  }

  void add_key(Level& level, Node key) {
    if (!key.is(Node::Kind::scalar)) {
      if (!key.is(Node::Kind::broken)) out_.add(key.mark, path(), "this key is no plain word", "a name before the ':'");
      key.kind = Node::Kind::broken;
      level.repeated = true;  // its value says nothing either
    } else if (key.text == "<<" && !key.quoted) {
      out_.add(key.mark, path_to(key), "a merge key (<<) is not part of the language", "the keys themselves");
      level.repeated = true;
    } else if (!level.seen.insert(key.text).second) {
      const Mark first = level.node.find(key.text) ? mark_of_key(level.node, key.text) : Mark{};
      const std::string where = first.line > 0 ? " (first in line " + std::to_string(first.line) + ")" : "";
      out_.add(key.mark, path_to(key), "the key '" + key.text + "' is there twice" + where, "each key once");
      level.repeated = true;
    }
    level.node.keys.push_back(std::move(key));
  }

  static Mark mark_of_key(const Node& mapping, const std::string& key) {
    for (const Node& candidate : mapping.keys)
      if (candidate.text == key) return candidate.mark;
    return {};
  }

  Diagnostics& out_;
  unsigned set_ordinal_;
  unsigned documents_ = 0;
  std::vector<Level> stack_;
  std::optional<Node> root_;
};

std::optional<Node> parse(const std::string& text, unsigned set_ordinal, const std::string& path, Diagnostics& out) {
  TreeBuilder builder(out, set_ordinal);
  try {
    std::istringstream stream(text);
    YAML::Parser parser(stream);
    if (!parser.HandleNextDocument(builder)) return std::nullopt;
    parser.HandleNextDocument(builder);
  } catch (const TooDeep&) {
    return std::nullopt;
  } catch (const YAML::Exception& problem) {
    const Mark mark = set_ordinal > 0 ? Mark{0, set_ordinal} : out.mark_at(problem.mark.line, problem.mark.column);
    out.add(mark, path, "this is no YAML: " + problem.msg);
    return std::nullopt;
  }
  return builder.take();
}

// The length of the UTF-8 character that starts here; 0 if there is none.
std::size_t character_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const std::size_t length = byte(0) < 0x80    ? 1
                             : byte(0) >= 0xf5 ? 0
                             : byte(0) >= 0xf0 ? 4
                             : byte(0) >= 0xe0 ? 3
                             : byte(0) >= 0xc2 ? 2
                                               : 0;
  if (length == 0 || length > text.size()) return 0;
  for (std::size_t i = 1; i < length; ++i)
    if ((byte(i) & 0xc0) != 0x80) return 0;
  if (length > 2) {  // overlong forms, surrogates, beyond the last code point
    const unsigned lead = (static_cast<unsigned>(byte(0)) << 8) | byte(1);
    if (lead < 0xe0a0 || (lead >= 0xeda0 && lead <= 0xedbf) || (lead >= 0xf000 && lead < 0xf090) || lead >= 0xf490)
      return 0;
  }
  return length;
}

// What no YAML reader should be asked about. False: there is no point in going on.
bool check_characters(std::string_view text, Diagnostics& out) {
  int line = 0;
  std::size_t line_start = 0;
  bool readable = true;
  bool tab_reported = false;
  bool indenting = true;
  for (std::size_t i = 0; i < text.size();) {
    const auto mark = [&] { return out.mark_at(line, static_cast<int>(i - line_start)); };
    const std::size_t length = character_length(text.substr(i));
    if (length == 0) {
      out.add(mark(), "", "this is not UTF-8", "a text file in UTF-8");
      return false;
    }
    if (i - line_start > kLongestLine) {
      out.add({static_cast<unsigned>(line) + 1, 1}, "",
              "this line is longer than " + std::to_string(kLongestLine) + " bytes", "shorter lines");
      return false;
    }
    const char c = text[i];
    if (c == '\n') {
      ++line;
      line_start = i + 1;
      indenting = true;
    } else if (c == '\t' && indenting) {
      if (!tab_reported) out.add(mark(), "", "there is a tab in the indentation", "spaces");
      tab_reported = true;
      readable = false;
    } else if ((static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f) {
      out.add(mark(), "", "there is a control character in the text", "readable characters only");
      return false;
    } else if (c != ' ') {
      indenting = false;
    }
    i += length;
  }
  return readable;
}

}  // namespace

std::optional<Node> read_document(std::string_view text, Diagnostics& out) {
  if (text.size() > kLargestFile) {
    out.add({}, "", "the file is larger than 1 MiB", "a scenario that fits on a screen");
    return std::nullopt;
  }
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);  // a byte order mark
  std::string plain;
  plain.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i)
    if (text[i] != '\r' || i + 1 == text.size() || text[i + 1] != '\n') plain += text[i];
  if (!check_characters(plain, out)) return std::nullopt;

  std::optional<Node> root = parse(plain, 0, "", out);
  if (out.empty() && (!root || root->is(Node::Kind::null))) {
    out.add({}, "", "the file is empty", "a scenario (see docs/scenarios.md)");
    return std::nullopt;
  }
  return root;
}

std::optional<Node> read_set_value(std::string_view text, unsigned ordinal, const std::string& path, Diagnostics& out) {
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = character_length(text.substr(i));
    if (length == 0 || static_cast<unsigned char>(text[i]) < 0x20) {
      out.add({0, ordinal}, path, "the value is not plain UTF-8 text");
      return std::nullopt;
    }
    i += length;
  }
  std::optional<Node> value = parse(std::string(text), ordinal, path, out);
  if (!value) value = Node{Node::Kind::null, {0, ordinal}, "", false, {}, {}};
  return value;
}

Node* Node::find(std::string_view key) {
  for (std::size_t i = 0; i < keys.size() && i < items.size(); ++i)
    if (keys[i].text == key) return &items[i];
  return nullptr;
}

Node Node::scalar(std::string text, bool quoted) { return {Kind::scalar, {}, std::move(text), quoted, {}, {}}; }
Node Node::sequence() { return {Kind::sequence, {}, "", false, {}, {}}; }
Node Node::mapping() { return {Kind::mapping, {}, "", false, {}, {}}; }

Node& Node::add(std::string key, Node value) {
  keys.push_back(scalar(std::move(key)));
  items.push_back(std::move(value));
  return items.back();
}

Node& Node::add(Node item) {
  items.push_back(std::move(item));
  return items.back();
}

}  // namespace secmmu::language
