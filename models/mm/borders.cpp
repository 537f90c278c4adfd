// Making, changing and cutting VMAs, with what moving a border does to the pages there. mmap_lock is held for writing.
#include "models/mm/huge.hpp"

namespace secmmu {

namespace {

// Rule: a huge page lies in one VMA. Where one is cut inside a block that it covers whole, a huge page there is
// split first; subscribers are told of the block even if there is none, for nobody looks before.
void split_at_border(Mm& mm, Vpn at) {
  const PageRange block = block_of(at);
  if (at == block.first) return;
  if (mm.system.behaviour.huge_cut == "if-huge" && mm.table.read_huge(at).none()) return;
  const Vma vma = mm.vma_at(at);
  if (block.first < vma.pages.first || vma.pages.end < block.end) return;
  if (mm.table.has_table(at, 1)) split_huge_entry(mm, at);
}

}  // namespace

void cut_vma(Mm& mm, Vpn at) {
  const Vma vma = mm.vma_at(at);
  if (vma.pages.empty() || vma.pages.first == at) return;
  split_at_border(mm, at);
  cut_vma(mm.vmas, at);
}

void change_vma(Mm& mm, PageRange piece, const VmaAttributes& attributes) {
  lock_vmas_for_writing(mm, piece);
  if (const auto joined = join_of(mm.vmas, piece, attributes)) {
    if (joined->cut) split_at_border(mm, *joined->cut);
    VmaAttributes whole = joined->attributes;
    whole.soft_dirty = attributes.soft_dirty;
    place_vma(mm.vmas, joined->pages, whole);
  } else {
    cut_vma(mm, piece.first);
    cut_vma(mm, piece.end);
    place_vma(mm.vmas, piece, attributes);
  }
  note_mapped(mm, piece, attributes);
}

// Rule (v6.5 on; the model keeps it wherever VMAs have locks): a VMA that comes is locked before anybody can see it. A
// fault in it would find the place empty to which mremap is about to move entries, and fill it.
void lock_new_vma(Mm& mm, PageRange range) {
  if (mm.system.behaviour.fault_lock == "mmap-lock") return;
  VmaLocks::Written written = mm.vma_locks.written();
  written.add(VmaLocks::Written::interval_type::right_open(range.first.value, range.end.value));
  mm.vma_locks.restore(std::move(written));
}

void add_vma(Mm& mm, PageRange range, const VmaAttributes& attributes, NewVma kind) {
  lock_vmas_for_writing(mm, range);
  if (const auto joined = join_of(mm.vmas, range, attributes, kind == NewVma::mapping)) {
    VmaAttributes whole = joined->attributes;
    if (kind == NewVma::mapping) whole.soft_dirty = attributes.soft_dirty;
    place_vma(mm.vmas, joined->pages, whole);
  } else {
    place_vma(mm.vmas, range, attributes);
  }
  lock_new_vma(mm, range);
  note_mapped(mm, range, attributes);
}

}  // namespace secmmu
