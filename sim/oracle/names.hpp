// Names as small numbers, so that ghost state holds no strings. Looked up by where the text stands first,
// and compared, because a name may stand where another stood before.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <string_view>

namespace secmmu {

class Names {
 public:
  using Id = std::uint32_t;

  Id id_of(std::string_view text) {
    const auto where = reinterpret_cast<std::uintptr_t>(text.data());
    Cached& cached = cache_[(where >> 3 ^ where >> 9) % cache_.size()];
    if (cached.where == text.data() && cached.id != UINT32_MAX && cached.text == text) return cached.id;
    const Id id = look_up(text);
    cached = {text.data(), texts_[id], id};
    return id;
  }
  const std::string& text(Id id) const { return texts_[id]; }

  void clear() {
    texts_.clear();
    ids_.clear();
    cache_.fill({});
  }

 private:
  struct Cached {
    const char* where = nullptr;
    std::string_view text;  // in texts_
    Id id = UINT32_MAX;
  };
  Id look_up(std::string_view text) {
    const auto found = ids_.find(text);
    if (found != ids_.end()) return found->second;
    const Id id = static_cast<Id>(texts_.size());
    texts_.emplace_back(text);
    ids_.emplace(texts_.back(), id);
    return id;
  }

  std::deque<std::string> texts_;       // does not move
  std::map<std::string_view, Id> ids_;  // by content; points into texts_
  std::array<Cached, 64> cache_;
};

}  // namespace secmmu
