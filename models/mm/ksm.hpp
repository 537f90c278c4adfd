// KSM: pages of equal content become one, read-only, for all who have them. A thread (ksmd) looks through the memory
// that its owners gave free for it (MADV_MERGEABLE); whoever writes gets a copy of its own again.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "notifier/substrate/address.hpp"
#include "notifier/substrate/errno.hpp"

namespace secmmu {

class Mm;
class MmSystem;

// What ksmd remembers from pass to pass. Like Linux it knows places, not pages: an address of an address space.
struct Ksm {
  struct Place {
    Mm* mm = nullptr;
    Vpn page{};
    std::uint64_t family = 0;  // the anon_vma of its VMA when it was merged: who has it may map the page there, too
  };
  // A merged page. Holds no reference: it goes with its last mapping, and is found stale later.
  struct Node {
    Pfn frame = kNoPfn;
    std::vector<Place> places;  // in order of their coming
  };
  struct Item {
    std::optional<std::uint64_t> checksum;  // of the pass before
    std::uint64_t node = 0;                 // the merged page that the place belongs to; 0: none
    std::uint64_t family = 0;
  };
  using Key = std::pair<Mm*, Vpn>;

  std::vector<Mm*> spaces;  // in order of their coming
  std::map<Mm*, std::map<Vpn, Item>> items;
  std::map<std::uint64_t, Node> nodes;  // the stable tree, by number
  std::vector<Key> unstable;            // of this pass: pages that nobody has an equal of yet
  std::uint64_t last_number = 0;

  void reset() { *this = {}; }
};

// MADV_MERGEABLE and MADV_UNMERGEABLE (2.6.32 on). The second makes every merged page of the range the process's own
// again, by copying. Memory that is shared is passed over. ENOMEM: a part is not mapped, or no frame was free for a
// copy. Takes mmap_lock for writing; may sleep.
Errno madvise_merge(Mm& mm, PageRange range, bool mergeable);
// ksmd goes through all memory that may be merged until a pass changes nothing. Takes the mmap_lock of each address
// space, for reading; may sleep. How many entries got a merged page.
std::uint64_t ksmd_run(MmSystem& system);

// --- for other operations; mmap_lock is held ---

// Every merged page of the range becomes this process's own. ENOMEM
Errno unmerge(Mm& mm, PageRange range);
// The address space has lost its last user: ksmd lets go of it. No lock is held; may sleep.
void merge_before_exit(Mm& mm);
// fork: the child's memory is looked at, too, if the parent's is.
void merge_after_fork(const Mm& parent, Mm& child);
// The page that was merged has come to another frame.
void move_merged(MmSystem& system, Pfn from, Pfn to);

}  // namespace secmmu
