#include "models/mm/memory_pressure.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include "models/mm/huge.hpp"
#include "models/mm/migrate.hpp"
#include "models/mm/reclaim.hpp"

namespace secmmu {

namespace {

constexpr std::uint64_t kAtOnce = 32;     // pages that are looked at, or wanted, in one go
constexpr unsigned kFirstPriority = 12;   // a list's 4096th part; at 0 all of it
constexpr unsigned kFruitlessRounds = 16; // then it is given up
// How eagerly lists are looked at: swapping costs more than reading a file again.
constexpr std::uint64_t kAnonymousShare = 60;
constexpr std::uint64_t kFileShare = 140;

constexpr ReclaimList inactive(bool file) { return file ? ReclaimList::inactive_file : ReclaimList::inactive_anonymous; }
constexpr ReclaimList active(bool file) { return file ? ReclaimList::active_file : ReclaimList::active_anonymous; }
constexpr bool is_active(ReclaimList list) {
  return list == ReclaimList::active_anonymous || list == ReclaimList::active_file;
}

}  // namespace

MemoryPressure::MemoryPressure(MmSystem& system)
    : system_(system), lists_(system.memory.frames()), kswapd_(system.arbiter, "kswapd") {
  system.memory.when_freed = [this](Pfn page) { lists_.take_off(page); };
}

bool MemoryPressure::on() const { return system_.config.reclaim != "off"; }

std::uint64_t MemoryPressure::lowest() const {
  const std::uint64_t set = system_.config.lowest_free;
  return set != 0 ? set : std::max<std::uint64_t>(4, system_.memory.frames() / 64);
}

// --- allocation ------------------------------------------------------------------------------------

Pfn MemoryPressure::allocate(FrameUse use, std::string_view owner) {
  PhysicalMemory& memory = system_.memory;
  if (!on()) return memory.allocate(use, owner);
  wake_kswapd();
  unsigned fruitless = 0;
  while (memory.free_frames() <= lowest()) {
    ++counters.direct;
    if (!make_room(kAtOnce) && ++fruitless == kFruitlessRounds) return kNoPfn;
  }
  return memory.allocate(use, owner);
}

void MemoryPressure::wake_kswapd() {
  if (system_.memory.free_frames() >= low() || woken_ || !kswapd_.has_waiters()) return;
  woken_ = true;
  kswapd_.wake_all();
}

// Rule: a table is as good a reason to reclaim as a page. KVM fills its caches of tables before it takes mmu_lock.
bool MemoryPressure::keep_reserve() {
  if (!on()) return false;
  wake_kswapd();
  if (system_.memory.free_frames() > lowest()) return true;
  ++counters.direct;
  make_room(kAtOnce);
  return system_.memory.free_frames() > lowest();
}

// Rule: small pages do as well, so nobody is driven out for a huge one.
Pfn MemoryPressure::allocate_huge(FrameUse use, std::string_view owner) {
  PhysicalMemory& memory = system_.memory;
  if (on() && memory.free_frames() < kHugeFrames + low()) return kNoPfn;
  return memory.allocate_huge(use, owner);
}

// Rule: until v5.8 a fresh private page was taken for one in use; since then it must be used again to be.
void MemoryPressure::added(Pfn page) {
  if (!on()) return;
  const Frame& frame = system_.memory.frame(page);
  const SharedObject* object = frame.use == FrameUse::shared ? system_.object(frame.mapping) : nullptr;
  const bool file = object != nullptr && object->file();
  const bool in_use = !file && system_.behaviour.fresh_pages == "active";
  lists_.put_first(in_use ? active(file) : inactive(file), page, system_.memory.folio_frames(page));
}

void MemoryPressure::accessed(Pfn page) {
  Frame& frame = system_.memory.frame(system_.memory.head(page));
  frame.referenced = true;
}

void MemoryPressure::taken(Pfn page) { lists_.take_off(page); }
void MemoryPressure::given_back(Pfn page) {
  if (!lists_.on_any(page)) added(page);
}

void MemoryPressure::split(Pfn first) {
  if (!lists_.on_any(first)) return;
  const ReclaimList list = lists_.list_of(first);
  for (std::uint64_t i = 0; i < kHugeFrames; ++i)
    if (system_.memory.frame({first.value + i}).use != FrameUse::free) lists_.put_first(list, {first.value + i});
}

// --- reclaim ---------------------------------------------------------------------------------------

bool MemoryPressure::make_room(std::uint64_t wanted) {
  std::uint64_t reclaimed = 0;
  for (unsigned priority = kFirstPriority + 1; priority-- > 0 && reclaimed < wanted;)
    reclaimed += shrink(priority, wanted - reclaimed);
  return reclaimed != 0;
}

// Rule: the more pages there are, the fewer of them need to be watched for being used again.
bool MemoryPressure::inactive_is_short(bool file) const {
  const std::uint64_t idle = lists_.pages(inactive(file));
  const std::uint64_t used = lists_.pages(active(file));
  const std::uint64_t gigabytes = (idle + used) >> (30 - kPageShift);
  const auto ratio = gigabytes == 0 ? 1 : static_cast<std::uint64_t>(std::sqrt(10.0 * static_cast<double>(gigabytes)));
  return idle * ratio < used;
}

// One pass over a part of each list, in turns. The lists of pages in use are looked at only if the others are short.
std::uint64_t MemoryPressure::shrink(unsigned priority, std::uint64_t wanted) {
  const bool swap = system_.swap.used() < system_.config.swap_slots;
  const auto share = [&](ReclaimList list, std::uint64_t part) {
    const std::uint64_t pages = lists_.pages(list) >> priority;
    const std::uint64_t whole = kAnonymousShare + kFileShare;
    return priority == 0 ? pages : (pages * part + whole - 1) / whole;
  };
  struct Quota {
    std::uint64_t idle;
    std::uint64_t used;
  };
  Quota quota[2] = {{swap ? share(ReclaimList::inactive_anonymous, kAnonymousShare) : 0,
                     swap && inactive_is_short(false) ? share(ReclaimList::active_anonymous, kAnonymousShare) : 0},
                    {share(ReclaimList::inactive_file, kFileShare),
                     inactive_is_short(true) ? share(ReclaimList::active_file, kFileShare) : 0}};
  std::uint64_t reclaimed = 0;
  const auto take = [](std::uint64_t& left) {
    const std::uint64_t now = std::min(left, kAtOnce);
    left -= now;
    return now;
  };
  while (reclaimed < wanted && (quota[0].idle != 0 || quota[1].idle != 0 || quota[1].used != 0))
    for (const bool file : {false, true}) {
      reclaimed += shrink_inactive(file, take(quota[file].idle));
      shrink_active(file, take(quota[file].used));
    }
  if (swap && inactive_is_short(false)) shrink_active(false, kAtOnce);
  return reclaimed;
}

// The last page of a list, isolated, off the list; kNoPfn: none, or somebody else is about to do something with it.
Pfn MemoryPressure::isolate(ReclaimList list) {
  const Pfn page = lists_.last(list);
  if (page == kNoPfn) return kNoPfn;
  system_.arbiter.step(system_.costs.scan_page);
  if (lists_.last(list) != page) return isolate(list);
  if (!isolate_page(system_, page)) {
    lists_.put_first(list, page, system_.memory.folio_frames(page));
    return kNoPfn;
  }
  ++counters.scanned;
  return page;
}

// A private page that nobody maps, and that is in no swap cache, is about to be mapped, or to go.
bool MemoryPressure::on_its_way(Pfn page) const {
  const Frame& frame = system_.memory.frame(page);
  return frame.use != FrameUse::shared && frame.slot == kNoSlot && all_mappings(system_.memory, page) == 0;
}

// Rule: of a page that was used once it is remembered, and it has another round; used twice, or at two places, it goes
// to those in use. A page that somebody locked does, too.
std::uint64_t MemoryPressure::shrink_inactive(bool file, std::uint64_t count) {
  PhysicalMemory& memory = system_.memory;
  std::uint64_t reclaimed = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    const Pfn page = isolate(inactive(file));
    if (page == kNoPfn) break;
    const std::uint64_t pages = memory.folio_frames(page);
    Frame& frame = memory.frame(page);
    if (on_its_way(page)) {
      lists_.put_first(inactive(file), page, pages);
      put_isolated(system_, page);
      continue;
    }
    const References found = take_references(system_, page);
    const bool before = std::exchange(frame.referenced, found.entries != 0);
    if (found.locked || (found.entries != 0 && (before || found.entries > 1))) {
      ++counters.activated;
      lists_.put_first(active(file), page, pages);
      put_isolated(system_, page);
    } else if (found.entries != 0) {
      lists_.put_first(inactive(file), page, pages);
      put_isolated(system_, page);
    } else if (reclaim(page, file)) {
      reclaimed += pages;
    } else {
      if (!lists_.on_any(page)) lists_.put_first(inactive(file), page, memory.folio_frames(page));
      put_isolated(system_, page);
    }
  }
  counters.reclaimed += reclaimed;
  return reclaimed;
}

// Rule: whether it was used says only how it will be looked at the next time: all go over. (Linux keeps programs' code.)
void MemoryPressure::shrink_active(bool file, std::uint64_t count) {
  PhysicalMemory& memory = system_.memory;
  for (std::uint64_t i = 0; i < count; ++i) {
    const Pfn page = isolate(active(file));
    if (page == kNoPfn) return;
    const References found = take_references(system_, page);
    ++counters.deactivated;
    lists_.put_first(found.locked ? active(file) : inactive(file), page, memory.folio_frames(page));
    put_isolated(system_, page);
  }
}

// The caller's reference goes with the page. A dirty page of a file is written first; in Linux the flusher does it,
// while the page has another round. The file stays meanwhile, and the page may have been cut off it.
bool MemoryPressure::reclaim(Pfn page, bool file) {
  if (take_page_away(system_, page)) return true;
  const Frame& frame = system_.memory.frame(page);
  if (!file || frame.mappings != 0 || frame.use != FrameUse::shared) return false;
  SharedObject* const object = system_.object(frame.mapping);
  if (object == nullptr || !object->dirty().contains(frame.index)) return false;
  object->mapped(1);
  system_.arbiter.step(system_.costs.swap_write, reads(ObjectKind::frame_bytes, 0, page.value));
  const bool written =
      frame.mappings == 0 && object->holds(frame.index, page) && object->take_dirty(frame.index);
  system_.unmap_object(*object, 1);
  return written && take_page_away(system_, page);
}

// --- kswapd ----------------------------------------------------------------------------------------

void MemoryPressure::run_kswapd() {
  for (;;) {
    kswapd_.wait_until([this] { return woken_; }, "frames to run short");
    ++counters.kswapd;
    for (unsigned priority = kFirstPriority; priority > 0 && system_.memory.free_frames() < high();)
      if (shrink(priority, std::max(high(), kAtOnce)) < kAtOnce) --priority;
    woken_ = false;
  }
}

void MemoryPressure::reset() {
  lists_.clear();
  kswapd_.reset();
  woken_ = false;
  counters = {};
}

}  // namespace secmmu
