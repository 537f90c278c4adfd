#include "models/cpu/tlb.hpp"

#include <algorithm>
#include <bit>
#include <cassert>
#include <stdexcept>

#include <fmt/format.h>

namespace secmmu {

const ParameterTable<TlbConfig>& tlb_table() {
  static const char* kSource = "first-level data TLB for 4 KiB pages of Intel's Skylake: 64 entries, 4 ways";
  static const ParameterTable<TlbConfig> table =
      ParameterTable<TlbConfig>("tlb")
          .integer("entries", &TlbConfig::entries, 1, 1ULL << 16, "Translations that a TLB holds, all sets together.",
                   kSource)
          .integer("ways", &TlbConfig::ways, 1, 1ULL << 16,
                   "Translations in a set; entries divided by ways, the sets, must be a power of two.", kSource);
  return table;
}

std::string tlb_problem(const TlbConfig& config) {
  if (config.ways == 0 || config.entries == 0 || config.entries % config.ways != 0)
    return fmt::format("{} TLB entries cannot be divided into sets of {}", config.entries, config.ways);
  if (!std::has_single_bit(config.entries / config.ways))
    return fmt::format("{} TLB entries in {} ways make {} sets, which is no power of two", config.entries, config.ways,
                       config.entries / config.ways);
  return {};
}

Tlb::Tlb(TlbConfig config) {
  if (const std::string problem = tlb_problem(config); !problem.empty()) throw std::invalid_argument(problem);
  ways_ = config.ways;
  sets_ = config.entries / config.ways;
  set_mask_ = sets_ - 1;
  entries_.resize(config.entries);
}

TlbEntry& Tlb::victim(std::uint32_t asid, Vpn page) {
  const std::uint64_t tag = tag_of(asid, page);
  TlbEntry* const set = &entries_[(page.value & set_mask_) * ways_];
  TlbEntry* best = nullptr;
  for (TlbEntry* entry = set; entry != set + ways_; ++entry) {
    if (entry->tag == tag) return *entry;
    if (best == nullptr || (best->valid() && (!entry->valid() || entry->used < best->used))) best = entry;
  }
  return *best;
}

void Tlb::fill(TlbEntry& slot, std::uint32_t asid, Vpn page, Pfn frame, bool writable, bool dirty,
               std::uint8_t* bytes) {
  assert(page.value >> kPageBits == 0 && asid < kAsidEnd);
  slot.tag = tag_of(asid, page);
  slot.bytes = bytes;
  slot.ghost.word = 0;
  slot.writable = writable;
  slot.dirty = dirty;
  slot.used = ++clock_;
  slot.page = page;
  slot.frame = frame;
  slot.asid = asid;
}

void Tlb::drop(TlbEntry& entry) { entry = TlbEntry{}; }

std::uint64_t Tlb::valid() const {
  return static_cast<std::uint64_t>(
      std::count_if(entries_.begin(), entries_.end(), [](const TlbEntry& entry) { return entry.valid(); }));
}

void Tlb::reset() {
  std::fill(entries_.begin(), entries_.end(), TlbEntry{});
  clock_ = 0;
}

}  // namespace secmmu
