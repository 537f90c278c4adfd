#include "models/devices/kvm/hardware.hpp"

#include <algorithm>
#include <cstring>

#include "models/devices/events.hpp"

namespace secmmu {
const ParameterTable<KvmConfig>& kvm_table() {
  static const char* kModel = "order of magnitude on x86-64 servers";
  static const ParameterTable<KvmConfig> table =
      ParameterTable<KvmConfig>("kvm")
          .integer("contexts", &KvmConfig::contexts, 1, 64, "Virtual CPUs.")
          .integer("tlb_entries", &KvmConfig::tlb_entries, 0, 1 << 16,
                   "Translations that the TLB of each virtual CPU holds; 0: there is none, every access walks.",
                   "first-level data TLB of Intel's Skylake")
          .integer("tlb_ways", &KvmConfig::tlb_ways, 1, 64, "Ways of a set.", "as above")
          .choice("largest_entry", &KvmConfig::largest_entry, {"4K", "2M"},
                  "The largest page that one entry maps; 2M: where the process has one huge page, and the slot shows it "
                  "whole, at an address in the guest that is aligned as its own.")
          .flag("map_writable_on_read", &KvmConfig::map_writable_on_read,
                "A miss on a read makes a writable entry if the process may write there now; otherwise an entry is "
                "writable only if the miss was a write.",
                "what KVM does; the software device behind the recordings of v6.1 does not")
          .choice("change_pte", &KvmConfig::change_pte, {"kvm", "always"},
                  "What it makes of change_pte. kvm: what this kernel's KVM does. always: it replaces the entry, or "
                  "drops it, whether or not a range is open.",
                  "always: the software device behind the recordings of v6.1")
          .integer("slot_at", &KvmConfig::slot_at, 0, UINT64_MAX,
                   "The address in the process, in bytes, at which the guest's memory slot begins.")
          .integer("slot_pages", &KvmConfig::slot_pages, 0, UINT64_MAX, "Its size; 0: everything from slot_at on.")
          .integer("guest_views", &KvmConfig::guest_views, 1, 2,
                   "How many slots show that memory to the guest, each at guest addresses of its own; virtual CPU n "
                   "uses slot n modulo this.")
          .duration("hit", &KvmConfig::hit, "An access whose translation is at hand.", kModel)
          .duration("walk_level", &KvmConfig::walk_level, "One level of a walk through the guest's table.", kModel)
          .duration("walk_update", &KvmConfig::walk_update, "The walker's locked update of Accessed and Dirty.", kModel)
          .duration("exit", &KvmConfig::exit, "From a guest's access that missed to the driver's fault handler.",
                    kModel)
          .duration("enter", &KvmConfig::enter, "From there back into the guest.", kModel)
          .duration("slot_lookup", &KvmConfig::slot_lookup, "Finding a memory slot.", kModel)
          .duration("prepare", &KvmConfig::prepare,
                    "From the page of the process to mmu_lock: what the entry is to look like.", kModel)
          .duration("map", &KvmConfig::map, "Writing an entry of the table.", kModel)
          .duration("zap_page", &KvmConfig::zap_page, "Taking an entry out, and what it knew of its page.", kModel)
          .duration("kick", &KvmConfig::kick,
                    "Interrupting all virtual CPUs, until each has left the guest and flushed its TLB.", kModel);
  return table;
}

KvmHardware::KvmHardware(const sc_core::sc_module_name& name, Arbiter& arbiter, const KvmConfig& config)
    : sc_module(name),
      port("port"),
      arbiter_(arbiter),
      config_(config),
      label_(basename()),
      object_(static_cast<std::uint32_t>(arbiter.new_object_id())),
      walker_(arbiter, port),
      cpus_(config.contexts) {
  walker_.costs = {config.walk_level, config.walk_update};
  if (config.tlb_entries != 0)
    for (VirtualCpu& cpu : cpus_) {
      cpu.tlb = std::make_unique<Tlb>(TlbConfig{config.tlb_entries, config.tlb_ways});
      cpu.tables.resize(config.tlb_entries);
      cpu.hosts.resize(config.tlb_entries);
    }
  // The pointers in the entries die; so do the entries, and the next access walks.
  port.on_revoked([this] {
    for (VirtualCpu& cpu : cpus_)
      if (cpu.tlb != nullptr)
        for (TlbEntry& entry : cpu.tlb->entries())
          if (entry.valid()) drop(cpu, entry, "revoked");
  });
}

void KvmHardware::set_state(unsigned cpu, std::string_view state) {
  if (cpus_[cpu].state == state) return;
  cpus_[cpu].state = state;
  arbiter_.bus().emit(DeviceState{label_, cpu, state});
}

// --- accesses --------------------------------------------------------------------------------------

bool KvmHardware::access(unsigned number, ShadowTable& table, VirtAddr guest, unsigned bytes, bool write,
                         std::uint64_t& value) {
  VirtualCpu& cpu = cpus_[number];
  arbiter_.step(config_.hit, {ObjectKind::device_entry, false, object_, guest.page().value});
  if (cpu.tlb != nullptr) {
    TlbEntry* entry = cpu.tlb->find(table.owner().asid, guest.page());
    // A write through an entry whose page is not known to be dirty walks: the walk sets Dirty.
    if (entry != nullptr && (!write || (entry->writable && entry->dirty))) [[likely]] {
      const Vpn host = cpu.hosts[static_cast<std::size_t>(entry - cpu.tlb->entries().data())];
      use(table, {entry->frame, host, &entry->ghost, entry->bytes}, guest, bytes, write, value);
      return true;
    }
  }
  return walk(cpu, table, guest, bytes, write, value);
}

// From the walker's last look at the entry to the access there is no point: a flush comes before or after both.
bool KvmHardware::walk(VirtualCpu& cpu, ShadowTable& table, VirtAddr guest, unsigned bytes, bool write,
                       std::uint64_t& value) {
  cpu.walking = &table;
  const WalkResult found = walker_.walk(table.owner().asid, table.root(), guest.page(), write);
  cpu.walking = nullptr;
  const ShadowTable::Leaf* leaf = found.allowed ? table.leaf(guest.page()) : nullptr;
  std::uint8_t* const frame = leaf == nullptr ? nullptr : port.grant(found.entry.frame());
  if (frame == nullptr) return false;
  if (cpu.tlb != nullptr) refill(cpu, table, guest.page(), found, frame);
  use(table, {found.entry.frame(), leaf->host, &leaf->ghost, frame}, guest, bytes, write, value);
  return true;
}

void KvmHardware::use(const ShadowTable& table, const Used& used, VirtAddr guest, unsigned bytes, bool write,
                      std::uint64_t& value) {
  ++hits;
  std::uint8_t* const at = used.bytes + guest.offset();
  if (write) {
    std::memcpy(at, &value, bytes);
  } else {
    value = 0;
    std::memcpy(&value, at, bytes);
  }
  if (used.ghost->word != 0) [[unlikely]]
    tell_marked(arbiter_.bus(), {label_, table.owner().mm, table.owner().mm_id,
                                 address_of(used.host) + guest.offset(), used.frame, write, value, used.ghost});
}

// --- TLBs ------------------------------------------------------------------------------------------

void KvmHardware::refill(VirtualCpu& cpu, const ShadowTable& table, Vpn guest, const WalkResult& walk,
                         std::uint8_t* bytes) {
  TlbEntry& slot = cpu.tlb->victim(table.owner().asid, guest);
  if (slot.valid()) drop(cpu, slot, slot.page == guest && slot.asid == table.owner().asid ? "replace" : "evict");
  const Pte entry = walk.entry;
  cpu.tlb->fill(slot, table.owner().asid, guest, entry.frame(), walk.writable, entry.dirty(), bytes);
  const auto index = static_cast<std::size_t>(&slot - cpu.tlb->entries().data());
  cpu.tables[index] = &table;
  cpu.hosts[index] = table.leaf(guest)->host;
  ++refills;
  arbiter_.bus().emit(DeviceFill{label_, table.owner().mm, table.owner().mm_id, cpu.hosts[index], entry.frame(),
                                 walk.writable, &slot.ghost});
}

void KvmHardware::drop(VirtualCpu& cpu, TlbEntry& entry, std::string_view why) {
  const auto index = static_cast<std::size_t>(&entry - cpu.tlb->entries().data());
  const ShadowTable::Owner& owner = cpu.tables[index]->owner();
  arbiter_.bus().emit(DeviceDrop{label_, owner.mm, owner.mm_id, cpu.hosts[index], entry.frame, &entry.ghost, why});
  Tlb::drop(entry);
}

void KvmHardware::flush(const ShadowTable& table) {
  const ShadowTable::Owner& owner = table.owner();
  const std::uint64_t id = ++flushes;
  arbiter_.bus().emit(DevicePurgeBegin{label_, owner.mm, owner.mm_id, id, kWholeSpace});
  arbiter_.step(config_.kick, writes(ObjectKind::device_entry, object_));
  for (VirtualCpu& cpu : cpus_)
    if (cpu.tlb != nullptr)
      cpu.tlb->for_each(owner.asid, {{0}, kMappableEnd}, [&](TlbEntry& entry) { drop(cpu, entry, "flush"); });
  arbiter_.bus().emit(DevicePurgeEnd{label_, owner.mm, owner.mm_id, id});
}

void KvmHardware::wait_for_walks(const ShadowTable& table) {
  const auto inside = [&table](const VirtualCpu& cpu) { return cpu.walking == &table; };
  while (std::any_of(cpus_.begin(), cpus_.end(), inside))
    arbiter_.step(config_.kick, writes(ObjectKind::device_state, object_));
}

std::uint64_t KvmHardware::valid_entries() const {
  std::uint64_t valid = 0;
  for (const VirtualCpu& cpu : cpus_)
    if (cpu.tlb != nullptr) valid += cpu.tlb->valid();
  return valid;
}

void KvmHardware::reset() {
  for (VirtualCpu& cpu : cpus_) {
    if (cpu.tlb != nullptr) cpu.tlb->reset();
    cpu.walking = nullptr;
    cpu.state = "idle";
  }
  walker_.reset();
  hits = 0;
  refills = 0;
  flushes = 0;
}

}  // namespace secmmu
