#include "models/mm/migrate.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "models/mm/gather.hpp"
#include "models/mm/huge.hpp"
#include "models/mm/memory_pressure.hpp"
#include "models/mm/swap.hpp"

namespace secmmu {

namespace {

constexpr unsigned kPasses = 10;      // how often a page is tried that somebody else holds
constexpr unsigned kBatchPasses = 3;  // the first of those, in a batch
constexpr auto kBlock = static_cast<std::int64_t>(kHugeFrames);

bool part_of(const PhysicalMemory& memory, Pfn frame, Pfn head, std::uint64_t frames) {
  return memory.contains(frame) && frame.value - head.value < frames;
}

// What of the mapping changed, for a flush.
void widen(PageRange& hull, PageRange pages) {
  hull = hull.empty() ? pages : PageRange{std::min(hull.first, pages.first), std::max(hull.end, pages.end)};
}

// The huge entry of the mapping. page_table_lock is held.
void take_huge_entry(Mm& mm, Vpn page, Pfn head, PageRange& changed) {
  PhysicalMemory& memory = mm.system.memory;
  if (const Pte seen = mm.table.read_huge(page); !seen.maps() || seen.frame() != head) return;
  const PageRange block = block_of(page);
  announce_write(mm, block.first);
  const Pte entry = mm.table.read_huge(page);
  const Pte fresh = with(migration_entry_for(entry), Pte::kHuge);
  mm.table.write_huge(page, fresh);
  note_change(mm, block, entry, Pte{}, "migrate");
  if (entry.dirty()) note_dirty(mm.system, head);
  mm.counters.resident -= kBlock;
  --memory.frame(head).whole_mappings;
  memory.put(head);  // who moves the page holds another one
  widen(changed, block);
}

void take_small_entries(Mm& mm, PageRange pages, Pfn head, PageRange& changed, std::vector<Vpn>& taken) {
  PhysicalMemory& memory = mm.system.memory;
  const std::uint64_t frames = memory.folio_frames(head);
  for (const Vpn page : populated_pages(mm, pages)) {
    if (const Pte seen = mm.table.read(page); !seen.maps() || !part_of(memory, seen.frame(), head, frames)) continue;
    announce_write(mm, page);
    const Pte entry = mm.table.read(page);
    store(mm, page, entry, migration_entry_for(entry), "migrate");
    if (entry.dirty()) note_dirty(mm.system, entry.frame());
    --mm.counters.resident;
    --memory.frame(entry.frame()).mappings;
    memory.put(entry.frame());  // who moves the page holds another one
    widen(changed, one_page(page));
    taken.push_back(page);
  }
}

// What a page keeps at its new place, but for its content and who holds it.
void hand_over(Frame& from, Frame& to) {
  to.mapping = from.mapping;
  to.index = from.index;
  to.dirty = from.dirty;
  to.idle = from.idle;
  to.young = from.young;
  to.lazy_free = from.lazy_free;
}

// One page, or folio, on its way.
class Journey {
 public:
  Journey(MmSystem& system, Pfn from) : system_(system), memory_(system.memory), from_(from) {}

  Pfn from() const { return from_; }

  // False: there is no room on that node.
  bool find_room(std::optional<unsigned> node) {
    if (to_ != kNoPfn) return true;
    const FrameUse use = memory_.frame(from_).use;
    const unsigned where = node.value_or(memory_.node_of(from_));
    to_ = count() == 1 ? memory_.allocate_on(where, use, "a page that moves")
                       : memory_.allocate_huge_on(where, use, "a huge page that moves");
    return to_ != kNoPfn;
  }

  // Rule: the walk ends as soon as nobody maps the page. False: some entries could not be found.
  bool take_out(FlushWhen flush) {
    for_each_mapping(system_, from_, [&](const Mapping& mapping) {
      if (all_mappings(memory_, from_) == 0) return false;
      take_for_migration(mapping, from_, flush);
      if (flush == FlushWhen::later) to_flush_.push_back(mapping);
      return true;
    });
    return all_mappings(memory_, from_) == 0;
  }
  void flush() {
    for (const Mapping& mapping : to_flush_) flush_tlbs(*mapping.mm, mapping.pages);
    to_flush_.clear();
  }

  // Rule: only if all references are known: the caller's, and that of where the page can be looked up. Who looks it up
  // finds the old page, or the new one with its content.
  bool move() {
    for (std::uint64_t i = 0; i < count(); ++i)
      system_.arbiter.step(memory_.costs.copy_page, reads(ObjectKind::frame_bytes, 0, from_.value + i));
    system_.arbiter.step({}, writes(ObjectKind::frame_bytes, 0, to_.value));
    if (memory_.references(from_) != 1 + known_holders() || all_mappings(memory_, from_) != 0) return false;
    for (std::uint64_t i = 0; i < count(); ++i) move_one({from_.value + i}, {to_.value + i});
    system_.pressure->given_back(to_);
    moved_ = true;
    return true;
  }

  // Rule: every entry that waits is found again, those that a fork has made meanwhile, too. They come back as they
  // were, at the new place or at the old one.
  void end() {
    const Pfn now = moved_ ? to_ : from_;
    for_each_mapping(system_, now, [&](const Mapping& mapping) {
      give_back(mapping, from_, now);
      return true;
    });
    if (to_ != kNoPfn) memory_.put(to_);  // the entries have theirs
    to_ = kNoPfn;
    migration_ended(system_);
  }

 private:
  std::uint64_t count() const { return memory_.folio_frames(from_); }

  std::uint64_t known_holders() const {
    const Frame& page = memory_.frame(from_);
    const SharedObject* object = page.use == FrameUse::shared ? system_.object(page.mapping) : nullptr;
    std::uint64_t holders = object != nullptr && object->holds(page.index, from_) ? 1 : 0;
    for (std::uint64_t i = 0; i < count(); ++i) holders += memory_.frame({from_.value + i}).slot != kNoSlot ? 1 : 0;
    return holders;
  }

  void move_one(Pfn from, Pfn to) {
    std::memcpy(memory_.bytes(to), memory_.bytes(from), kPageSize);
    Frame& old = memory_.frame(from);
    Frame& fresh = memory_.frame(to);
    hand_over(old, fresh);
    SharedObject* object = old.use == FrameUse::shared ? system_.object(old.mapping) : nullptr;
    if (object != nullptr && object->holds(old.index, from)) object->replace(old.index, to);
    if (old.use == FrameUse::merged) move_merged(system_, from, to);
    if (old.slot != kNoSlot) {  // the swap cache's reference
      fresh.slot = std::exchange(old.slot, kNoSlot);
      system_.swap.cache(fresh.slot, to);
      memory_.get(to);
      memory_.put(from);  // never the last one
    }
    old.mapping = 0;
    old.dirty = false;
  }

  MmSystem& system_;
  PhysicalMemory& memory_;
  Pfn from_;
  Pfn to_ = kNoPfn;
  bool moved_ = false;
  std::vector<Mapping> to_flush_;
};

bool may_move(const MmSystem& system, const Frame& page) {
  return page.use != FrameUse::merged || system.behaviour.ksm_migration;
}

Errno move_alone(MmSystem& system, Journey& journey, std::optional<unsigned> node) {
  if (system.memory.references(journey.from()) == 1) return Errno::ok;  // everybody else has let go of it
  if (!journey.find_room(node)) return Errno::enomem;
  const bool moved = journey.take_out(FlushWhen::now) && journey.move();
  journey.end();
  return moved ? Errno::ok : Errno::eagain;
}

// Rule (v6.3 on): all pages out, one flush, then each is copied; who is held by somebody is tried again for a while as
// it is, without its mappings.
void move_batch(MmSystem& system, std::vector<Journey>& all, std::vector<Errno>& answers,
                std::optional<unsigned> node) {
  std::vector<std::size_t> out;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (answers[i] != Errno::eagain) continue;
    if (system.memory.references(all[i].from()) == 1) {
      answers[i] = Errno::ok;
    } else if (!all[i].find_room(node)) {
      answers[i] = Errno::enomem;
    } else if (all[i].take_out(FlushWhen::later)) {
      out.push_back(i);
    } else {
      all[i].flush();
      all[i].end();
    }
  }
  for (const std::size_t i : out) all[i].flush();
  for (unsigned pass = 0; pass < kBatchPasses; ++pass)
    for (const std::size_t i : out)
      if (answers[i] == Errno::eagain && all[i].move()) answers[i] = Errno::ok;
  for (const std::size_t i : out) all[i].end();
}

}  // namespace

bool isolate_page(MmSystem& system, Pfn frame) {
  PhysicalMemory& memory = system.memory;
  Frame& page = memory.frame(memory.head(frame));
  if (page.isolated) return false;
  memory.get(frame);
  page.isolated = true;
  system.pressure->taken(memory.head(frame));
  return true;
}

void put_isolated(MmSystem& system, Pfn frame) {
  const Pfn head = system.memory.head(frame);
  system.memory.frame(head).isolated = false;
  if (system.memory.references(head) > 1) system.pressure->given_back(head);
  system.memory.put(frame);
}

// Rule: one announcement for each VMA that may map the page, whether it does or not. The entry that takes the page's
// place keeps others out, so devices that walk the tables need no word under the lock (v4.15 on).
void take_for_migration(const Mapping& mapping, Pfn head, FlushWhen when) {
  Mm& mm = *mapping.mm;
  NotifierCore& notifier = mm.system.notifier;
  const std::string& how = mm.system.behaviour.clean_notify;
  const bool announces = how == "start-end" || how == "start-range-end";
  InvalidateRange announced{&mm, mapping.pages, InvalidateEvent::clear};
  if (announces) notifier.invalidate_range_start(announced);
  std::vector<Vpn> taken;
  for (const auto& [part, huge] : populated_parts(mm, mapping.pages)) {
    PageRange changed;
    mm.page_table_lock.lock();
    if (huge) take_huge_entry(mm, part.first, head, changed);
    const std::size_t before = taken.size();
    if (mm.table.has_table(part.first)) take_small_entries(mm, part, head, changed, taken);
    if (!changed.empty() && when == FlushWhen::now) flush_tlbs(mm, changed);
    for (std::size_t i = before; i < taken.size(); ++i) {
      if (how == "page-under-lock") notifier.invalidate_page(mm, taken[i]);
      if (how == "start-range-end" && notifier.behaviour().invalidate_range)
        notifier.invalidate_range(mm, one_page(taken[i]));
    }
    mm.page_table_lock.unlock();
  }
  for (const Vpn page : taken) {
    if (how == "page") notifier.invalidate_page(mm, page);
    if (how == "range") notifier.invalidate_range(mm, one_page(page));
  }
  if (announces) notifier.invalidate_range_end(announced);
}

void give_back(const Mapping& mapping, Pfn from, Pfn to) {
  Mm& mm = *mapping.mm;
  PhysicalMemory& memory = mm.system.memory;
  const std::uint64_t frames = std::max(memory.folio_frames(from), memory.folio_frames(to));
  const auto come_back = [&](Vpn page, Pte entry, std::uint64_t pages) {
    const Pfn frame{to.value + (entry.frame().value - from.value)};
    memory.get(frame);
    mm.counters.resident += static_cast<std::int64_t>(pages);
    if (to != from) mm.counters.migrated += pages;
    const Pte here{(entry.bits & ~Pte::kFrameMask) | (frame.value << kPageShift)};
    return entry_after_migration(here, mm.vma_at(page).attributes.rights);
  };
  for (const auto& [part, huge] : populated_parts(mm, mapping.pages)) {
    mm.page_table_lock.lock();
    if (const Pte entry = mm.table.read_huge(part.first); entry.migration() && entry.frame() == from) {
      const PageRange block = block_of(part.first);
      announce_write(mm, block.first);
      const Pte back = with(come_back(block.first, entry, kHugeFrames), Pte::kHuge);
      ++memory.frame(back.frame()).whole_mappings;
      mm.table.write_huge(block.first, back);
      note_change(mm, block, Pte{}, back, "migrate");
    }
    if (mm.table.has_table(part.first))
      for (const Vpn page : populated_pages(mm, part)) {
        const Pte entry = mm.table.read(page);
        if (!entry.migration() || !part_of(memory, entry.frame(), from, frames)) continue;
        announce_write(mm, page);
        const Pte back = come_back(page, entry, 1);
        ++memory.frame(back.frame()).mappings;
        store(mm, page, entry, back, "migrate");
      }
    mm.page_table_lock.unlock();
  }
}

void wait_for_migration(Mm& mm, Vpn page, Pte entry) {
  mm.system.migrations.wait_until([&] { return mm.table.read(page) != entry; }, "a page to come back to its entry");
}

void migration_ended(MmSystem& system) {
  if (system.migrations.has_waiters()) system.migrations.wake_all();
}

// Rule: who is held by somebody else is tried ten times, with all its announcements; up to v6.2 each page in its turn.
std::vector<Errno> migrate_pages(MmSystem& system, const std::vector<Pfn>& isolated, std::optional<unsigned> node) {
  std::vector<Journey> all;
  std::vector<Errno> answers;
  for (const Pfn frame : isolated) {
    if (!system.behaviour.huge_migration && system.memory.frame(frame).folio && !split_huge_page(system, frame))
      answers.push_back(Errno::ebusy);
    else
      answers.push_back(may_move(system, system.memory.frame(frame)) ? Errno::eagain : Errno::ebusy);
    all.emplace_back(system, frame);
  }
  const bool batch = system.behaviour.migrate_batch;
  if (batch) move_batch(system, all, answers, node);
  for (unsigned pass = batch ? kBatchPasses : 0; pass < kPasses; ++pass)
    for (std::size_t i = 0; i < all.size(); ++i)
      if (answers[i] == Errno::eagain) answers[i] = move_alone(system, all[i], node);
  return answers;
}

}  // namespace secmmu
