// What every operation does with page-table entries, and the frame of a system call.
#pragma once

#include <string>

#include <boost/container/small_vector.hpp>

#include "models/mm/events.hpp"
#include "models/mm/mm.hpp"

namespace secmmu {

inline constexpr std::uint64_t kExclusive = Pte::kExclusive;  // fork takes it away from both sides
// What the kernel sets when it writes for a process: the page is dirty, also for who asks since when.
inline constexpr std::uint64_t kWritten = Pte::kDirty | Pte::kSoftDirty;
// What an entry keeps while its page is elsewhere.
inline constexpr std::uint64_t kSoftDirtyAndProtected = Pte::kSoftDirty | Pte::kWriteProtected;

constexpr bool exclusive(Pte entry) { return (entry.bits & kExclusive) != 0; }
constexpr Pte with(Pte entry, std::uint64_t bits) { return {entry.bits | bits}; }
constexpr Pte without(Pte entry, std::uint64_t bits) { return {entry.bits & ~bits}; }

// A fresh entry with the rights of its VMA; `writable` only if the kernel grants that now.
constexpr Pte entry_for(Pfn frame, const Rights& rights, bool writable) {
  return make_pte(frame, Pte::kPresent | Pte::kUser | Pte::kAccessed | (writable ? Pte::kWritable : 0) |
                             (rights.execute ? 0 : Pte::kNoExecute));
}

inline void announce_read(Mm& mm, Vpn page) {
  mm.system.arbiter.step(mm.system.costs.pte_read, reads(ObjectKind::pte, mm.id(), page.value));
}
inline void announce_write(Mm& mm, Vpn page) {
  mm.system.arbiter.step(mm.system.costs.pte_write, writes(ObjectKind::pte, mm.id(), page.value));
}
// Writes an entry whose table exists, after announce_write() and without a point in between: `old` is what
// is there. Leaves a PteChanged if the hardware can tell the difference.
void store(Mm& mm, Vpn page, Pte old, Pte fresh, std::string_view why);
// That event alone, for the pages of one entry: of a table that is not in the tree, or of a huge one.
void note_change(Mm& mm, PageRange pages, Pte old, Pte fresh, std::string_view why);

// The pages of one table's range whose entries are not none; none below a huge entry. Read at once, without a point.
using PageList = boost::container::small_vector<Vpn, 64>;
PageList populated_pages(Mm& mm, PageRange pages);
// The parts of a range, one per last-level table, whose table exists and holds an entry that is not none.
using TableList = boost::container::small_vector<PageRange, 8>;
TableList populated_tables(Mm& mm, PageRange range);
// The same with those parts, one per block, that a huge entry maps.
struct Part {
  PageRange pages;
  bool huge = false;
};
using PartList = boost::container::small_vector<Part, 8>;
PartList populated_parts(Mm& mm, PageRange range);
// The part of `range` that lies in the same last-level table as its first page.
constexpr PageRange in_first_table(PageRange range) {
  const Vpn border{(range.first.value | (kTableEntries - 1)) + 1};
  return {range.first, border < range.end ? border : range.end};
}

// Takes and gives back mmap_lock, and shows its state to who wants to see it.
void lock_for_reading(Mm& mm);
void unlock_for_reading(Mm& mm);
void lock_for_writing(Mm& mm, unsigned nesting = 0);
void unlock_for_writing(Mm& mm);
void downgrade_to_reading(Mm& mm);
// mmap_lock is held for writing: nor is any fault under way, until that is given back, in the VMAs of the range and
// in those beside it, which may join it. Nothing before v6.4. May sleep.
void lock_vmas_for_writing(Mm& mm, PageRange range);

// The frame of a system call: its cost and its two events around `body`, which answers an Errno.
template <class Body>
Errno system_call(Mm& mm, std::string_view call, PageRange pages, Body body) {
  Arbiter& arbiter = mm.system.arbiter;
  arbiter.bus().emit(SyscallBegin{mm.name(), mm.id(), call, pages});
  arbiter.step(mm.system.costs.syscall);
  const Errno result = body();
  arbiter.bus().emit(SyscallEnd{mm.name(), mm.id(), call, errno_name(result)});
  return result;
}

// A call that this kernel does not have.
inline void require(bool has, const char* what) {
  if (!has) throw AbsentInKernel(std::string(what) + " does not exist in this kernel");
}

// Whom reports name as the owner of a page: "app 0x7f0000001000". Built only if somebody listens.
std::string owner_name(Mm& mm, Vpn page);

inline bool is_file(const VmaAttributes& attributes) { return attributes.shared && attributes.object->file(); }

// Shared memory whose entries become writable only by a write fault: somebody wants to hear of the first write.
inline bool wants_write_faults(const VmaAttributes& attributes) {
  return is_file(attributes) || !attributes.soft_dirty || attributes.write_protect;
}

// A userfaultfd's handler is to decide about a write to this page.
inline bool waits_for_handler(const VmaAttributes& attributes, Pte entry) {
  return attributes.write_protect && (entry.bits & Pte::kWriteProtected) != 0;
}

constexpr bool is_user_range(PageRange range) { return !range.empty() && range.end <= kWholeSpace.end; }

// --- parts of operations that several system calls share; mmap_lock is held for writing ---

void note_mapped(Mm& mm, PageRange range, const VmaAttributes& attributes);  // its event alone
// A piece of one VMA gets these attributes: joins its neighbours, or is cut out.
void change_vma(Mm& mm, PageRange piece, const VmaAttributes& attributes);
// A VMA where none is: joins its neighbours if it can. `mapping`: of mmap or brk; `moved`: by mremap, where a VMA that
// it joins is not taken for new.
enum class NewVma { mapping, moved };
void add_vma(Mm& mm, PageRange range, const VmaAttributes& attributes, NewVma kind);
void cut_vma(Mm& mm, Vpn at);
// Unmaps the span and all that lies in it; nothing happens if no VMA does. `may_downgrade`: mmap_lock may be
// held for reading only from the unmapping on; true is returned if it then is.
bool unmap_span(Mm& mm, PageRange range, bool may_downgrade);
// A frame for a private page, kNoPfn if none is free; remembers where it may be found. Points.
Pfn allocate_private(Mm& mm, Vpn page);
// A fault where nothing is mapped, of a VMA over an object.
FaultResult file_fault(Mm& mm, const Vma& vma, Vpn page, bool write, bool patient, std::string_view& how);
// The page is this VMA's alone: from now on it is looked for only here and in its children.
void note_private(Mm& mm, Vpn page, Pfn frame);
// Brings the VMA of a private page its anon_vma, at the first private page.
void prepare_anon_vma(Mm& mm, Vpn page);
// Brings the pages of locked memory in; no lock is held. EFAULT, ENOMEM
Errno populate_locked(Mm& mm, PageRange range);
// A write to a present entry that forbids it; `seen` is that entry.
FaultResult write_fault(Mm& mm, const Vma& vma, Vpn page, Pte seen, std::string_view& how);
void exit_mmap(Mm& mm);

}  // namespace secmmu
