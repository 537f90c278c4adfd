#include "models/devices/gru/hardware.hpp"

#include <algorithm>

#include "models/devices/events.hpp"

namespace secmmu {

const ParameterTable<GruConfig>& gru_table() {
  static const char* kModel = "order of magnitude; the driver's comments call a purge a few microseconds";
  static const ParameterTable<GruConfig> table =
      ParameterTable<GruConfig>("gru")
          .integer("contexts", &GruConfig::contexts, 1, 64, "Hardware contexts.", "16 per chiplet")
          .integer("tlb_entries", &GruConfig::tlb_entries, 1, 1 << 20, "Translations that the TLB holds.",
                   "not public; 1024 sets of 4 ways fit the handle's index and way fields")
          .integer("tlb_ways", &GruConfig::tlb_ways, 1, 64, "Ways of a set.", "as above")
          .integer("purge_limit", &GruConfig::purge_limit, 1, 1 << 20,
                   "Pages of the longest purge; a purge of that many drops everything of the address space.",
                   "GRUMAXINVAL")
          .integer("asids", &GruConfig::asids, 2, 2097150,
                   "ASIDs until they wrap and the whole TLB is flushed.", "24 bits in steps of 8")
          .integer("interrupt_cpu", &GruConfig::interrupt_cpu, 0, 63, "The core that takes the miss interrupt.")
          .duration("hit", &GruConfig::hit, "An access whose translation is in the TLB.", kModel)
          .duration("miss_detect", &GruConfig::miss_detect, "From the access to the raising of the interrupt.", kModel)
          .duration("interrupt_latency", &GruConfig::interrupt_latency, "From raising to the core.", kModel)
          .duration("fault_handle_read", &GruConfig::fault_handle_read, "Reading a fault handle over the bus.", kModel)
          .duration("drop_in", &GruConfig::drop_in, "Writing a translation and restarting the instruction.", kModel)
          .duration("purge", &GruConfig::purge, "A purge, however many pages.", kModel)
          .duration("notice", &GruConfig::notice,
                    "Until a polling user thread sees that its control block wants the OS.", kModel);
  return table;
}

GruHardware::GruHardware(const sc_core::sc_module_name& name, Arbiter& arbiter, const GruConfig& config)
    : sc_module(name),
      port("port"),
      arbiter_(arbiter),
      config_(config),
      label_(basename()),
      object_(static_cast<std::uint32_t>(arbiter.new_object_id())),
      tlb_(TlbConfig{config.tlb_entries, config.tlb_ways}),
      contexts_(config.contexts) {
  // The pointers in the entries die; so do the entries, and the next access misses.
  port.on_revoked([this] {
    for (TlbEntry& entry : tlb_.entries())
      if (entry.valid()) drop(entry, "revoked");
  });
}

GruOwner GruHardware::owner_of(std::uint32_t asid) const {
  const auto it = owners_.find(asid);
  return it == owners_.end() ? GruOwner{} : it->second;
}

void GruHardware::set_state(unsigned context, std::string_view state) {
  if (contexts_[context].state == state) return;
  contexts_[context].state = state;
  arbiter_.bus().emit(DeviceState{label_, context, state});
}

void GruHardware::marked(const TlbEntry& entry, VirtAddr address, unsigned bytes, bool write, std::uint64_t value) {
  if (!write) move(entry.bytes + address.offset(), bytes, false, value);
  const GruOwner owner = owner_of(entry.asid);
  tell_marked(arbiter_.bus(), {label_, owner.mm, owner.mm_id, address, entry.frame, write, value, &entry.ghost});
}

void GruHardware::drop(TlbEntry& entry, std::string_view why) {
  const GruOwner owner = owner_of(entry.asid);
  arbiter_.bus().emit(DeviceDrop{label_, owner.mm, owner.mm_id, entry.page, entry.frame, &entry.ghost, why});
  Tlb::drop(entry);
}

void GruHardware::drop_in(Context& context, Pfn frame, bool writable) {
  FaultHandle& fault = context.fault;
  const std::uint64_t id = fault.id;
  arbiter_.step(config_.drop_in, writes(ObjectKind::device_entry, object_, fault.page.value));
  ++drop_ins;
  if (fault.id != id) {  // the instruction was ended meanwhile, and another one has missed
    ++drop_ins_defeated;
    return;
  }
  const bool defeated = fault.purged && purge_defeats_drop_in;
  std::uint8_t* bytes = port.grant(frame);
  if (defeated) {
    ++drop_ins_defeated;
  } else if (bytes != nullptr) {
    TlbEntry* slot = tlb_.find(fault.asid, fault.page);
    if (slot == nullptr) slot = &tlb_.victim(fault.asid, fault.page);
    if (slot->valid()) drop(*slot, slot->page == fault.page && slot->asid == fault.asid ? "replace" : "evict");
    tlb_.fill(*slot, fault.asid, fault.page, frame, writable, writable, bytes);
    const GruOwner owner = owner_of(fault.asid);
    arbiter_.bus().emit(DeviceFill{label_, owner.mm, owner.mm_id, fault.page, frame, writable, &slot->ghost});
  }
  fault.state = Fault::idle;
  fault.read = false;
}

void GruHardware::purge(std::uint32_t asid, PageRange pages) {
  const std::uint64_t id = ++purges;
  const GruOwner owner = owner_of(asid);
  arbiter_.bus().emit(DevicePurgeBegin{label_, owner.mm, owner.mm_id, id, pages});
  arbiter_.step(config_.purge, writes(ObjectKind::device_entry, object_));
  purge_at_once(asid, pages);
  arbiter_.bus().emit(DevicePurgeEnd{label_, owner.mm, owner.mm_id, id});
}

void GruHardware::purge_at_once(std::uint32_t asid, PageRange pages) {
  const bool everything = pages.pages() >= config_.purge_limit && full_purge_at_limit;
  for (Context& context : contexts_) {
    FaultHandle& fault = context.fault;
    if (fault.state != Fault::idle && fault.asid == asid && (everything || pages.contains(fault.page)))
      fault.purged = true;
  }
  const PageRange reach = everything ? kWholeSpace : pages;
  tlb_.for_each(asid, reach, [this](TlbEntry& entry) { drop(entry, "purge"); });
}

void GruHardware::purge_everything() {
  arbiter_.step(config_.purge, writes(ObjectKind::device_entry, object_));
  ++purges;
  for (Context& context : contexts_)
    if (context.fault.state != Fault::idle) context.fault.purged = true;
  for (TlbEntry& entry : tlb_.entries())
    if (entry.valid()) drop(entry, "purge");
}

// The real TLB keeps such entries until they are replaced; as nothing can look them up, taking them out
// here changes only which entry a later fill replaces.
void GruHardware::retire(std::uint32_t asid) {
  tlb_.for_each(asid, kWholeSpace, [this](TlbEntry& entry) { drop(entry, "retire"); });
}

void GruHardware::reset() {
  tlb_.reset();
  std::fill(contexts_.begin(), contexts_.end(), Context{});
  owners_.clear();
  hits = 0;
  drop_ins = 0;
  drop_ins_defeated = 0;
  purges = 0;
}

}  // namespace secmmu
