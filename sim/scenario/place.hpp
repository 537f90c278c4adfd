// A node of the document together with its path: what a block's parser reads values from. Each reading
// function returns the value, or nothing after it has reported what is wrong there.
#pragma once

#include <functional>

#include "sim/scenario/document.hpp"
#include "sim/scenario/keys.hpp"
#include "sim/scenario/values.hpp"

namespace secmmu::language {

class Place {
 public:
  Place(const Node& node, std::string path, Diagnostics& out) : node_(&node), path_(std::move(path)), out_(&out) {}

  const Node& node() const { return *node_; }
  const std::string& path() const { return path_; }
  Mark mark() const { return node_->mark; }
  std::string text() const { return node_->text; }

  void fail(const std::string& wrong, const std::string& expected = "", const std::string& suggestion = "") const;
  // "'x' is <what>", with the nearest of the names.
  void fail_name(const std::string& what, const std::vector<std::string>& names) const;

  std::optional<std::uint64_t> number(std::uint64_t low = 0, std::uint64_t high = UINT64_MAX) const;
  std::optional<std::uint64_t> size(std::uint64_t low = 0, std::uint64_t high = UINT64_MAX) const;
  std::optional<std::uint64_t> hundredths() const;
  std::optional<Time> duration() const;
  std::optional<bool> flag() const;
  std::optional<Pages> pages() const;
  std::optional<VirtAddr> page_address() const;  // a multiple of the page size, in user space
  std::optional<std::string> any_text() const;
  std::optional<std::string> name() const;  // a new one, of the user's choice
  // One of the words; `what` says what they are: "a kernel".
  std::optional<std::string> choice(const std::vector<std::string>& words, const std::string& what) const;
  std::optional<std::size_t> choice_index(const std::vector<std::string>& words, const std::string& what) const;

  std::vector<Place> items(const std::string& what) const;        // of a list
  std::vector<Place> one_or_more(const std::string& what) const;  // a list, or one value alone
  bool mapping(const std::string& what) const;
  // Of a mapping: a place for each key (its text is the key) and for its value.
  struct Entry;
  std::vector<Entry> entries() const;

 private:
  // The text of a scalar; reports anything else.
  const std::string* scalar(const std::string& expected) const;
  template <class T>
  std::optional<T> take(const Parsed<T>& parsed) const;
  std::optional<std::uint64_t> in_range(std::optional<std::uint64_t> value, std::uint64_t low, std::uint64_t high,
                                        std::string (*print)(std::uint64_t)) const;

  const Node* node_;
  std::string path_;
  Diagnostics* out_;
};

struct Place::Entry {
  Place key;  // its path is that of the value
  Place value;
};

// A mapping that was checked against a table: unknown and missing keys are reported when it is made.
class Fields {
 public:
  // `what` names the block in messages; `more` are keys that are allowed beside those of the table.
  Fields(const Place& place, const Keys& keys, const std::string& what, std::vector<std::string> more = {});

  std::optional<Place> find(std::string_view key) const;
  bool has(std::string_view key) const { return find(key).has_value(); }

 private:
  std::vector<Place::Entry> entries_;
};

// Names of anything that has a name.
template <class Named>
std::vector<std::string> names_in(const std::vector<Named>& things) {
  std::vector<std::string> names;
  for (const Named& thing : things) names.push_back(thing.name);
  return names;
}

}  // namespace secmmu::language
