#include "models/devices/kvm/virtual_machine.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "models/devices/events.hpp"

namespace secmmu {
namespace {

// The slots of a machine: the same memory once or twice, the second time in the upper half of what the table reaches.
Memslots slots_of(const KvmConfig& config) {
  const Vpn first = VirtAddr{config.slot_at}.page();
  const Vpn end = config.slot_pages == 0 ? kWholeSpace.end : first + config.slot_pages;
  const PageRange host = PageRange{first, end}.intersect(kWholeSpace);
  Memslots slots;
  for (std::uint64_t view = 0; view < config.guest_views; ++view)
    slots.add({host.first + view * kWholeSpace.pages(), host});
  return slots;
}

}  // namespace

VirtualMachine::VirtualMachine(KvmModule& module, Mm& space, std::uint32_t asid)
    : mm(space),
      slots(slots_of(module.config)),
      table(module.arbiter, module.mms.memory, module.mms.port, {module.name, space.name(), space.id(), asid}),
      mmu_lock(module.arbiter, "kvm_mmu", fmt::format("{}.mmu_lock({})", module.name, space.name())),
      module_(module) {}

CallbackSet VirtualMachine::callbacks() const {
  CallbackSet set{Callback::start,       Callback::end,        Callback::release,   Callback::clear_flush_young,
                  Callback::clear_young, Callback::test_young, Callback::change_pte};
  if (module_.mms.notifier.behaviour().invalidate_page) set.add(Callback::invalidate_page);
  return set;
}

// --- what faults ask -------------------------------------------------------------------------------

void VirtualMachine::touch_state() {
  module_.arbiter.step(module_.arbiter.costs.lock_release,
                       writes(ObjectKind::device_state, module_.hardware.object(), table.owner().asid));
}

std::uint64_t VirtualMachine::sequence() {
  module_.arbiter.step(module_.arbiter.costs.lock_release,
                       reads(ObjectKind::device_state, module_.hardware.object(), table.owner().asid));
  return sequence_;
}

// Rule: the hull may name pages that no open range is about, but never leaves one out. Before v5.12 there is none,
// and every fault waits for every range.
bool VirtualMachine::open_at(Vpn host) {
  module_.arbiter.step(module_.arbiter.costs.lock_release,
                       reads(ObjectKind::device_state, module_.hardware.object(), table.owner().asid));
  return module_.protocol.active_count_check && open_ > 0 && (!module_.behaviour.kvm_hull || hull_.contains(host));
}

std::string_view VirtualMachine::stale(std::uint64_t seen, Vpn host) {
  if (open_at(host)) return "range open";
  if (module_.protocol.sequence_check && sequence_ != seen) return "sequence moved";
  return {};
}

// Rule: how large the entry may be says the process's table, under mmu_lock and after it is known that no range that
// may concern the page is open: until one opens, the process's entry stays as large as it is. While one is open over
// another page of the block the entry is small. (Linux asks about the page of the fault only. A range over a part of a
// huge page is followed by that of its split, over all of it, before anything changes; so a large entry that came in
// between goes in time.)
bool VirtualMachine::may_be_huge(Vpn guest, Vpn host) {
  const std::optional<PageRange> block = slots.guest_block(guest);
  if (module_.config.largest_entry == "4K" || !block) return false;
  const Vpn first = *slots.host_of(block->first);
  if (open_ > 0 && hull_.overlaps({first, first + block->pages()})) return false;
  if (!module_.protocol.host_level_check) return true;
  module_.arbiter.step(module_.arbiter.costs.lock_release, reads(ObjectKind::pte, mm.id(), host.value));
  return mm.table.read_huge(host).present();
}

// `entry` is of the first page. Smaller entries give way, and with them what TLBs know of them.
Errno VirtualMachine::map_block(PageRange guest, Vpn host, Pte entry) {
  const Pte old = table.read(guest.first);
  if (old.huge() && old.frame() == entry.frame() && (old.writable() || !entry.writable())) {
    table.set_bits(guest.first, {old.bits | (entry.bits & (Pte::kAccessed | Pte::kDirty))});
    return Errno::ok;
  }
  bool flush = false;
  for (const Vpn page : table.mapped(guest)) {
    const Pte gone = take_out(page, "replace");
    flush |= !gone.huge() || gone.frame() != entry.frame();
  }
  table.set_huge(guest, host, entry);
  ++module_.counters.mapped;
  ++module_.counters.large;
  if (flush) module_.hardware.flush(table);
  return Errno::ok;
}

// Rule: a fault makes the entry accessed, and dirty if it was for a write, as the access that follows would.
Errno VirtualMachine::map(Vpn guest, Vpn host, Pfn frame, bool writable, bool write) {
  if (!table.ensure(guest)) return Errno::enomem;
  module_.arbiter.step(module_.config.map, writes(ObjectKind::pte, table.owner().asid, guest.value));
  const std::uint64_t dirty = write ? Pte::kDirty : 0;
  const Pte fresh =
      make_pte(frame, Pte::kPresent | Pte::kUser | Pte::kAccessed | dirty | (writable ? Pte::kWritable : 0));
  if (may_be_huge(guest, host)) {
    const PageRange block = block_of(guest);
    const std::uint64_t behind = guest - block.first;
    return map_block(block, {host.value - behind}, {fresh.bits - (behind << kPageShift)});
  }
  const Pte old = table.read(guest);
  if (old.present() && !old.huge() && old.frame() == frame && (old.writable() || !writable)) {
    table.set_bits(guest, {old.bits | Pte::kAccessed | dirty});  // another virtual CPU was faster
    return Errno::ok;
  }
  // More rights need no flush: a TLB that does not know of them asks again. Another frame under a live entry does;
  // whoever changed it in the process has told us, and we have it out already.
  const bool other = old.present() && (old.huge() || old.frame() != frame);
  if (old.present()) take_out(guest, "replace");
  table.set(guest, host, fresh);
  ++module_.counters.mapped;
  if (other) module_.hardware.flush(table);
  return Errno::ok;
}

// --- invalidation ----------------------------------------------------------------------------------

std::vector<PageRange> VirtualMachine::zapped_ranges(PageRange host) const {
  std::vector<PageRange> ranges = slots.guest_ranges(host);
  if (!module_.protocol.zap_every_slot && ranges.size() > 1) ranges.resize(1);
  return ranges;
}

// Rule: what the hardware noted in the entry is not lost with it. The page is still there: the process holds it until
// the callback has returned. A huge page is dirty as a whole.
Pte VirtualMachine::take_out(Vpn guest, std::string_view why) {
  const Pte old = table.clear(guest, why);
  if (old.dirty() && module_.protocol.dirty_to_page) {
    note_dirty(module_.mms, module_.mms.memory.head(old.frame()));
    ++module_.counters.dirty;
  }
  return old;
}

// An entry that overlaps the range goes whole. True: something was there, so TLBs may hold it.
bool VirtualMachine::zap(PageRange host) {
  bool any = false;
  for (const PageRange& range : zapped_ranges(host))
    for (const Vpn guest : table.mapped(range)) {
      module_.arbiter.step(module_.config.zap_page, writes(ObjectKind::pte, table.owner().asid, guest.value));
      take_out(guest, "zap");
      ++module_.counters.zapped;
      any = true;
    }
  return any;
}

// Rule: the TLBs are flushed before others get mmu_lock. Who came in between would find the entries gone, think that
// there is nothing to flush, and let the page go. (Linux up to v3.3 flushed behind the lock.)
void VirtualMachine::unlock(bool flush) {
  flush = flush && module_.protocol.flush_remote_tlbs;
  if (flush && module_.protocol.flush_before_unlock) module_.hardware.flush(table);
  mmu_lock.unlock();
  if (flush && !module_.protocol.flush_before_unlock) module_.hardware.flush(table);
}

void VirtualMachine::count(std::int64_t by) {
  open_ += by;
  module_.arbiter.bus().emit(DeviceRangeActive{module_.name, mm.name(), mm.id(), open_});
}

// Rule: from v5.15 on, ranges that meet no slot are left out, by start and end alike.
Errno VirtualMachine::invalidate_range_start(const InvalidateRange& range) {
  module_.arbiter.step(module_.config.slot_lookup);
  if (module_.behaviour.kvm_skips_others && slots.guest_ranges(range.pages).empty()) {
    ++module_.counters.others;
    return Errno::ok;
  }
  mmu_lock.lock();
  touch_state();
  count(+1);
  if (open_ == 1)
    hull_ = range.pages;
  else if (module_.protocol.hull_covers_all_open_ranges)
    hull_ = {std::min(hull_.first, range.pages.first), std::max(hull_.end, range.pages.end)};
  unlock(module_.protocol.zap_in_start && zap(range.pages));
  return Errno::ok;
}

// Rule: the sequence moves before the count falls, so that a fault which sees the range closed sees that it was there.
void VirtualMachine::invalidate_range_end(const InvalidateRange& range) {
  module_.arbiter.step(module_.config.slot_lookup);
  if (module_.behaviour.kvm_skips_others && slots.guest_ranges(range.pages).empty()) return;
  mmu_lock.lock();
  touch_state();
  if (module_.protocol.bump_sequence_at_end) ++sequence_;
  count(-1);
  mmu_lock.unlock();
}

// Rule: up to v4.12 the page has left the process's table already, outside every range, so the sequence moves here.
void VirtualMachine::invalidate_page(AddressSpace&, Vpn page) {
  mmu_lock.lock();
  touch_state();
  ++sequence_;
  unlock(zap(one_page(page)));
}

// Rule: a page that the process may write is asked for anew, by a fault; one that it may only read is put in place of
// the other. The new entry is not young: nobody has used it.
void VirtualMachine::change_pte(AddressSpace&, Vpn page, Pfn frame, bool writable) {
  const bool in_range_only = module_.config.change_pte == "kvm" && module_.behaviour.kvm_change_pte == "in-range";
  if (in_range_only && open_ == 0) return;
  mmu_lock.lock();
  touch_state();
  if (!in_range_only) ++sequence_;  // up to v3.6 no end of a range does it
  bool flush = false;
  for (const PageRange& range : zapped_ranges(one_page(page)))
    for (const Vpn guest : table.mapped(range)) {
      module_.arbiter.step(module_.config.zap_page, writes(ObjectKind::pte, table.owner().asid, guest.value));
      take_out(guest, writable ? "zap" : "replace");
      if (!writable) table.set(guest, page, make_pte(frame, Pte::kPresent | Pte::kUser));
      ++module_.counters.changed;
      flush = true;
    }
  unlock(flush);
}

// Rule: mm_users is 0, so no guest runs any more and none will; but what a broken one still reached would be freed
// next, without a word. May come twice, and at once.
void VirtualMachine::release(AddressSpace&) {
  mmu_lock.lock();
  touch_state();
  const bool first = !released;
  released = true;
  unlock(module_.protocol.release_drops_all && zap(kWholeSpace));
  if (first) module_.arbiter.bus().emit(DeviceDetached{module_.name, mm.name(), mm.id()});
}

void VirtualMachine::destroy() {
  mmu_lock.lock();
  released = true;
  bool flush = false;
  for (const Vpn guest : table.mapped({{0}, kMappableEnd})) {
    take_out(guest, "destroy");
    flush = true;
  }
  if (flush) module_.hardware.flush(table);
  mmu_lock.unlock();
  module_.hardware.wait_for_walks(table);
  table.free_all();
}

// --- ageing ----------------------------------------------------------------------------------------

// Rule: only clear_flush_young flushes, and only if something was young. After the others a TLB may go on using an
// entry without anybody's noticing, until it walks again.
bool VirtualMachine::age(PageRange host, bool clear, bool flush) {
  if (!module_.protocol.young_from_entry) return false;
  mmu_lock.lock();
  bool young = false;
  for (const PageRange& range : slots.guest_ranges(host))
    for (const Vpn guest : table.mapped(range)) {
      const Access access{ObjectKind::pte, clear, table.owner().asid, guest.value};
      module_.arbiter.step(module_.config.zap_page, access);
      const Pte entry = table.read(guest);
      if (!entry.accessed()) continue;
      young = true;
      if (clear) table.set_bits(guest, {entry.bits & ~Pte::kAccessed});
    }
  if (young) ++module_.counters.young;
  unlock(young && flush);
  return young;
}

}  // namespace secmmu
