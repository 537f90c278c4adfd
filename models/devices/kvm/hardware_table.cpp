#include "models/devices/kvm/hardware_table.hpp"

#include "models/devices/events.hpp"

namespace secmmu {

ShadowTable::ShadowTable(Arbiter& arbiter, PhysicalMemory& memory, MemoryPort& port, Owner owner)
    : arbiter_(arbiter), owner_(std::move(owner)), table_(memory, port, owner_.device + "'s table of " + owner_.mm) {}

void ShadowTable::set(Vpn guest, Vpn host, Pte entry) {
  clear(guest, "replace");
  table_.write(guest, entry);
  Leaf& leaf = leaves_[guest];
  leaf = {host, {}};
  arbiter_.bus().emit(
      DeviceFill{owner_.device, owner_.mm, owner_.mm_id, host, entry.frame(), entry.writable(), &leaf.ghost});
}

Pte ShadowTable::clear(Vpn guest, std::string_view why) {
  const auto leaf = leaves_.find(guest);
  if (leaf == leaves_.end()) return {};
  const Pte old = table_.read(guest);
  table_.write(guest, {});
  arbiter_.bus().emit(
      DeviceDrop{owner_.device, owner_.mm, owner_.mm_id, leaf->second.host, old.frame(), &leaf->second.ghost, why});
  leaves_.erase(leaf);
  return old;
}

std::vector<Vpn> ShadowTable::mapped(PageRange guest) const {
  std::vector<Vpn> pages;
  for (auto it = leaves_.lower_bound(guest.first); it != leaves_.end() && it->first < guest.end; ++it)
    pages.push_back(it->first);
  return pages;
}

const ShadowTable::Leaf* ShadowTable::leaf(Vpn guest) const {
  const auto it = leaves_.find(guest);
  return it == leaves_.end() ? nullptr : &it->second;
}

void ShadowTable::free_all() { table_.free_all(); }

}  // namespace secmmu
