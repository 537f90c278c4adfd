// Possibly overlapping closed intervals [first, last] of bytes, each with an owner.
#pragma once

#include <cstdint>
#include <map>
#include <utility>

namespace secmmu {

template <class T>
class IntervalTree {
 public:
  using Key = std::pair<std::uint64_t, std::uint64_t>;  // first byte, number of the insertion
  using Handle = Key;

  class Hit {
   public:
    Hit() = default;
    Hit(Key key, T* value) : key_(key), value_(value) {}
    explicit operator bool() const { return value_ != nullptr; }
    T* value() const { return value_; }
    const Key& key() const { return key_; }

   private:
    Key key_{};
    T* value_ = nullptr;
  };

  Handle insert(std::uint64_t first, std::uint64_t last, T* value) {
    const Key key{first, next_++};
    entries_[key] = {last, value};
    return key;
  }
  void erase(const Handle& handle) { entries_.erase(handle); }
  bool empty() const { return entries_.empty(); }
  std::size_t size() const { return entries_.size(); }
  // In order of (first byte, insertion).
  Hit first_overlap(std::uint64_t first, std::uint64_t last) const { return from(entries_.begin(), first, last); }
  Hit next_overlap(const Hit& hit, std::uint64_t first, std::uint64_t last) const {
    return from(entries_.upper_bound(hit.key()), first, last);
  }

 private:
  using Entries = std::map<Key, std::pair<std::uint64_t, T*>>;
  Hit from(typename Entries::const_iterator it, std::uint64_t first, std::uint64_t last) const {
    for (; it != entries_.end() && it->first.first <= last; ++it)
      if (it->second.first >= first) return {it->first, it->second.second};
    return {};
  }
  Entries entries_;
  std::uint64_t next_ = 1;
};

}  // namespace secmmu
