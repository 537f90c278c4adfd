// The lists on which reclaim looks for pages (Linux's LRU lists): those in use and those that may go, for memory that
// would go to the swap area and for files. A page is on one list at most. A huge page is on a list with its first frame
// and counts for all of them.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include <boost/intrusive/list.hpp>

#include "notifier/substrate/address.hpp"

namespace secmmu {

enum class ReclaimList { inactive_anonymous, active_anonymous, inactive_file, active_file };
inline constexpr std::size_t kReclaimLists = 4;

class ReclaimLists {
 public:
  explicit ReclaimLists(std::uint64_t frames) : nodes_(frames) {}
  ReclaimLists(const ReclaimLists&) = delete;
  ReclaimLists& operator=(const ReclaimLists&) = delete;

  bool on_any(Pfn page) const { return nodes_[page.value].pages != 0; }
  // Of a page that is on one.
  ReclaimList list_of(Pfn page) const { return nodes_[page.value].list; }
  // To the front; from whatever list it was on.
  void put_first(ReclaimList list, Pfn page, std::uint64_t pages = 1);
  void take_off(Pfn page);  // or nothing, if it is on none
  // The last of a list; kNoPfn: it is empty.
  Pfn last(ReclaimList list) const;
  std::uint64_t pages(ReclaimList list) const { return pages_[static_cast<std::size_t>(list)]; }
  void clear();

 private:
  struct Node : boost::intrusive::list_base_hook<> {
    std::uint32_t pages = 0;  // 0: on no list
    ReclaimList list{};
  };
  std::vector<Node> nodes_;  // by frame
  std::array<boost::intrusive::list<Node>, kReclaimLists> lists_;
  std::array<std::uint64_t, kReclaimLists> pages_{};
};

}  // namespace secmmu
