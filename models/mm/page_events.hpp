// Tracepoints of what pages hold: when it is safe elsewhere, and when the page goes.
#pragma once

#include <string_view>

#include "notifier/substrate/trace/event.hpp"

namespace secmmu {

struct PageSaved {
  static constexpr std::string_view kName = "page_saved";
  static constexpr std::string_view kAbout =
      "What a page holds is elsewhere, too, or need not be kept: from here on it counts as clean.";
  Pfn pfn;
  std::string_view why;  // free, swap, write-back, collapse, ...
  template <class V>
  void describe(V& visit) const {
    visit("pfn", pfn);
    visit("why", why);
  }
};
struct PageGivenUp {
  static constexpr std::string_view kName = "page_given_up";
  static constexpr std::string_view kAbout = "The kernel takes a page for clean and lets go of it, with what it holds.";
  Pfn pfn;
  std::string_view why;  // reclaim, collapse, ...
  template <class V>
  void describe(V& visit) const {
    visit("pfn", pfn);
    visit("why", why);
  }
};

}  // namespace secmmu
