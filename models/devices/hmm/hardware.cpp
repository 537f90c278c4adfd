#include "models/devices/hmm/hardware.hpp"

#include <cstring>

#include "models/devices/events.hpp"

namespace secmmu {

const ParameterTable<HmmConfig>& hmm_table() {
  static const char* kBus = "a PCIe round trip is about 1 us; order of magnitude";
  static const ParameterTable<HmmConfig> table =
      ParameterTable<HmmConfig>("hmm")
          .integer("contexts", &HmmConfig::contexts, 1, 64, "Engine contexts, each of which runs one program.")
          .integer("fault_pages", &HmmConfig::fault_pages, 1, 512,
                   "Pages of the aligned block that a fault asks for, inside the VMA and the interval.",
                   "64 KiB to 2 MiB are usual in GPU drivers; 1 is the test driver of HMM")
          .duration("hit", &HmmConfig::hit, "An access whose entry is in the device's page table.",
                    "pipelined; order of magnitude")
          .duration("report", &HmmConfig::report, "From a miss to the driver's being at work on it.", kBus)
          .duration("dma_map", &HmmConfig::dma_map,
                    "Making a page reachable for the device, for each page; between the walk and the driver's lock.",
                    "an IOMMU mapping; order of magnitude")
          .duration("entry_write", &HmmConfig::entry_write, "Writing an entry of the device's page table.",
                    "a posted write over the bus; order of magnitude")
          .duration("flush", &HmmConfig::flush,
                    "Dropping a range of entries: the flush of the device's caches and its acknowledgement.", kBus)
          .duration("timeout", &HmmConfig::timeout, "A fault that began again for so long ends with EBUSY.",
                    "HMM_RANGE_DEFAULT_TIMEOUT");
  return table;
}

bool HmmPageTable::look_up(std::uint64_t region) {
  const auto it = regions_.find(region);
  if (it == regions_.end()) return false;
  cached_region_ = region;
  cached_ = it->second.get();
  return true;
}

HmmPageTable::Entry& HmmPageTable::slot(Vpn page) {
  const std::uint64_t region = page.value / kRegion;
  if (region != cached_region_ && !look_up(region)) {
    regions_[region] = std::make_unique<Region>();
    look_up(region);
  }
  return (*cached_)[page.value % kRegion];
}

HmmHardware::HmmHardware(const sc_core::sc_module_name& name, Arbiter& arbiter, const HmmConfig& config)
    : sc_module(name),
      port("port"),
      arbiter_(arbiter),
      config_(config),
      label_(basename()),
      object_(static_cast<std::uint32_t>(arbiter.new_object_id())),
      states_(config.contexts, "idle") {
  // The pointers in the entries die; so do the entries, and the next access misses.
  port.on_revoked([this] {
    for (const auto& table : tables_)
      table->for_each(kWholeSpace,
                      [&](Vpn page, HmmPageTable::Entry& entry) { take_out(*table, page, entry, "revoked"); });
  });
}

HmmPageTable& HmmHardware::add_table(std::string mm, std::uint32_t mm_id) {
  return *tables_.emplace_back(std::make_unique<HmmPageTable>(std::move(mm), mm_id));
}

void HmmHardware::set_state(unsigned context, std::string_view state) {
  if (states_[context] == state) return;
  states_[context] = state;
  arbiter_.bus().emit(DeviceState{label_, context, state});
}

void HmmHardware::move(HmmPageTable::Entry& entry, VirtAddr address, unsigned bytes, bool write, std::uint64_t& value) {
  std::uint8_t* const at = entry.bytes + address.offset();
  if (write) {
    std::memcpy(at, &value, bytes);
  } else {
    value = 0;
    std::memcpy(&value, at, bytes);
  }
}

void HmmHardware::marked(const HmmPageTable& table, const HmmPageTable::Entry& entry, VirtAddr address, bool write,
                         std::uint64_t value) {
  tell_marked(arbiter_.bus(), {label_, table.mm, table.mm_id, address, entry.frame, write, value, &entry.ghost});
}

void HmmHardware::take_out(const HmmPageTable& table, Vpn page, HmmPageTable::Entry& entry, std::string_view why) {
  arbiter_.bus().emit(DeviceDrop{label_, table.mm, table.mm_id, page, entry.frame, &entry.ghost, why});
  entry = {};
  --valid_;
  ++dropped;
}

void HmmHardware::enter(HmmPageTable& table, Vpn page, Pfn frame, bool writable) {
  arbiter_.step(config_.entry_write, writes(ObjectKind::device_entry, object_, page.value));
  std::uint8_t* const bytes = port.grant(frame);
  if (bytes == nullptr) return;
  HmmPageTable::Entry& entry = table.slot(page);
  if (entry.valid()) take_out(table, page, entry, "replace");
  entry.bytes = bytes;
  entry.frame = frame;
  entry.writable = writable;
  ++valid_;
  ++entered;
  arbiter_.bus().emit(DeviceFill{label_, table.mm, table.mm_id, page, frame, writable, &entry.ghost});
}

void HmmHardware::drop(HmmPageTable& table, PageRange pages) {
  const std::uint64_t id = ++drops_;
  arbiter_.bus().emit(DevicePurgeBegin{label_, table.mm, table.mm_id, id, pages});
  arbiter_.step(config_.flush, writes(ObjectKind::device_entry, object_));
  table.for_each(pages, [&](Vpn page, HmmPageTable::Entry& entry) { take_out(table, page, entry, "purge"); });
  arbiter_.bus().emit(DevicePurgeEnd{label_, table.mm, table.mm_id, id});
}

void HmmHardware::reset() {
  tables_.clear();
  states_.assign(states_.size(), "idle");
  valid_ = 0;
  drops_ = 0;
  hits = 0;
  entered = 0;
  dropped = 0;
}

}  // namespace secmmu
