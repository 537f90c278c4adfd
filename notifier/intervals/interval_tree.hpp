// Possibly overlapping closed intervals [first, last] of bytes, each with an owner. Insertion and removal cost
// O(log n), finding the k that overlap a range O(log n + k). In order of (first byte, insertion), never of
// addresses.
//
// The tree is libstdc++'s policy-based red-black tree, whose nodes carry one word more: the highest last byte
// of their subtree. (Boost.ICL splits intervals where they overlap, which costs minutes and gigabytes for
// 10,000 nested ones.)
#pragma once

#include <algorithm>
#include <boost/container/small_vector.hpp>
#include <cstdint>
#include <ext/pb_ds/assoc_container.hpp>
#include <ext/pb_ds/tree_policy.hpp>
#include <functional>
#include <utility>

namespace secmmu {

template <class T>
class IntervalTree {
 public:
  using Key = std::pair<std::uint64_t, std::uint64_t>;  // first byte, number of the insertion
  using Handle = Key;

  Handle insert(std::uint64_t first, std::uint64_t last, T* value) {
    const Key key{first, next_++};
    entries_.insert({key, Entry{last, value}});
    return key;
  }
  void erase(const Handle& handle) { entries_.erase(handle); }
  bool empty() const { return entries_.empty(); }
  std::size_t size() const { return entries_.size(); }

  class Overlaps;
  // Those that share a byte with [first, last]. Valid while the tree does not change.
  Overlaps overlapping(std::uint64_t first, std::uint64_t last) const { return {*this, first, last}; }

 private:
  struct Entry {
    std::uint64_t last;
    T* value;
  };

  // Keeps the highest last byte of each subtree.
  template <class ConstNode, class Node, class Compare, class Allocator>
  struct HighestLast {
    using metadata_type = std::uint64_t;
    void operator()(Node node, ConstNode end) const {
      std::uint64_t highest = (*node)->second.last;
      for (const Node child : {node.get_l_child(), node.get_r_child()})
        if (ConstNode(child) != end) highest = std::max(highest, child.get_metadata());
      const_cast<std::uint64_t&>(node.get_metadata()) = highest;
    }
    virtual ~HighestLast() = default;
  };
  using Entries = __gnu_pbds::tree<Key, Entry, std::less<Key>, __gnu_pbds::rb_tree_tag, HighestLast>;
  using ConstNode = typename Entries::node_const_iterator;

  Entries entries_;
  std::uint64_t next_ = 1;
};

// One after the other, in order.
template <class T>
class IntervalTree<T>::Overlaps {
 public:
  Overlaps(const IntervalTree& tree, std::uint64_t first, std::uint64_t last)
      : end_(tree.entries_.node_end()), first_(first), last_(last) {
    descend(tree.entries_.node_begin());
  }
  // nullptr: there are no more.
  T* next() {
    while (!way_.empty()) {
      const ConstNode node = way_.back();
      way_.pop_back();
      const auto& [key, entry] = **node;
      if (key.first > last_) way_.clear();
      if (key.first > last_) break;
      descend(node.get_r_child());
      if (entry.last >= first_) return entry.value;
    }
    return nullptr;
  }

 private:
  // A subtree whose intervals all end before the range is not entered.
  void descend(ConstNode node) {
    for (; node != end_ && node.get_metadata() >= first_; node = node.get_l_child()) way_.push_back(node);
  }

  ConstNode end_;
  std::uint64_t first_;
  std::uint64_t last_;
  boost::container::small_vector<ConstNode, 48> way_;  // nodes whose left subtree is done
};

}  // namespace secmmu
