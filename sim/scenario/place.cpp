#include "sim/scenario/place.hpp"

#include <algorithm>

namespace secmmu::language {
namespace {

constexpr std::uint64_t kUserSpaceEnd = 1ULL << 47;

std::string describe(const Node& node) {
  switch (node.kind) {
    case Node::Kind::null:
      return "is empty";
    case Node::Kind::sequence:
      return "is a list";
    case Node::Kind::mapping:
      return "is a mapping";
    case Node::Kind::scalar:
      return "is '" + node.text + "'";
    case Node::Kind::broken:
      break;
  }
  return "";
}

std::string print_number(std::uint64_t value) { return std::to_string(value); }

}  // namespace

void Place::fail(const std::string& wrong, const std::string& expected, const std::string& suggestion) const {
  if (!node_->is(Node::Kind::broken)) out_->add(node_->mark, path_, wrong, expected, suggestion);
}

void Place::fail_name(const std::string& what, const std::vector<std::string>& names) const {
  fail("'" + text() + "' is " + what, names.empty() ? "" : one_of(names), nearest(text(), names));
}

const std::string* Place::scalar(const std::string& expected) const {
  if (node_->is(Node::Kind::scalar)) return &node_->text;
  fail(describe(*node_), expected);
  return nullptr;
}

template <class T>
std::optional<T> Place::take(const Parsed<T>& parsed) const {
  if (!parsed.value) fail(parsed.wrong, parsed.expected, parsed.suggestion);
  return parsed.value;
}

std::optional<std::uint64_t> Place::in_range(std::optional<std::uint64_t> value, std::uint64_t low, std::uint64_t high,
                                             std::string (*print)(std::uint64_t)) const {
  if (!value || (low <= *value && *value <= high)) return value;
  const std::string range = high == UINT64_MAX ? print(low) + " or more"
                            : low == high      ? print(low)
                                               : print(low) + " to " + print(high);
  fail("'" + text() + "' is out of range", range);
  return std::nullopt;
}

std::optional<std::uint64_t> Place::number(std::uint64_t low, std::uint64_t high) const {
  if (scalar("a number") == nullptr) return std::nullopt;
  return in_range(take(parse_number(text())), low, high, &print_number);
}

std::optional<std::uint64_t> Place::size(std::uint64_t low, std::uint64_t high) const {
  if (scalar("a size such as 4KiB") == nullptr) return std::nullopt;
  return in_range(take(parse_size(text())), low, high, &print_size);
}

std::optional<std::uint64_t> Place::hundredths() const {
  if (scalar("a number such as 0.99") == nullptr) return std::nullopt;
  return take(parse_hundredths(text()));
}

std::optional<Time> Place::duration() const {
  if (scalar("a time such as 100us") == nullptr) return std::nullopt;
  return take(parse_duration(text()));
}

std::optional<bool> Place::flag() const {
  const std::string* word = scalar("true or false");
  if (word == nullptr) return std::nullopt;
  if (!node_->quoted && (*word == "true" || *word == "false")) return *word == "true";
  std::string low = *word;
  for (char& c : low)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  const bool yes = low == "yes" || low == "on" || low == "y" || low == "true" || low == "1";
  const bool no = low == "no" || low == "off" || low == "n" || low == "false" || low == "0";
  fail((node_->quoted ? "\"" + *word + "\" in quotes" : "'" + *word + "'") + " is no flag",
       "true or false and nothing else",
       yes  ? "true"
       : no ? "false"
            : nearest(*word, {"true", "false"}));
  return std::nullopt;
}

std::optional<Pages> Place::pages() const {
  if (scalar("pages such as 0..4") == nullptr) return std::nullopt;
  return take(parse_pages(text()));
}

std::optional<VirtAddr> Place::page_address() const {
  if (scalar("an address such as 0x7f00_0000_0000") == nullptr) return std::nullopt;
  const std::optional<std::uint64_t> value = take(parse_number(text()));
  if (!value) return std::nullopt;
  if (*value % kPageSize != 0 || *value == 0 || *value >= kUserSpaceEnd) {
    const bool aligned = *value % kPageSize == 0;
    fail("'" + text() + "' is " + (aligned ? "no address of user space" : "not the start of a page"),
         "a multiple of 0x1000 above 0 and below 0x8000_0000_0000",
         aligned ? "" : print_address({*value & ~(kPageSize - 1)}));
    return std::nullopt;
  }
  return VirtAddr{*value};
}

std::optional<std::string> Place::any_text() const {
  const std::string* found = scalar("text");
  return found != nullptr ? std::optional(*found) : std::nullopt;
}

std::optional<std::string> Place::name() const {
  const std::string form = "a name of a-z, 0-9 and _ that starts with a letter";
  const std::string* found = scalar(form);
  if (found == nullptr) return std::nullopt;
  if (yaml11_reads_otherwise(*found)) {
    fail("'" + *found + "' is no name: some readers of YAML take it for a value", form);
    return std::nullopt;
  }
  if (is_name(*found)) return *found;
  std::string better;
  for (const char c : *found)
    better += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c == '-' || c == ' ' ? '_' : c;
  fail("'" + *found + "' is no name", form, is_name(better) ? better : "");
  return std::nullopt;
}

std::optional<std::size_t> Place::choice_index(const std::vector<std::string>& words, const std::string& what) const {
  const std::string* found = scalar(words.empty() ? what : one_of(words));
  if (found == nullptr) return std::nullopt;
  const auto at = std::find(words.begin(), words.end(), *found);
  if (at != words.end()) return static_cast<std::size_t>(at - words.begin());
  fail_name("no " + what, words);
  return std::nullopt;
}

std::optional<std::string> Place::choice(const std::vector<std::string>& words, const std::string& what) const {
  const std::optional<std::size_t> index = choice_index(words, what);
  return index ? std::optional(words[*index]) : std::nullopt;
}

std::vector<Place> Place::items(const std::string& what) const {
  std::vector<Place> result;
  if (!node_->is(Node::Kind::sequence)) {
    fail(describe(*node_), "a list of " + what);
    return result;
  }
  for (std::size_t i = 0; i < node_->items.size(); ++i)
    result.emplace_back(node_->items[i], path_ + "." + std::to_string(i), *out_);
  return result;
}

std::vector<Place> Place::one_or_more(const std::string& what) const {
  if (node_->is(Node::Kind::scalar)) return {*this};
  return items(what);
}

bool Place::mapping(const std::string& what) const {
  if (node_->is(Node::Kind::mapping)) return true;
  fail(describe(*node_), "a mapping with " + what);
  return false;
}

std::vector<Place::Entry> Place::entries() const {
  std::vector<Entry> result;
  for (std::size_t i = 0; i < node_->items.size(); ++i) {
    const std::string below = path_.empty() ? node_->keys[i].text : path_ + "." + node_->keys[i].text;
    result.push_back({Place(node_->keys[i], below, *out_), Place(node_->items[i], below, *out_)});
  }
  return result;
}

Fields::Fields(const Place& place, const Keys& keys, const std::string& what, std::vector<std::string> more) {
  std::vector<std::string> known = names_of(keys);
  known.insert(known.end(), more.begin(), more.end());
  if (!place.mapping("the keys of " + what + ": " + one_of(known))) return;
  for (Place::Entry& entry : place.entries()) {
    if (std::find(known.begin(), known.end(), entry.key.text()) == known.end())
      entry.key.fail("'" + entry.key.text() + "' is no key of " + what, one_of(known),
                     nearest(entry.key.text(), known));
    else
      entries_.push_back(std::move(entry));
  }
  for (const Key& key : keys)
    if (key.required && !has(key.name))
      place.fail("the key '" + std::string(key.name) + "' is missing", "it in " + what);
}

std::optional<Place> Fields::find(std::string_view key) const {
  for (const Place::Entry& entry : entries_)
    if (entry.key.text() == key) return entry.value;
  return std::nullopt;
}

}  // namespace secmmu::language
