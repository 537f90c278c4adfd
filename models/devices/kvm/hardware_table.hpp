// The table by which guests reach memory (EPT, NPT, or a shadow table where the guest's own tables are out of the
// picture): guest pages on frames, in simulated frames, in the format of models/memory/page_table.hpp. Walkers of
// virtual CPUs read it and set Accessed and Dirty; the driver writes it. It is a place where translations live, so
// it tells of every entry that appears and goes, and each has a ghost word.
//
// An entry may be huge: one of the last level but one, for a block of 512 pages. It is told as so many translations,
// which come and go together; each has its ghost word.
//
// Guest pages are Vpns too: page numbers of the guest's physical memory.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "models/memory/page_table.hpp"
#include "notifier/substrate/arbiter.hpp"
#include "notifier/substrate/trace/ghost.hpp"

namespace secmmu {

class ShadowTable {
 public:
  // Whom it belongs to, for what it tells; `asid` is what TLBs tag its translations with, and no address space's id.
  struct Owner {
    std::string device;
    std::string mm;
    std::uint32_t mm_id = 0;
    std::uint32_t asid = 0;
  };
  struct Leaf {
    Vpn host;  // the page of the process that the guest page stands for
    Ghost ghost;
  };

  ShadowTable(Arbiter& arbiter, PhysicalMemory& memory, MemoryPort& port, Owner owner);

  const Owner& owner() const { return owner_; }
  Pfn root() const { return table_.root(); }
  std::uint64_t entries() const { return leaves_.size(); }

  // The caller announces the point of each of these, and holds the driver's lock.
  Pte read(Vpn guest) { return table_.read(guest); }
  bool ensure(Vpn guest) { return table_.ensure(guest); }  // points; false: no frame free
  // Makes or replaces an entry; its table exists, and no huge entry is in its place.
  void set(Vpn guest, Vpn host, Pte entry);
  // A huge entry over a block in which nothing is mapped, and whose table exists. The table is kept for what comes
  // after it.
  void set_huge(PageRange guest, Vpn host, Pte entry);
  // Takes an entry out at one instant, as an exchange does, so that no Accessed or Dirty is lost: what was there. Of a
  // huge one the whole.
  Pte clear(Vpn guest, std::string_view why);
  // Other bits in the same translation.
  void set_bits(Vpn guest, Pte entry);
  // The guest pages of the range that have an entry, ascending; of a huge one the first. Read at once.
  std::vector<Vpn> mapped(PageRange guest);
  const Leaf* leaf(Vpn guest) const;
  // Frees the tables; nobody walks them any more. Points.
  void free_all();

 private:
  void tell_fill(Vpn guest, Vpn host, Pte entry);
  void tell_drop(std::map<Vpn, Leaf>::iterator leaf, Pfn frame, std::string_view why);

  Arbiter& arbiter_;
  Owner owner_;
  PageTable table_;
  std::map<Vpn, Leaf> leaves_;
};

}  // namespace secmmu
