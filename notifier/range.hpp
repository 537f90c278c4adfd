// One invalidation as its callbacks see it. Page ranges are half open.
#pragma once

#include <cstdint>
#include <string_view>

#include "notifier/substrate/address.hpp"

namespace secmmu {

class AddressSpace;

// Why the range is invalidated: enum mmu_notifier_event of v5.2 and later. Older kernels do not say; the
// model carries it everywhere for the traces.
enum class InvalidateEvent { unmap, clear, protection_vma, protection_page, soft_dirty, release, migrate, exclusive };

constexpr std::string_view invalidate_event_name(InvalidateEvent event) {
  switch (event) {
    case InvalidateEvent::unmap:
      return "UNMAP";
    case InvalidateEvent::clear:
      return "CLEAR";
    case InvalidateEvent::protection_vma:
      return "PROTECTION_VMA";
    case InvalidateEvent::protection_page:
      return "PROTECTION_PAGE";
    case InvalidateEvent::soft_dirty:
      return "SOFT_DIRTY";
    case InvalidateEvent::release:
      return "RELEASE";
    case InvalidateEvent::migrate:
      return "MIGRATE";
    case InvalidateEvent::exclusive:
      return "EXCLUSIVE";
  }
  return "?";
}

struct InvalidateRange {
  AddressSpace* mm = nullptr;
  PageRange pages;
  InvalidateEvent event = InvalidateEvent::unmap;
  bool blockable = true;
  const void* owner = nullptr;  // v5.9: whose migrate or exclusive event it is
  std::uint64_t id = 0;         // set by the core at start: pairs start and end in traces
};

}  // namespace secmmu
