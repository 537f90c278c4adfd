// A set-associative TLB with address-space tags and least-recently-used replacement. Plain data: who
// looks up announces the point and counts the cost.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "notifier/substrate/address.hpp"
#include "notifier/substrate/parameter.hpp"
#include "notifier/substrate/trace/ghost.hpp"

namespace secmmu {

struct TlbConfig {
  std::uint64_t entries = 64;  // all sets together
  std::uint64_t ways = 4;      // entries must be a multiple; sets a power of two
};
const ParameterTable<TlbConfig>& tlb_table();
// What is wrong with the shape, in words; empty if nothing is. Rows know only their own ranges.
std::string tlb_problem(const TlbConfig& config);

struct alignas(64) TlbEntry {      // one line of the host's cache
  std::uint64_t tag = UINT64_MAX;  // vpn and asid mixed; UINT64_MAX: empty
  std::uint8_t* bytes = nullptr;   // DMI grant for the frame; dies with the entry
  std::uint64_t used = 0;          // LRU stamp
  Pfn frame;
  Ghost ghost;
  bool writable = false;
  bool dirty = false;  // the PTE's dirty bit is known to be set: a store needs no walk
  Vpn page;
  std::uint32_t asid = 0;
  bool valid() const { return tag != UINT64_MAX; }
};

class Tlb {
 public:
  // Pages and address spaces from here on are not cached: they have no tag of their own.
  static constexpr unsigned kPageBits = 36;
  static constexpr std::uint32_t kAsidEnd = (1U << (64 - kPageBits)) - 1;

  explicit Tlb(TlbConfig config);  // tlb_problem(config) must be empty

  // The hot path: one set, compared by tag.
  TlbEntry* find(std::uint32_t asid, Vpn page) {
    if (page.value >> kPageBits != 0) [[unlikely]]
      return nullptr;
    const std::uint64_t tag = tag_of(asid, page);
    TlbEntry* entry = &entries_[(page.value & set_mask_) * ways_];
    for (std::uint64_t way = 0; way < ways_; ++way, ++entry)
      if (entry->tag == tag) {
        entry->used = ++clock_;
        return entry;
      }
    return nullptr;
  }
  // The entry to overwrite for this page: the one that holds it already, else an empty way, else the least
  // recently used. The caller reports a valid one as dropped before it overwrites it.
  TlbEntry& victim(std::uint32_t asid, Vpn page);
  void fill(TlbEntry& slot, std::uint32_t asid, Vpn page, Pfn frame, bool writable, bool dirty, std::uint8_t* bytes);
  static void drop(TlbEntry& entry);
  // Calls visit(entry) for every valid entry of the asid that lies in the range; it may drop the entry. Cost:
  // the smaller of the range's pages times ways and all entries.
  template <class Visit>
  void for_each(std::uint32_t asid, PageRange range, Visit visit) {
    if (range.empty()) return;
    if (range.pages() <= sets_) {
      for (Vpn page = range.first; page < range.end; page = page + 1) {
        TlbEntry* entry = &entries_[(page.value & set_mask_) * ways_];
        for (std::uint64_t way = 0; way < ways_; ++way)
          if (entry[way].valid() && entry[way].asid == asid && entry[way].page == page) visit(entry[way]);
      }
      return;
    }
    for (TlbEntry& entry : entries_)
      if (entry.valid() && entry.asid == asid && range.contains(entry.page)) visit(entry);
  }
  std::vector<TlbEntry>& entries() { return entries_; }
  std::uint64_t valid() const;
  void reset();

 private:
  static std::uint64_t tag_of(std::uint32_t asid, Vpn page) {
    return (static_cast<std::uint64_t>(asid) << kPageBits) | page.value;
  }
  std::uint64_t ways_;
  std::uint64_t sets_;
  std::uint64_t set_mask_;
  std::uint64_t clock_ = 0;
  std::vector<TlbEntry> entries_;
};

}  // namespace secmmu
