// The hardware of an HMM mirror, as a GPU has it: engine contexts that read and write by virtual addresses of a
// process, and for each process a page table of the device's own, which the driver fills and which nobody else can
// see. No table of the CPU is ever walked. An access that finds no entry, or none that allows it, stops its context.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "models/memory/memory_port.hpp"
#include "notifier/substrate/arbiter.hpp"
#include "notifier/substrate/parameter.hpp"
#include "notifier/substrate/trace/ghost.hpp"

namespace secmmu {

struct HmmConfig {
  std::uint64_t contexts = 16;
  std::uint64_t fault_pages = 1;    // pages of the aligned block that a fault asks for
  Time hit{5'000};                  // an access whose entry is in the device's caches, pipelined
  Time report{1'000'000};           // from the miss to the driver's being at work on it
  Time dma_map{100'000};            // making a page reachable for the device, between the walk and the driver's lock
  Time entry_write{50'000};         // writing an entry of the device's page table
  Time flush{1'500'000};            // dropping entries: the flush of the device's caches and its acknowledgement
  Time timeout{1'000'000'000'000};  // a fault that began again for so long is given up
};
const ParameterTable<HmmConfig>& hmm_table();

// The device's page table of one process. Entries are 4 KiB. They lie still while they are valid.
class HmmPageTable {
 public:
  struct Entry {
    std::uint8_t* bytes = nullptr;  // of the frame; nullptr: no entry
    Pfn frame = kNoPfn;
    bool writable = false;
    Ghost ghost;
    bool valid() const { return bytes != nullptr; }
  };

  HmmPageTable(std::string mm_name, std::uint32_t mm_number) : mm(std::move(mm_name)), mm_id(mm_number) {}

  // Whose pages they are; only for traces.
  const std::string mm;
  const std::uint32_t mm_id;

  // nullptr: none.
  Entry* find(Vpn page) {
    const std::uint64_t region = page.value / kRegion;
    if (region != cached_region_ && !look_up(region)) return nullptr;
    Entry& entry = (*cached_)[page.value % kRegion];
    return entry.valid() ? &entry : nullptr;
  }
  Entry& slot(Vpn page);  // valid or not
  // Calls visit(page, entry) for every valid entry of the range, ascending; skips what was never filled.
  template <class Visit>
  void for_each(PageRange range, const Visit& visit);

 private:
  static constexpr std::uint64_t kRegion = 512;
  using Region = std::array<Entry, kRegion>;
  bool look_up(std::uint64_t region);

  std::map<std::uint64_t, std::unique_ptr<Region>> regions_;
  std::uint64_t cached_region_ = UINT64_MAX;
  Region* cached_ = nullptr;
};

class HmmHardware : public sc_core::sc_module {
 public:
  HmmHardware(const sc_core::sc_module_name& name, Arbiter& arbiter, const HmmConfig& config);

  MemoryPort port;

  unsigned contexts() const { return static_cast<unsigned>(states_.size()); }
  HmmPageTable& add_table(std::string mm, std::uint32_t mm_id);

  // --- engine side ---
  // One access: true if an entry was there and allowed it. A point.
  bool access(HmmPageTable& table, VirtAddr address, unsigned bytes, bool write, std::uint64_t& value) {
    arbiter_.step(config_.hit, {ObjectKind::device_entry, false, object_, address.page().value});
    HmmPageTable::Entry* const entry = table.find(address.page());
    if (entry == nullptr || (write && !entry->writable)) [[unlikely]]
      return false;
    move(*entry, address, bytes, write, value);
    if (entry->ghost.word != 0) [[unlikely]]
      marked(table, *entry, address, write, value);
    ++hits;
    return true;
  }
  void set_state(unsigned context, std::string_view state);

  // --- driver side; every call is a point ---
  void enter(HmmPageTable& table, Vpn page, Pfn frame, bool writable);
  // When it returns nothing of these pages is in the table, nor in any cache of the device.
  void drop(HmmPageTable& table, PageRange pages);

  std::uint64_t valid_entries() const { return valid_; }
  std::uint32_t object() const { return object_; }
  std::uint64_t hits = 0;
  std::uint64_t entered = 0;
  std::uint64_t dropped = 0;
  void reset();

 private:
  static void move(HmmPageTable::Entry& entry, VirtAddr address, unsigned bytes, bool write, std::uint64_t& value);
  void marked(const HmmPageTable& table, const HmmPageTable::Entry& entry, VirtAddr address, bool write,
              std::uint64_t value);
  void take_out(const HmmPageTable& table, Vpn page, HmmPageTable::Entry& entry, std::string_view why);

  Arbiter& arbiter_;
  const HmmConfig& config_;
  std::string label_;
  std::uint32_t object_;
  std::vector<std::string_view> states_;  // of the contexts
  std::vector<std::unique_ptr<HmmPageTable>> tables_;
  std::uint64_t valid_ = 0;
  std::uint64_t drops_ = 0;
};

template <class Visit>
void HmmPageTable::for_each(PageRange range, const Visit& visit) {
  if (range.empty()) return;
  for (auto it = regions_.lower_bound(range.first.value / kRegion); it != regions_.end(); ++it) {
    const std::uint64_t first = it->first * kRegion;
    if (first >= range.end.value) return;
    const std::uint64_t from = first < range.first.value ? range.first.value - first : 0;
    const std::uint64_t to = range.end.value - first < kRegion ? range.end.value - first : kRegion;
    for (std::uint64_t i = from; i < to; ++i)
      if (Entry& entry = (*it->second)[i]; entry.valid()) visit(Vpn{first + i}, entry);
  }
}

}  // namespace secmmu
