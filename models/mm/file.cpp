// What calls do to files and to shared memory, and so to everyone who maps them: ftruncate, punching of holes, pwrite.
// They reach the mappings by the reverse map and hold the file's lock, no mmap_lock.
#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "models/mm/entries.hpp"
#include "models/mm/gather.hpp"
#include "models/mm/reverse_map.hpp"

namespace secmmu {

namespace {

constexpr std::uint64_t kToTheEnd = ~0ULL;

// Rule: one announcement and one flush for each VMA, whether any of the pages is mapped there or not.
void unmap_everywhere(MmSystem& system, const SharedObject& object, std::uint64_t first, std::uint64_t end, Zap what) {
  for_each_mapping(system, object, first, end, [&system, what](const Mapping& mapping) {
    Gather gather(*mapping.mm);
    InvalidateRange announced{mapping.mm, mapping.pages, InvalidateEvent::clear};
    system.notifier.invalidate_range_start(announced);
    zap(gather, mapping.pages, "zap", what);
    system.notifier.invalidate_range_end(announced);
    gather.finish();
  });
}

// Rule: page by page; one that a fault was fast enough to map again, or an mremap to carry past the walk, is unmapped
// by itself first.
void drop_pages(MmSystem& system, SharedObject& object, std::uint64_t first, std::uint64_t end) {
  const std::vector<std::pair<std::uint64_t, Pfn>> there(object.pages().lower_bound(first),
                                                         object.pages().lower_bound(end));
  for (const auto& [offset, frame] : there) {
    while (!object.drop(offset, frame)) {
      system.arbiter.step(system.costs.vma_work);
      unmap_everywhere(system, object, offset, offset + 1, Zap::of_objects);
    }
  }
  object.forget_stored(first, end);
}

// Rule: what was copied from these pages is its process's own, and stays. Before v3.5 this was done as a truncation is.
// The file system of a file writes back what is dirty there first, and knows of no hole behind the end.
void punch(MmSystem& system, SharedObject& object, std::uint64_t first, std::uint64_t end) {
  write_back(system, object, first, end);
  object.lock().lock();
  if (object.file()) end = first < object.size() ? std::min(end, object.size() + 1) : first;
  if (first < end) {
    const bool copies_too = !system.behaviour.punch_hole;
    unmap_everywhere(system, object, first, end, copies_too ? Zap::all : Zap::of_objects);
    drop_pages(system, object, first, end);
    if (copies_too) unmap_everywhere(system, object, first, end, Zap::all);
  }
  object.lock().unlock();
}

// Rule: the size goes first, so that no fault finds these pages any more. Private copies of them go as well, and the
// second round takes those that were made between the first one and the end of the page. Memory does this only when it
// shrinks, a file whatever the size was.
void truncate(MmSystem& system, SharedObject& object, std::uint64_t pages) {
  object.lock().lock();
  const bool shrinks = pages < object.size();
  object.resize(pages);
  if (shrinks || object.file()) {
    unmap_everywhere(system, object, pages, kToTheEnd, Zap::all);
    drop_pages(system, object, pages, kToTheEnd);
    unmap_everywhere(system, object, pages, kToTheEnd, Zap::all);
  }
  object.lock().unlock();
}

Errno write(MmSystem& system, SharedObject& object, std::uint64_t offset, std::uint64_t value) {
  PhysicalMemory& memory = system.memory;
  const std::uint64_t page = offset / kPageSize;
  object.lock().lock();
  const std::uint64_t size = object.size();
  if (page >= size) object.resize(page + 1);
  const Pfn frame = object.page(page, "a file that is written");
  if (frame == kNoPfn) {
    object.resize(size);
    drop_pages(system, object, size, kToTheEnd);
    object.lock().unlock();
    return Errno::enomem;
  }
  system.arbiter.step(memory.costs.access, writes(ObjectKind::frame_bytes, 0, frame.value));
  std::memcpy(memory.bytes(frame) + offset % kPageSize, &value, sizeof value);
  memory.frame(frame).idle = false;
  note_dirty(system, frame);
  memory.put(frame);
  object.lock().unlock();
  return Errno::ok;
}

// What a descriptor names, held while the call works on it.
template <class Work>
Errno call(Mm& caller, std::string_view name, std::uint64_t id, Work work) {
  MmSystem& system = caller.system;
  return system_call(caller, name, {}, [&] {
    if (id == 0) return Errno::ebadf;
    SharedObject* const object = system.object(id);
    if (object == nullptr) return Errno::ok;
    object->mapped(1);
    const Errno answer = work(system, *object);
    system.unmap_object(*object, 1);
    return answer;
  });
}

// What the advice needs of a VMA.
Errno may_remove(const MmSystem& system, const VmaAttributes& attributes) {
  if (attributes.locked || attributes.object == nullptr) return Errno::einval;
  if (!attributes.shared || !(attributes.rights.write || system.behaviour.remove_readonly)) return Errno::eacces;
  return attributes.object->file() && !system.behaviour.punch_hole ? Errno::enosys : Errno::ok;
}

}  // namespace

Errno truncate_file(Mm& caller, std::uint64_t object, std::uint64_t pages) {
  return call(caller, "ftruncate", object, [pages](MmSystem& system, SharedObject& file) {
    truncate(system, file, pages);
    return Errno::ok;
  });
}

Errno punch_hole(Mm& caller, std::uint64_t object, std::uint64_t first, std::uint64_t pages) {
  require(caller.system.behaviour.punch_hole, "fallocate(PUNCH_HOLE)");
  return call(caller, "fallocate", object, [first, pages](MmSystem& system, SharedObject& file) {
    if (pages == 0) return Errno::einval;
    punch(system, file, first, first + pages);
    return Errno::ok;
  });
}

Errno write_file(Mm& caller, std::uint64_t object, std::uint64_t offset, std::uint64_t value) {
  return call(caller, "pwrite", object, [offset, value](MmSystem& system, SharedObject& file) {
    return offset % kPageSize > kPageSize - sizeof value ? Errno::einval : write(system, file, offset, value);
  });
}

// Rule: VMA by VMA, until one refuses; holes are passed over. mmap_lock is held only to find out what is mapped, for
// the file's lock comes before it.
Errno madvise_remove(Mm& mm, PageRange range) {
  return system_call(mm, "madvise", range, [&] {
    if (!is_user_range(range)) return Errno::einval;
    MmSystem& system = mm.system;
    lock_for_reading(mm);
    system.arbiter.step(system.costs.vma_work);
    Errno answer = Errno::ok;
    bool holes = false;
    while (!range.empty()) {
      const VmaList pieces = vmas_in(mm.vmas, range);
      holes |= pieces.empty() || pieces.front().pages.first != range.first;
      if (pieces.empty()) break;
      const Vma& piece = pieces.front();
      answer = may_remove(system, piece.attributes);
      if (answer != Errno::ok) break;
      SharedObject& object = *piece.attributes.object;
      object.mapped(1);
      unlock_for_reading(mm);
      const std::uint64_t first = piece.offset_of(piece.pages.first);
      punch(system, object, first, first + piece.pages.pages());
      system.unmap_object(object, 1);
      lock_for_reading(mm);
      range.first = piece.pages.end;
    }
    unlock_for_reading(mm);
    return answer == Errno::ok && holes ? Errno::enomem : answer;
  });
}

}  // namespace secmmu
