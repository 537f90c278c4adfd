#include "models/devices/kvm/hardware_table.hpp"

#include "models/devices/events.hpp"

namespace secmmu {

ShadowTable::ShadowTable(Arbiter& arbiter, PhysicalMemory& memory, MemoryPort& port, Owner owner)
    : arbiter_(arbiter), owner_(std::move(owner)), table_(memory, port, owner_.device + "'s table of " + owner_.mm) {}

void ShadowTable::tell_fill(Vpn guest, Vpn host, Pte entry) {
  Leaf& leaf = leaves_[guest];
  leaf = {host, {}};
  arbiter_.bus().emit(
      DeviceFill{owner_.device, owner_.mm, owner_.mm_id, host, entry.frame(), entry.writable(), &leaf.ghost});
}

void ShadowTable::tell_drop(std::map<Vpn, Leaf>::iterator leaf, Pfn frame, std::string_view why) {
  arbiter_.bus().emit(
      DeviceDrop{owner_.device, owner_.mm, owner_.mm_id, leaf->second.host, frame, &leaf->second.ghost, why});
}

void ShadowTable::set(Vpn guest, Vpn host, Pte entry) {
  clear(guest, "replace");
  table_.write(guest, entry);
  tell_fill(guest, host, entry);
}

void ShadowTable::set_huge(PageRange guest, Vpn host, Pte entry) {
  const Pte huge{entry.bits | Pte::kHuge};
  table_.place_huge(guest.first, huge, table_.detach_table(guest.first));
  for (Vpn page = guest.first; page < guest.end; page = page + 1)
    tell_fill(page, host + (page - guest.first), part_of_huge(huge, page));
}

Pte ShadowTable::clear(Vpn guest, std::string_view why) {
  const auto leaf = leaves_.find(guest);
  if (leaf == leaves_.end()) return {};
  const Pte huge = table_.read_huge(guest);
  if (huge.none()) {
    const Pte old = table_.read(guest);
    table_.write(guest, {});
    tell_drop(leaf, old.frame(), why);
    leaves_.erase(leaf);
    return old;
  }
  const PageRange block = block_of(guest);
  table_.attach_table(guest, table_.remove_huge(guest));
  auto part = leaves_.find(block.first);
  while (part != leaves_.end() && part->first < block.end) {
    tell_drop(part, part_of_huge(huge, part->first).frame(), why);
    part = leaves_.erase(part);
  }
  return huge;
}

void ShadowTable::set_bits(Vpn guest, Pte entry) {
  if (table_.read_huge(guest).none())
    table_.write(guest, entry);
  else
    table_.write_huge(guest, {entry.bits - ((guest - block_of(guest).first) << kPageShift)});
}

std::vector<Vpn> ShadowTable::mapped(PageRange guest) {
  std::vector<Vpn> pages;
  for (auto it = leaves_.lower_bound(guest.first); it != leaves_.end() && it->first < guest.end;) {
    pages.push_back(it->first);
    it = table_.read_huge(it->first).none() ? std::next(it) : leaves_.lower_bound(block_of(it->first).end);
  }
  return pages;
}

const ShadowTable::Leaf* ShadowTable::leaf(Vpn guest) const {
  const auto it = leaves_.find(guest);
  return it == leaves_.end() ? nullptr : &it->second;
}

void ShadowTable::free_all() { table_.free_all(); }

}  // namespace secmmu
