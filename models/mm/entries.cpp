#include "models/mm/entries.hpp"

#include <fmt/format.h>

#include "models/memory/events.hpp"

namespace secmmu {

void store(Mm& mm, Vpn page, Pte old, Pte fresh, std::string_view why) {
  mm.table.write(page, fresh);
  note_change(mm, one_page(page), old, fresh, why);
}

void note_change(Mm& mm, PageRange pages, Pte old, Pte fresh, std::string_view why) {
  constexpr std::uint64_t kVisible = Pte::kFrameMask | Pte::kPresent | Pte::kWritable | Pte::kNoExecute;
  const bool shows = ((old.bits ^ fresh.bits) & kVisible) != 0 && (old.present() || fresh.present());
  Bus& bus = mm.system.arbiter.bus();
  if (!shows || !bus.wanted<PteChanged>()) return;
  const auto frame = [](Pte entry) { return entry.present() ? entry.frame() : kNoPfn; };
  const auto writable = [](Pte entry) { return entry.present() && entry.writable(); };
  bus.emit(PteChanged{mm.name(), mm.id(), pages.first, frame(old), writable(old), frame(fresh), writable(fresh), why,
                      pages.pages()});
}

PageList populated_pages(Mm& mm, PageRange pages) {
  PageList list;
  mm.table.for_each(pages, [&list](Vpn page, Pte entry) {
    if (!entry.huge()) list.push_back(page);
  });
  return list;
}

TableList populated_tables(Mm& mm, PageRange range) {
  TableList list;
  for (const Part& part : populated_parts(mm, range))
    if (!part.huge) list.push_back(part.pages);
  return list;
}

PartList populated_parts(Mm& mm, PageRange range) {
  PartList list;
  if (in_first_table(range) == range) {
    const bool huge = !mm.table.read_huge(range.first).none();
    if (huge || mm.table.has_table(range.first)) list.push_back({range, huge});
    return list;
  }
  mm.table.for_each(range, [&](Vpn page, Pte entry) {
    if (!list.empty() && list.back().pages.contains(page)) return;
    list.push_back({block_of(page).intersect(range), entry.huge()});
  });
  return list;
}

namespace {

void show_lock(Mm& mm) {
  Bus& bus = mm.system.arbiter.bus();
  if (!bus.wanted<MmapLockWanted>()) return;
  const RwSemaphore& lock = mm.mmap_lock();
  bus.emit(
      MmapLockWanted{mm.name(), mm.id(), lock.held_for_write() ? "write" : (lock.held_for_read() ? "read" : "free")});
}

}  // namespace

void lock_for_reading(Mm& mm) {
  mm.mmap_lock().lock_read();
  show_lock(mm);
}
void unlock_for_reading(Mm& mm) {
  mm.mmap_lock().unlock_read();
  show_lock(mm);
}
void lock_for_writing(Mm& mm, unsigned nesting) {
  mm.mmap_lock().lock_write(nesting);
  show_lock(mm);
}
void unlock_for_writing(Mm& mm) {
  mm.vma_locks.end_write();
  mm.mmap_lock().unlock_write();
  show_lock(mm);
}
void lock_vmas_for_writing(Mm& mm, PageRange range) {
  if (mm.system.behaviour.fault_lock == "mmap-lock") return;
  if (range.first.value != 0) range.first.value -= 1;
  if (range.end < kWholeSpace.end) range.end = range.end + 1;
  VmaList whole;
  for (const Vma& piece : mm.vmas_in(range)) whole.push_back(mm.vma_at(piece.pages.first));
  mm.vma_locks.lock_write(whole);
}
void downgrade_to_reading(Mm& mm) {
  mm.vma_locks.end_write();
  mm.mmap_lock().downgrade();
  show_lock(mm);
}

std::string owner_name(Mm& mm, Vpn page) {
  if (!mm.system.arbiter.bus().wanted<FrameAllocated>()) return {};
  return fmt::format("{} {}", mm.name(), to_text(address_of(page)));
}

}  // namespace secmmu
