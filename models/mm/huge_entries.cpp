// What unmapping, mprotect, fork and mremap do with a huge entry: the whole block at once if all of it is meant, split
// first if only a part is.
#include "models/mm/huge.hpp"

namespace secmmu {

namespace {

constexpr auto kPages = static_cast<std::int64_t>(kHugeFrames);

bool is_whole(PageRange part) { return part == block_of(part.first); }

// For what comes to a part of a block: the entry is split, or was already.
bool split_for_part(Mm& mm, PageRange part) {
  if (is_whole(part)) return false;
  split_huge_entry(mm, part.first);
  return true;
}

}  // namespace

// Rule: the table that was kept goes at once, for no walker ever saw it; the page is one entry of the gather.
bool zap_huge(Gather& gather, PageRange part, std::string_view why) {
  Mm& mm = gather.mm;
  MmSystem& system = mm.system;
  if (split_for_part(mm, part)) return false;
  mm.page_table_lock.lock();
  announce_write(mm, part.first);
  const Pte entry = mm.table.read_huge(part.first);
  if (entry.none()) {
    mm.page_table_lock.unlock();
    return false;
  }
  const Pfn spare = mm.table.remove_huge(part.first);
  if (entry.migration()) {  // who moves the page will find nothing to give back
    mm.table.free_spare(spare);
    mm.page_table_lock.unlock();
    return true;
  }
  note_change(mm, part, entry, Pte{}, why);
  gather.changed(part.first);
  gather.changed({part.end.value - 1});
  mm.counters.resident -= kPages;
  mm.counters.pages_unmapped += kHugeFrames;
  --system.memory.frame(entry.frame()).whole_mappings;
  mm.table.free_spare(spare);
  mm.page_table_lock.unlock();
  if (entry.frame() == system.huge_zero_page_if_any()) {
    system.memory.put(entry.frame());  // never the last reference
    return true;
  }
  system.arbiter.step(system.costs.gather_page);
  if (!gather.add(entry.frame())) gather.flush_and_free();
  return true;
}

// Rule: the block stays huge. Before v6.2 it never gets the write bit back here.
bool protect_huge(Gather& gather, PageRange part, const VmaAttributes& attributes, ChangeEntry change) {
  Mm& mm = gather.mm;
  const MmBehaviour& behaviour = mm.system.behaviour;
  if (split_for_part(mm, part)) return false;
  mm.page_table_lock.lock();
  announce_write(mm, part.first);
  const Pte old = mm.table.read_huge(part.first);
  if (!old.none()) {
    Pte fresh = change(behaviour, old, attributes);
    if (!behaviour.huge_upgrade) fresh = without(fresh, Pte::kWritable);
    if (fresh != old) {
      mm.table.write_huge(part.first, fresh);
      note_change(mm, part, old, fresh, "protect");
      if (needs_flush(old, fresh)) {
        gather.changed(part.first);
        gather.changed({part.end.value - 1});
      }
    }
  }
  mm.page_table_lock.unlock();
  return !old.none();
}

// Both locks are taken here, for the child's table needs a frame first.
Taken share_huge(Mm& parent, Mm& child, Vpn page) {
  PhysicalMemory& memory = parent.system.memory;
  const PageRange block = block_of(page);
  if (!child.table.ensure(page, 1)) return Taken::out_of_memory;
  const Pfn spare = child.table.allocate_spare();
  if (spare == kNoPfn) return Taken::out_of_memory;
  child.page_table_lock.lock();
  parent.page_table_lock.lock(1);
  announce_write(parent, block.first);
  const Pte old = parent.table.read_huge(page);
  if (!old.none()) {
    const Pte shared = without(old, Pte::kWritable | kExclusive);
    if (shared != old) {
      parent.table.write_huge(page, shared);
      note_change(parent, block, old, shared, "fork");
    }
    announce_write(child, block.first);
    const Pte theirs = without(shared, Pte::kAccessed | Pte::kWriteProtected);
    if (old.maps()) {
      memory.get(old.frame());
      ++memory.frame(old.frame()).whole_mappings;
      child.counters.resident += kPages;
    }
    child.table.place_huge(page, theirs, spare);
    note_change(child, block, Pte{}, theirs, "fork");
  }
  parent.page_table_lock.unlock();
  child.page_table_lock.unlock();
  if (!old.none()) return Taken::done;
  child.table.free_spare(spare);
  return Taken::small;
}

// Rule: moved whole, with the table that is kept for it, if it comes to lie on a border of blocks again.
Taken move_huge(Mm& mm, PageRange part, Vpn to, PageRange& pending) {
  const std::string& when = mm.system.behaviour.mremap_flush;
  if (!is_whole(part) || to != block_of(to).first) {
    split_huge_entry(mm, part.first);
    return Taken::small;
  }
  if (!mm.table.ensure(to, 1)) return Taken::out_of_memory;
  mm.lock_rmap();  // as for small entries
  mm.page_table_lock.lock();
  announce_write(mm, part.first);
  const Pte entry = mm.table.read_huge(part.first);
  if (entry.none()) {
    mm.page_table_lock.unlock();
    mm.unlock_rmap();
    return Taken::small;
  }
  const Pfn spare = mm.table.remove_huge(part.first);
  note_change(mm, part, entry, Pte{}, "move");
  announce_write(mm, to);
  mm.table.place_huge(to, with(entry, Pte::kSoftDirty), spare);
  note_change(mm, block_of(to), Pte{}, entry, "move");
  if (entry.present() && when == "after-move")
    pending = pending.empty() ? part : PageRange{pending.first, part.end};
  else if (entry.present())
    flush_tlbs(mm, part);
  mm.page_table_lock.unlock();
  mm.unlock_rmap();
  return Taken::done;
}

}  // namespace secmmu
