#include "notifier/substrate/address.hpp"

#include <fmt/format.h>

namespace secmmu {

std::string to_text(VirtAddr address) { return fmt::format("{:#x}", address.value); }

std::string to_text(PageRange range) {
  return fmt::format("[{:#x},{:#x})", address_of(range.first).value, address_of(range.end).value);
}

}  // namespace secmmu
