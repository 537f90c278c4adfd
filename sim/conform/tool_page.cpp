#include "sim/conform/tool_page.hpp"

namespace secmmu::conform {

void ToolPage::mapped(const std::string& buffer, PageRange pages) { buffers_[buffer] = pages; }

void ToolPage::played(const Operation& operation) {
  const auto pages_of = [this](const std::string& buffer, std::uint64_t first, std::uint64_t count) {
    const auto known = buffers_.find(buffer);
    if (known == buffers_.end()) return PageRange{};  // moved: nobody knows where to
    const Vpn from = known->second.first + first;
    return PageRange{from, from + count};
  };
  const PageRange pages = pages_of(operation.buffer, operation.first, operation.pages);
  if (operation.name == "munmap" || operation.name == "mremap_to" || operation.name == "mremap_onto")
    holes_ += of(pages);
  if (operation.name == "mmap_fixed") holes_ -= of(pages);
  if (operation.name == "mremap_onto")
    holes_ -= of(pages_of(operation.target, operation.target_first, operation.pages));
  if (operation.name == "mremap_size") {
    const auto known = buffers_.find(operation.buffer);
    if (known == buffers_.end()) return;
    holes_ -= of({known->second.first, known->second.first + operation.pages});
    holes_ += of({known->second.first + operation.pages, known->second.end});
  }
}

std::optional<Vpn> ToolPage::take_place() {
  if (placed_) return std::nullopt;
  placed_ = true;
  if (holes_.empty()) return std::nullopt;
  return Vpn{holes_.rbegin()->upper() - 1};
}

}  // namespace secmmu::conform
