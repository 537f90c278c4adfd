// The page that the recording tool keeps for itself, where that can be seen in a recording.
//
// Idle-page tracking passes over pages that still wait in a list of one CPU on their way to the LRU. Advice that memory
// is cold empties that list first, so the tool gives it about a page of its own before it looks at idle pages; the
// page is mapped and written when that happens for the first time. Like any mapping without an address it takes the
// highest hole that is large enough: one within the watched buffer, if the program has made one there. Then the flush
// of that advice is recorded, and accesses find the page.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include <boost/icl/interval_set.hpp>

#include "notifier/substrate/address.hpp"
#include "sim/conform/operation.hpp"

namespace secmmu::conform {

class ToolPage {
 public:
  static constexpr std::uint64_t kValue = 1;  // of its first byte

  void mapped(const std::string& buffer, PageRange pages);
  void played(const Operation& operation);
  // Where it comes to lie now; nothing if that is in no buffer, or it has its place already.
  std::optional<Vpn> take_place();

 private:
  using Pages = boost::icl::interval_set<std::uint64_t>;
  static Pages::interval_type of(PageRange range) {
    return Pages::interval_type::right_open(range.first.value, range.end.value);
  }
  std::map<std::string, PageRange> buffers_;
  Pages holes_;
  bool placed_ = false;
};

}  // namespace secmmu::conform
