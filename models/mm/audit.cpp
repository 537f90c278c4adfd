#include <map>
#include <vector>

#include <fmt/format.h>

#include "models/mm/entries.hpp"

namespace secmmu {

namespace {

class Audit {
 public:
  explicit Audit(MmSystem& system)

      : system_(system),
        mappings_(system.memory.frames()),
        whole_mappings_(system.memory.frames()),
        holders_(system.memory.frames()) {}

  std::string run() {
    for (const auto& mm : system_.spaces()) check_space(*mm);
    check_objects();
    check_slots();
    for (const Pfn zero : {system_.zero_page_if_any(), system_.huge_zero_page_if_any()})
      if (zero != kNoPfn) ++holders_[zero.value];
    check_frames();
    return std::move(story_);
  }

 private:
  template <class... Args>
  void say(fmt::format_string<Args...> text, Args&&... args) {
    story_ += fmt::format(text, std::forward<Args>(args)...) + "\n";
  }

  void check_space(Mm& mm) {
    std::int64_t resident = 0;
    std::int64_t swapped = 0;
    mm.table.for_each(kWholeSpace, [&](Vpn page, Pte entry) {
      if (entry.swap()) {
        ++swapped;
        ++slot_users_[entry.slot()];
        if (mm.vma_at(page).pages.empty())
          say("{} {}: a swap entry without a VMA.", mm.name(), to_text(address_of(page)));
        return;
      }
      resident += entry.huge() ? static_cast<std::int64_t>(kHugeFrames) : 1;
      check_entry(mm, page, entry);
    });
    tables_ += mm.table.tables();
    if (resident != mm.counters.resident)
      say("{}: {} entries, but the counter says {}.", mm.name(), resident, mm.counters.resident);
    if (swapped != mm.counters.swapped)
      say("{}: {} swap entries, but the counter says {}.", mm.name(), swapped, mm.counters.swapped);
    if (mm.pending_gathers != 0) say("{}: {} gathers are open.", mm.name(), mm.pending_gathers);
    if (!mm.leaving.empty()) say("{}: VMAs are being unmapped for ever.", mm.name());
    if (mm.torn_down && (!mm.vmas.empty() || mm.table.tables() != 0)) say("{}: gone, but not empty.", mm.name());
    for (const Vma& vma : vmas_in(mm.vmas, kWholeSpace))
      if (vma.attributes.object != nullptr) object_pages_[vma.attributes.object] += vma.pages.pages();
  }

  void check_entry(Mm& mm, Vpn page, Pte entry) {
    const auto where = [&] { return fmt::format("{} {}", mm.name(), to_text(address_of(page))); };
    const Pfn pfn = entry.frame();
    if ((!entry.present() && !entry.prot_none()) || !system_.memory.contains(pfn))
      return say("{}: the entry {:#x} is none that we make.", where(), entry.bits);
    const Frame& frame = system_.memory.frame(pfn);
    ++(entry.huge() ? whole_mappings_ : mappings_)[pfn.value];
    ++holders_[system_.memory.head(pfn).value];
    if (entry.huge() && (!frame.folio || frame.behind != 0))
      return say("{}: huge, but no folio begins there.", where());
    const Vma vma = mm.vma_at(page);
    if (vma.pages.empty()) return say("{}: an entry without a VMA.", where());
    if (entry.huge() && !(vma.pages.first <= page && page + kHugeFrames <= vma.pages.end))
      say("{}: a huge entry lies across a border of VMAs.", where());
    const VmaAttributes& attributes = vma.attributes;
    if (entry.writable() && !attributes.rights.write) say("{}: writable in a VMA that is not.", where());
    if (entry.present() == attributes.rights.none()) say("{}: present and PROT_NONE disagree.", where());
    if (attributes.shared || frame.use == FrameUse::shared) {
      if (attributes.object == nullptr || !attributes.object->holds(vma.offset_of(page), pfn))
        say("{}: not the page of its object.", where());
      if (!attributes.shared && (entry.writable() || exclusive(entry)))
        say("{}: the object's page is taken for a private one.", where());
    } else if (frame.use == FrameUse::anonymous) {
      if ((entry.writable() || exclusive(entry)) && system_.memory.mappings(pfn) != 1)
        say("{}: its own, but frame {:#x} has {} mappings.", where(), pfn.value, system_.memory.mappings(pfn));
      if (attributes.anon_vma == 0) say("{}: a private page without anon_vma.", where());
    } else if (frame.use == FrameUse::merged) {
      const auto node = system_.ksm.nodes.find(frame.mapping);
      if (entry.writable() || exclusive(entry)) say("{}: a merged page is somebody's own.", where());
      if (node == system_.ksm.nodes.end() || node->second.frame != pfn)
        say("{}: KSM does not know its merged page {:#x}.", where(), pfn.value);
    } else if (frame.use == FrameUse::zero) {
      if (entry.writable()) say("{}: the zero page is writable.", where());
    } else {
      say("{}: frame {:#x} is {}.", where(), pfn.value, frame_use_name(frame.use));
    }
  }

  void check_objects() {
    for (const auto& object : system_.objects()) {
      if (object_pages_[object.get()] != object->mapped_pages())
        say("A shared object counts {} mapped pages, VMAs have {}.", object->mapped_pages(),
            object_pages_[object.get()]);
      for (const auto& [offset, frame] : object->pages()) ++holders_[frame.value];
      for (const auto& [offset, slot] : object->swapped()) ++slot_users_[slot];
      object_pages_.erase(object.get());
    }
    for (const auto& [object, pages] : object_pages_) say("{} pages map a shared object that is gone.", pages);
  }

  void check_slots() {
    const SwapArea& swap = system_.swap;
    for (std::uint64_t slot = 0; slot < swap.size(); ++slot) {
      if (swap.users(slot) != slot_users_[slot])
        say("Slot {}: {} users, {} entries.", slot, swap.users(slot), slot_users_[slot]);
      const Pfn cached = swap.cached(slot);
      if (cached == kNoPfn) continue;
      ++holders_[cached.value];
      if (system_.memory.frame(cached).slot != slot)
        say("Slot {}: cached in frame {:#x}, which has slot {}.", slot, cached.value,
            system_.memory.frame(cached).slot);
    }
  }

  void check_frames() {
    std::uint64_t tables = 0;
    for (std::uint64_t number = 0; number < system_.memory.frames(); ++number) {
      const Frame& frame = system_.memory.frame({number});
      if (frame.use == FrameUse::page_table) {
        ++tables;
        continue;
      }
      if (frame.use == FrameUse::kernel) continue;
      if (frame.isolated) say("Frame {:#x} ({}) is still isolated.", number, frame_use_name(frame.use));
      if (frame.mappings != mappings_[number])
        say("Frame {:#x} ({}): {} mappings, {} entries.", number, frame_use_name(frame.use), frame.mappings,
            mappings_[number]);
      if (frame.whole_mappings != whole_mappings_[number])
        say("Frame {:#x} ({}): {} whole mappings, {} huge entries.", number, frame_use_name(frame.use),
            frame.whole_mappings, whole_mappings_[number]);
      if (frame.references != holders_[number])
        say("Frame {:#x} ({}): {} references, {} holders.", number, frame_use_name(frame.use), frame.references,
            holders_[number]);
    }
    if (tables != tables_) say("{} frames are page tables, address spaces have {}.", tables, tables_);
  }

  MmSystem& system_;
  std::vector<std::uint32_t> mappings_;
  std::vector<std::uint32_t> whole_mappings_;
  std::vector<std::uint32_t> holders_;
  std::map<std::uint64_t, std::uint32_t> slot_users_;
  std::map<const SharedObject*, std::uint64_t> object_pages_;
  std::uint64_t tables_ = 0;
  std::string story_;
};

}  // namespace

std::string audit(MmSystem& system) { return Audit(system).run(); }

}  // namespace secmmu
