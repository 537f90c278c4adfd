// Faults of VMAs over objects: shared memory, and files, mapped shared or privately.
#include <algorithm>
#include <optional>

#include "models/mm/entries.hpp"

namespace secmmu {

namespace {

constexpr std::uint64_t kAround = 16;  // fault_around_bytes: 64 KiB

// The pages that a fault of this one may map: the aligned window, as far as the VMA and the page table go. One that
// begins with the VMA reaches 16 pages on from there.
PageRange window_around(const Vma& vma, Vpn page) {
  const Vpn first = std::max(Vpn{page.value & ~(kAround - 1)}, vma.pages.first);
  return in_first_table(PageRange{first, first + kAround}.intersect(vma.pages));
}

// What a read maps: shared memory with all rights of its VMA, unless somebody wants to hear of the first write; a
// private page always waits for that.
Pte entry_for_reading(const VmaAttributes& attributes, Pfn frame) {
  const bool writable = attributes.rights.write && attributes.shared && !wants_write_faults(attributes);
  return entry_for(frame, attributes.rights, writable);
}

// The entry, which is none, becomes this one, with a reference that the caller has taken.
void map(Mm& mm, Vpn page, Pte entry) {
  store(mm, page, Pte{}, entry, "fault");
  ++mm.system.memory.frame(entry.frame()).mappings;
  ++mm.counters.resident;
}

// Rule: all pages of the window that are in memory, and whose entries are none, as if each had been read: a fault costs
// more than a few entries. Nothing: the page itself was not among them.
std::optional<FaultResult> map_around(Mm& mm, const Vma& vma, Vpn page) {
  SharedObject& object = *vma.attributes.object;
  const PageRange window = window_around(vma, page);
  const auto ready = [&](Vpn at) { return object.ready_page(vma.offset_of(at)); };
  const auto any = [&] {
    for (Vpn at = window.first; at < window.end; at = at + 1)
      if (ready(at) != kNoPfn) return true;
    return false;
  };
  if (!any()) return {};
  if (!mm.table.ensure(page)) return FaultResult::out_of_memory;
  bool mapped = false;
  mm.page_table_lock.lock();
  for (Vpn at = window.first; at < window.end; at = at + 1) {
    if (ready(at) == kNoPfn || !mm.table.read(at).none()) continue;
    announce_write(mm, at);
    const Pfn frame = ready(at);
    if (frame == kNoPfn || !mm.table.read(at).none()) continue;
    object.used_ahead();
    mm.system.memory.get(frame);
    map(mm, at, entry_for_reading(vma.attributes, frame));
    if (at == page)
      mapped = true;
    else
      ++mm.counters.around;
  }
  mm.page_table_lock.unlock();
  if (!mapped) return {};
  return FaultResult::resolved;
}

enum class Placed { done, occupied, page_gone };

// `frame`: the object's page, for whose sake the entry comes; it may have been dropped meanwhile.
Placed place(Mm& mm, const Vma& vma, Vpn page, Pfn frame, Pte entry) {
  SharedObject& object = *vma.attributes.object;
  const std::uint64_t offset = vma.offset_of(page);
  mm.page_table_lock.lock();
  announce_write(mm, page);
  const bool free = mm.table.read(page).none();
  const bool there = object.holds(offset, frame);
  if (free && there) {
    map(mm, page, entry);
    if (entry.dirty() && vma.attributes.shared && object.file()) object.mark_dirty(offset);
  }
  mm.page_table_lock.unlock();
  return !there ? Placed::page_gone : free ? Placed::done : Placed::occupied;
}

// The object's page, with a reference; kNoPfn: `result` says why.
Pfn page_of(Mm& mm, const Vma& vma, Vpn page, bool& read, FaultResult& result, std::string_view& how) {
  SharedObject& object = *vma.attributes.object;
  const std::uint64_t offset = vma.offset_of(page);
  const Pfn frame = object.page_for_fault(offset, owner_name(mm, page), read);
  if (frame != kNoPfn && mm.table.ensure(page)) return frame;
  if (frame != kNoPfn) mm.system.memory.put(frame);
  result = FaultResult::out_of_memory;
  if (frame == kNoPfn && offset >= object.size()) {
    result = FaultResult::segv;
    how = "sigbus";
  }
  return kNoPfn;
}

// Rule: what is in memory around the page is mapped with it. Who had to read the page of a file begins anew, if the
// caller can, and so maps what was read with it; once only, or memory that is too short would keep it here for ever.
FaultResult read_fault(Mm& mm, const Vma& vma, Vpn page, bool patient, std::string_view& how) {
  const bool around = mm.system.behaviour.fault_around && !vma.attributes.write_protect;
  for (;;) {
    if (around) {
      const auto result = map_around(mm, vma, page);
      if (result && *result == FaultResult::resolved) how = "around";
      if (result) return *result;
    }
    FaultResult result{};
    bool read = false;
    const Pfn frame = page_of(mm, vma, page, read, result, how);
    if (frame == kNoPfn) return result;
    const bool again = read && patient && mm.system.behaviour.fault_again;
    const Placed placed =
        again ? Placed::page_gone : place(mm, vma, page, frame, entry_for_reading(vma.attributes, frame));
    if (placed == Placed::done) how = vma.attributes.shared ? "shared" : "file";
    if (placed != Placed::done) mm.system.memory.put(frame);
    if (placed != Placed::page_gone) return FaultResult::resolved;
    patient = patient && !again;
  }
}

// Rule: shared memory, and a file that now learns of the write.
FaultResult shared_write_fault(Mm& mm, const Vma& vma, Vpn page, std::string_view& how) {
  for (;;) {
    FaultResult result{};
    bool read = false;
    const Pfn frame = page_of(mm, vma, page, read, result, how);
    if (frame == kNoPfn) return result;
    const Pte entry = with(entry_for(frame, vma.attributes.rights, vma.attributes.rights.write), kWritten);
    const Placed placed = place(mm, vma, page, frame, entry);
    if (placed == Placed::done) how = "shared";
    if (placed != Placed::done) mm.system.memory.put(frame);
    if (placed != Placed::page_gone) return FaultResult::resolved;
  }
}

// Rule: the copy is made before anything is mapped, so nobody need be told. The VMA has its anon_vma even if the page
// turns out not to exist.
FaultResult private_write_fault(Mm& mm, const Vma& vma, Vpn page, std::string_view& how) {
  PhysicalMemory& memory = mm.system.memory;
  const Pfn copy = allocate_private(mm, page);
  if (copy == kNoPfn) return FaultResult::out_of_memory;
  const Pte entry = with(entry_for(copy, vma.attributes.rights, true), kWritten | kExclusive);
  for (;;) {
    FaultResult result{};
    bool read = false;
    const Pfn frame = page_of(mm, vma, page, read, result, how);
    if (frame == kNoPfn) {
      memory.put(copy);
      return result;
    }
    memory.copy(frame, copy);
    const Placed placed = place(mm, vma, page, frame, entry);
    memory.put(frame);
    if (placed == Placed::done) how = "private_copy";
    if (placed == Placed::occupied) memory.put(copy);
    if (placed != Placed::page_gone) return FaultResult::resolved;
  }
}

}  // namespace

FaultResult file_fault(Mm& mm, const Vma& vma, Vpn page, bool write, bool patient, std::string_view& how) {
  if (!write) return read_fault(mm, vma, page, patient, how);
  return vma.attributes.shared ? shared_write_fault(mm, vma, page, how) : private_write_fault(mm, vma, page, how);
}

}  // namespace secmmu
