#include "models/devices/kvm/memslots.hpp"

namespace secmmu {

std::optional<Vpn> Memslots::host_of(Vpn guest) const {
  for (const Memslot& slot : slots_)
    if (guest >= slot.guest && guest - slot.guest < slot.host.pages()) return slot.host.first + (guest - slot.guest);
  return std::nullopt;
}

std::optional<Vpn> Memslots::guest_of(Vpn host, unsigned view) const {
  if (slots_.empty()) return std::nullopt;
  const Memslot& slot = slots_[view % slots_.size()];
  if (!slot.host.contains(host)) return std::nullopt;
  return slot.guest + (host - slot.host.first);
}

std::optional<PageRange> Memslots::guest_block(Vpn guest) const {
  const PageRange block = block_of(guest);
  for (const Memslot& slot : slots_) {
    const PageRange all{slot.guest, slot.guest + slot.host.pages()};
    if (!all.contains(guest)) continue;
    const bool aligned = (slot.host.first.value - slot.guest.value) % kTableEntries == 0;
    return aligned && all.first <= block.first && block.end <= all.end ? std::optional(block) : std::nullopt;
  }
  return std::nullopt;
}

std::vector<PageRange> Memslots::guest_ranges(PageRange host) const {
  std::vector<PageRange> ranges;
  for (const Memslot& slot : slots_) {
    const PageRange part = slot.host.intersect(host);
    if (part.empty()) continue;
    const Vpn first = slot.guest + (part.first - slot.host.first);
    ranges.push_back({first, first + part.pages()});
  }
  return ranges;
}

}  // namespace secmmu
