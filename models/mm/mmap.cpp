// mmap: room in the address space, nothing more. Pages come with the faults.
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

// Rule: what was mapped at a fixed place is unmapped by the same sequence as munmap's, with mmap_lock held
// for writing throughout. A place that is only wished for is taken if it is free.
Errno mmap(Mm& mm, const MmapRequest& request, VirtAddr& result) {
  return system_call(mm, "mmap", pages_of(request.at, 0), [&] {
    if (request.pages == 0 || (request.fixed && request.at.offset() != 0)) return Errno::einval;
    if (request.pages > kWholeSpace.pages()) return Errno::enomem;
    const Vpn wish = request.at.page();
    const bool fits = wish < kWholeSpace.end && kWholeSpace.end - wish >= request.pages;
    if (request.fixed && !fits) return Errno::enomem;

    lock_for_writing(mm);
    mm.system.arbiter.step(mm.system.costs.vma_work);
    PageRange range{wish, wish + request.pages};
    if (request.fixed) {
      unmap_span(mm, range, false);
    } else if (wish.value == 0 || !fits || any_vma(mm.vmas, range)) {
      range.first = mm.find_gap(request.pages, 1).page();
      range.end = range.first + request.pages;
      if (range.first.value == 0) {
        unlock_for_writing(mm);
        return Errno::enomem;
      }
    }
    VmaAttributes attributes;
    attributes.rights = request.rights;
    attributes.shared = request.shared;
    if (request.shared) {
      attributes.object = &mm.system.create_object(request.pages, request.file);
      attributes.object->mapped(request.pages);
      attributes.origin = 0 - range.first.value;
    } else {
      attributes.accounted = request.rights.write;
    }
    add_vma(mm, range, attributes, NewVma::mapping);
    unlock_for_writing(mm);
    result = address_of(range.first);
    return Errno::ok;
  });
}

}  // namespace secmmu
