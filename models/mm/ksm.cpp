// ksmd's passes. The trees of Linux are lists here: what is looked for in them, and in which order it is found, is the
// same.
#include "models/mm/ksm.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "models/mm/entries.hpp"
#include "models/mm/gather.hpp"
#include "models/mm/huge.hpp"
#include "models/mm/migrate.hpp"
#include "models/mm/swap.hpp"

namespace secmmu {

namespace {

constexpr unsigned kMostPasses = 32;  // pages that are written all the time are never merged

bool merged_page(const MmSystem& system, Pte entry) {
  return entry.maps() && system.memory.frame(entry.frame()).use == FrameUse::merged;
}

bool ends(Mm& mm) { return mm.torn_down || mm.users().value() == 0; }

// KSM may work in the VMA of the page.
bool may_merge(Mm& mm, Vpn page) {
  const VmaAttributes attributes = mm.vma_at(page).attributes;
  return !ends(mm) && attributes.mergeable && attributes.anon_vma != 0;
}

std::uint64_t checksum_of(MmSystem& system, Pfn frame) {
  system.arbiter.step(system.memory.costs.copy_page, reads(ObjectKind::frame_bytes, 0, frame.value));
  std::uint64_t sum = 0xcbf29ce484222325ULL;
  const std::uint8_t* bytes = system.memory.bytes(frame);
  for (std::uint64_t at = 0; at < kPageSize; at += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes + at, 8);
    sum = (sum ^ word) * 0x100000001b3ULL;
    sum ^= sum >> 29;
  }
  return sum;
}

bool equal(MmSystem& system, Pfn left, Pfn right) {
  return std::memcmp(system.memory.bytes(left), system.memory.bytes(right), kPageSize) == 0;
}

// The entry without its rights to write, and clean: what others will share.
Pte for_all(Pte entry) { return without(entry, Pte::kWritable | Pte::kDirty | kExclusive); }
Pte entry_of_merged(Pfn frame, const Rights& rights) {
  const Pte entry = entry_for(frame, rights, false);
  return rights.none() ? with(without(entry, Pte::kPresent), Pte::kProtNone) : entry;
}

// Announced as copy-on-write is, but with the whole end, for nobody is told under the lock that the CPUs' tables have
// changed (v4.15 on): the content is the same.
class Announced {
 public:
  Announced(Mm& mm, Vpn page)
      : mm_(mm),
        announces_(mm.system.behaviour.cow_notify == "start-end"),
        range_{&mm, one_page(page), InvalidateEvent::clear} {
    if (announces_) mm.system.notifier.invalidate_range_start(range_);
  }
  void end() {
    if (announces_) mm_.system.notifier.invalidate_range_end(range_);
  }

 private:
  Mm& mm_;
  bool announces_;
  InvalidateRange range_;
};

// page_table_lock is held: the entry, whose place was cleared and flushed, becomes another one that does not allow
// writing.
void set_read_only(Mm& mm, Vpn page, Pte fresh) {
  NotifierCore& notifier = mm.system.notifier;
  const bool tells = notifier.behaviour().change_pte;
  const bool first = mm.system.behaviour.change_pte_first;
  if (tells && first) notifier.change_pte(mm, page, fresh.frame(), false);
  announce_write(mm, page);
  store(mm, page, Pte{}, fresh, "merge");
  if (tells && !first) notifier.change_pte(mm, page, fresh.frame(), false);
}
void clear_and_flush(Mm& mm, Vpn page, Pte old) {
  store(mm, page, old, Pte{}, "merge");
  if (mm.system.behaviour.clean_notify == "start-end")
    flush_tlbs(mm, one_page(page));
  else
    flush_tlbs_and_tell(mm, one_page(page));
}

// Rule: the entry is gone and flushed before the references are counted, so that nobody can take one unseen meanwhile;
// who holds the page might be writing to it. `protected_as`: the entry that is there then.
bool write_protect(Mm& mm, Vpn page, Pfn frame, Pte& protected_as) {
  PhysicalMemory& memory = mm.system.memory;
  Announced announced(mm, page);
  bool done = false;
  mm.page_table_lock.lock();
  announce_write(mm, page);
  Pte entry = mm.table.read(page);
  if (entry.maps() && !entry.huge() && entry.frame() == frame) {
    done = true;
    if (entry.writable() || entry.dirty() || exclusive(entry) || mm.pending_gathers != 0) {
      const Pte old = entry;
      clear_and_flush(mm, page, old);
      Frame& state = memory.frame(frame);
      done = memory.references(frame) == memory.mappings(frame) + 1 + (state.slot != kNoSlot ? 1 : 0);
      if (done) {
        entry = for_all(old);
        state.dirty |= old.dirty();
        set_read_only(mm, page, entry);
      } else {
        announce_write(mm, page);
        store(mm, page, Pte{}, old, "merge");
      }
    }
  }
  protected_as = entry;
  mm.page_table_lock.unlock();
  announced.end();
  return done;
}

// The merged page takes the place of an equal one.
bool replace(Mm& mm, Vpn page, Pte expected, Pfn merged) {
  MmSystem& system = mm.system;
  Announced announced(mm, page);
  mm.page_table_lock.lock();
  announce_write(mm, page);
  const bool same = mm.table.read(page) == expected;
  if (same) {
    const Pfn old = expected.frame();
    system.memory.get(merged);
    ++system.memory.frame(merged).mappings;
    clear_and_flush(mm, page, expected);
    set_read_only(mm, page, entry_of_merged(merged, mm.vma_at(page).attributes.rights));
    ++mm.counters.merged;
    --system.memory.frame(old).mappings;
    forget_in_swap_cache(system, old);
    system.memory.put(old);  // who merges has its own
  }
  mm.page_table_lock.unlock();
  announced.end();
  return same;
}

// Gives the place of an isolated page to a merged one, or makes it a merged one itself (`merged`: kNoPfn).
bool merge_isolated(Mm& mm, Vpn page, Pfn frame, Pfn merged) {
  MmSystem& system = mm.system;
  Frame& state = system.memory.frame(frame);
  Pte entry;
  if (!write_protect(mm, page, frame, entry)) return false;
  if (merged != kNoPfn) return equal(system, frame, merged) && replace(mm, page, entry, merged);
  state.use = FrameUse::merged;
  state.mapping = 0;
  state.lazy_free = false;
  state.dirty = true;  // reclaim must write it, whatever the entries say
  ++mm.counters.merged;
  return true;
}

// Rule: nobody takes the page over, moves or reclaims it meanwhile; who does so already goes first. mmap_lock is held.
bool merge_one(Mm& mm, Vpn page, Pfn frame, Pfn merged) {
  MmSystem& system = mm.system;
  if (frame == merged) return true;  // a fork brought it here
  Frame& state = system.memory.frame(frame);
  if (state.use != FrameUse::anonymous && state.use != FrameUse::merged) return false;
  if (state.folio && !split_huge_page(system, frame)) return false;
  if (std::exchange(state.isolated, true)) return false;
  const bool done = merge_isolated(mm, page, frame, merged);
  state.isolated = false;
  return done;
}

class Pass {
 public:
  explicit Pass(MmSystem& system) : system_(system), ksm_(system.ksm) {}

  // True: something was learned, or merged.
  bool go() {
    ksm_.unstable.clear();
    for (std::size_t i = 0; i < ksm_.spaces.size();)
      i = !ends(*ksm_.spaces[i]) && look_through(*ksm_.spaces[i]) ? i + 1 : drop_space(i);
    return changed_;
  }
  std::uint64_t merged() const { return merged_; }

 private:
  // False: nothing there may be merged any more.
  bool look_through(Mm& mm) {
    bool any = false;
    mm.count().get();
    for (Vpn at{0}; at < kWholeSpace.end;) {
      Pfn frame = kNoPfn;
      const Vpn page = next_page(mm, at, frame, any);
      forget_items(mm, {at, page});
      if (frame == kNoPfn) break;
      compare_and_merge(mm, page, frame);
      system_.memory.put(frame);
      at = page + 1;
    }
    mm.drop_count();
    return any;
  }

  std::size_t drop_space(std::size_t number) {
    forget_items(*ksm_.spaces[number], kWholeSpace);
    ksm_.spaces.erase(ksm_.spaces.begin() + static_cast<std::ptrdiff_t>(number));
    return number;
  }

  // The next page that may be merged, with a reference; kNoPfn, and the end of everything: there is none.
  Vpn next_page(Mm& mm, Vpn at, Pfn& frame, bool& any) {
    Vpn found = kWholeSpace.end;
    lock_for_reading(mm);
    for (const Vma& piece : ends(mm) ? VmaList{} : mm.vmas_in(kWholeSpace)) {
      if (!may_merge(mm, piece.pages.first)) continue;
      any = true;
      for (const Part& part : populated_parts(mm, {std::max(at, piece.pages.first), piece.pages.end})) {
        for (Vpn page = part.pages.first; frame == kNoPfn && page < part.pages.end; page = page + 1) {
          if (mm.table.read(page).none()) continue;
          announce_read(mm, page);
          const Pte entry = mm.table.read(page);
          if (!entry.maps()) continue;
          const FrameUse use = system_.memory.frame(entry.frame()).use;
          if (use != FrameUse::anonymous && use != FrameUse::merged) continue;
          frame = entry.frame();
          system_.memory.get(frame);
          found = page;
        }
        if (frame != kNoPfn) break;
      }
      if (frame != kNoPfn) break;
    }
    unlock_for_reading(mm);
    return found;
  }

  // Places that the walk has passed over hold no page any more.
  void forget_items(Mm& mm, PageRange pages) {
    auto& items = ksm_.items[&mm];
    for (auto it = items.lower_bound(pages.first); it != items.end() && it->first < pages.end; it = items.erase(it))
      leave_node(mm, it->first, it->second);
  }

  void leave_node(Mm& mm, Vpn page, Ksm::Item& item) {
    const auto node = ksm_.nodes.find(std::exchange(item.node, 0));
    if (node == ksm_.nodes.end()) return;
    std::erase_if(node->second.places, [&](const Ksm::Place& place) { return place.mm == &mm && place.page == page; });
  }

  bool alive(std::uint64_t number, const Ksm::Node& node) const {
    const Frame& frame = system_.memory.frame(node.frame);
    return frame.use == FrameUse::merged && frame.mapping == number;
  }

  // The merged page with this content, with a reference. Those that are gone are forgotten on the way.
  std::uint64_t find_merged(Pfn frame) {
    system_.arbiter.step(system_.memory.costs.copy_page, reads(ObjectKind::frame_bytes, 0, frame.value));
    for (auto it = ksm_.nodes.begin(); it != ksm_.nodes.end();) {
      if (!alive(it->first, it->second)) {
        for (const Ksm::Place& place : it->second.places)
          if (const auto item = ksm_.items[place.mm].find(place.page); item != ksm_.items[place.mm].end())
            item->second.node = 0;
        it = ksm_.nodes.erase(it);
        continue;
      }
      if (it->second.frame == frame || equal(system_, it->second.frame, frame)) {
        system_.memory.get(it->second.frame);
        return it->first;
      }
      ++it;
    }
    return 0;
  }

  // Under the mmap_lock of the address space. True: the place has the merged page now.
  bool merge_with(Mm& mm, Vpn page, Pfn frame, Pfn merged) {
    lock_for_reading(mm);
    const bool done = may_merge(mm, page) && merge_one(mm, page, frame, merged);
    if (done) {
      Ksm::Item& item = ksm_.items[&mm][page];
      leave_node(mm, page, item);
      item.family = mm.vma_at(page).attributes.anon_vma;
    }
    unlock_for_reading(mm);
    changed_ |= done;
    merged_ += done ? 1 : 0;
    return done;
  }

  void join_node(std::uint64_t number, Mm& mm, Vpn page) {
    Ksm::Item& item = ksm_.items[&mm][page];
    item.node = number;
    ksm_.nodes[number].places.push_back({&mm, page, item.family});
  }

  // Rule: what is merged already is looked for first. A page is only compared with those not merged yet if it has not
  // changed since the last pass. Of two equal ones the second to be found becomes the merged page.
  void compare_and_merge(Mm& mm, Vpn page, Pfn frame) {
    Ksm::Item& item = ksm_.items[&mm][page];
    const Frame& state = system_.memory.frame(frame);
    if (state.use == FrameUse::merged && state.mapping != 0 && item.node == state.mapping) return;
    const std::uint64_t number = find_merged(frame);
    leave_node(mm, page, item);
    if (number != 0) {
      const Pfn merged = ksm_.nodes[number].frame;
      if (merge_with(mm, page, frame, merged)) join_node(number, mm, page);
      system_.memory.put(merged);
      return;
    }
    const std::uint64_t checksum = checksum_of(system_, frame);
    if (item.checksum != checksum) {
      item.checksum = checksum;
      changed_ = true;
      return;
    }
    Pfn other = kNoPfn;
    const std::optional<Ksm::Key> equal_one = find_equal(mm, page, frame, other);
    if (!equal_one) return;
    merge_two(mm, page, frame, *equal_one, other);
  }

  // Looks among the pages of this pass; the page joins them if it has no equal there. `other`: with a reference.
  std::optional<Ksm::Key> find_equal(Mm& mm, Vpn page, Pfn frame, Pfn& other) {
    for (const Ksm::Key& key : std::vector<Ksm::Key>(ksm_.unstable)) {
      if (ends(*key.first)) continue;
      lock_for_reading(*key.first);
      announce_read(*key.first, key.second);
      const Pte entry = ends(*key.first) ? Pte{} : key.first->table.read(key.second);
      const bool usable =
          may_merge(*key.first, key.second) && entry.maps() && entry.frame() != frame &&
          (system_.memory.frame(entry.frame()).use == FrameUse::anonymous || merged_page(system_, entry));
      if (usable) other = entry.frame();
      if (usable) system_.memory.get(other);
      unlock_for_reading(*key.first);
      if (!usable) continue;
      if (equal(system_, other, frame)) return key;
      system_.memory.put(other);
      other = kNoPfn;
    }
    ksm_.unstable.emplace_back(&mm, page);
    return {};
  }

  // Gives the reference of `other` up.
  void merge_two(Mm& mm, Vpn page, Pfn frame, const Ksm::Key& key, Pfn other) {
    const auto [other_mm, other_page] = key;
    const bool first = merge_with(mm, page, frame, kNoPfn);
    const bool both = first && merge_with(*other_mm, other_page, other, frame);
    if (first && !both) break_merged(mm, page);
    const PhysicalMemory& memory = system_.memory;
    const bool of_one_folio = !both && memory.frame(frame).folio && memory.head(frame) == memory.head(other);
    system_.memory.put(other);
    if (of_one_folio) split_huge_page(system_, frame);
    if (!both) return;
    const std::uint64_t number = ++ksm_.last_number;
    ksm_.nodes[number].frame = frame;
    system_.memory.frame(frame).mapping = number;
    std::erase(ksm_.unstable, key);
    join_node(number, *other_mm, other_page);
    join_node(number, mm, page);
  }

  void break_merged(Mm& mm, Vpn page) {
    lock_for_reading(mm);
    if (may_merge(mm, page)) unmerge(mm, one_page(page));
    unlock_for_reading(mm);
  }

  MmSystem& system_;
  Ksm& ksm_;
  bool changed_ = false;
  std::uint64_t merged_ = 0;
};

}  // namespace

std::uint64_t ksmd_run(MmSystem& system) {
  require(system.behaviour.ksm, "KSM");
  std::uint64_t merged = 0;
  system.ksm_mutex.lock();
  for (unsigned number = 0; number < kMostPasses; ++number) {
    Pass pass(system);
    const bool changed = pass.go();
    merged += pass.merged();
    if (!changed) break;
  }
  system.ksm_mutex.unlock();
  return merged;
}

// Rule: by the write fault of a process that may have no right to write: the copy has no more rights than its VMA.
Errno unmerge(Mm& mm, PageRange range) {
  for (const PageRange table : populated_tables(mm, range))
    for (const Vpn page : populated_pages(mm, table))
      for (;;) {
        announce_read(mm, page);
        const Pte entry = mm.table.read(page);
        if (entry.migration()) {
          wait_for_migration(mm, page, entry);
          continue;
        }
        if (!merged_page(mm.system, entry)) break;
        std::string_view how;
        if (write_fault(mm, mm.vma_at(page), page, entry, how) == FaultResult::out_of_memory) return Errno::enomem;
      }
  return Errno::ok;
}

Errno madvise_merge(Mm& mm, PageRange range, bool mergeable) {
  require(mm.system.behaviour.ksm, "MADV_MERGEABLE");
  return system_call(mm, "madvise", range, [&] {
    if (!is_user_range(range)) return Errno::einval;
    lock_for_writing(mm);
    mm.system.arbiter.step(mm.system.costs.vma_work);
    std::uint64_t mapped = 0;
    Errno answer = Errno::ok;
    for (const Vma& piece : mm.vmas_in(range)) {
      mapped += piece.pages.pages();
      if (piece.attributes.shared || piece.attributes.mergeable == mergeable) continue;
      if (!mergeable) answer = unmerge(mm, piece.pages);
      if (answer != Errno::ok) break;
      auto& spaces = mm.system.ksm.spaces;
      if (mergeable && std::ranges::find(spaces, &mm) == spaces.end()) spaces.push_back(&mm);
      VmaAttributes attributes = piece.attributes;
      attributes.mergeable = mergeable;
      change_vma(mm, piece.pages, attributes);
    }
    unlock_for_writing(mm);
    return answer != Errno::ok || mapped == range.pages() ? answer : Errno::enomem;
  });
}

void merge_before_exit(Mm& mm) {
  const auto& spaces = mm.system.ksm.spaces;
  if (std::ranges::find(spaces, &mm) == spaces.end()) return;
  lock_for_writing(mm);  // waits until ksmd does nothing there; it begins nothing more, for there is no user left
  unlock_for_writing(mm);
}

void merge_after_fork(const Mm& parent, Mm& child) {
  auto& spaces = child.system.ksm.spaces;
  if (std::ranges::find(spaces, &parent) != spaces.end()) spaces.push_back(&child);
}

void move_merged(MmSystem& system, Pfn from, Pfn to) {
  const std::uint64_t number = system.memory.frame(from).mapping;
  if (const auto node = system.ksm.nodes.find(number); node != system.ksm.nodes.end()) node->second.frame = to;
}

}  // namespace secmmu
