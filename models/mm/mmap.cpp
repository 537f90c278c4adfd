// mmap: room in the address space, nothing more. Pages come with the faults.
#include <optional>

#include "models/mm/entries.hpp"

namespace secmmu {

namespace {

std::string_view rights_text(const Rights& rights) {
  static constexpr std::string_view kTexts[] = {"---", "r--", "-w-", "rw-", "--x", "r-x", "-wx", "rwx"};
  return kTexts[(rights.read ? 1u : 0u) | (rights.write ? 2u : 0u) | (rights.execute ? 4u : 0u)];
}

}  // namespace

void note_mapped(Mm& mm, PageRange range, const VmaAttributes& attributes) {
  mm.system.arbiter.bus().emit(VmaMapped{mm.name(), mm.id(), range, rights_text(attributes.rights), attributes.shared});
}

namespace {

// The place of the new VMA; nothing: there is no room. What was there before is unmapped if the place is fixed.
std::optional<PageRange> make_room(Mm& mm, const MmapRequest& request) {
  const Vpn wish = request.at.page();
  const bool fits = wish < kWholeSpace.end && kWholeSpace.end - wish >= request.pages;
  PageRange range{wish, wish + request.pages};
  if (request.fixed) {
    unmap_span(mm, range, false);
  } else if (wish.value == 0 || !fits || any_vma(mm.vmas, range)) {
    range.first = mm.find_gap(request.pages, 1).page();
    range.end = range.first + request.pages;
    if (range.first.value == 0) return {};
  }
  return range;
}

// The object counts the pages of the VMA already.
void map_at(Mm& mm, PageRange range, const MmapRequest& request, SharedObject* object) {
  VmaAttributes attributes;
  attributes.rights = request.rights;
  attributes.shared = request.shared;
  attributes.accounted = request.rights.write && !request.shared;
  if (object != nullptr) {
    attributes.object = object;
    attributes.origin = request.offset - range.first.value;
  }
  add_vma(mm, range, attributes, NewVma::mapping);
}

}  // namespace

// Rule: what was mapped at a fixed place is unmapped by the same sequence as munmap's, with mmap_lock held
// for writing throughout. A place that is only wished for is taken if it is free. The object of a file is held from
// the beginning, for the unmapping might be that of its last mapping.
Errno mmap(Mm& mm, const MmapRequest& request, VirtAddr& result) {
  return system_call(mm, "mmap", pages_of(request.at, 0), [&] {
    if (request.pages == 0 || (request.fixed && request.at.offset() != 0)) return Errno::einval;
    if (request.pages > kWholeSpace.pages()) return Errno::enomem;
    const Vpn wish = request.at.page();
    const bool fits = wish < kWholeSpace.end && kWholeSpace.end - wish >= request.pages;
    if (request.fixed && !fits) return Errno::enomem;

    SharedObject* object = request.object == 0 ? nullptr : mm.system.object(request.object);
    if (request.object != 0 && object == nullptr) return Errno::ebadf;
    if (object != nullptr) object->mapped(request.pages);
    lock_for_writing(mm);
    mm.system.arbiter.step(mm.system.costs.vma_work);
    const std::optional<PageRange> range = make_room(mm, request);
    if (range) {
      if (object == nullptr && (request.shared || request.copies)) {
        object = &mm.system.create_object(request.pages, request.file);
        object->mapped(request.pages);
      }
      map_at(mm, *range, request, object);
    }
    unlock_for_writing(mm);
    if (range)
      result = address_of(range->first);
    else if (object != nullptr)
      mm.system.unmap_object(*object, request.pages);
    return range ? Errno::ok : Errno::enomem;
  });
}

}  // namespace secmmu
