// MADV_SOFT_OFFLINE: frames are taken out of use while what they hold can still be saved.
#include "models/mm/entries.hpp"
#include "models/mm/huge.hpp"
#include "models/mm/migrate.hpp"

namespace secmmu {

namespace {

// A page of an object that nobody maps and that can be had again.
bool drop_cached(MmSystem& system, Pfn frame) {
  const Frame& page = system.memory.frame(frame);
  if (page.use != FrameUse::shared || page.mappings != 0 || page.dirty || page.references != 2) return false;
  SharedObject* object = system.object(page.mapping);
  return object != nullptr && object->give_up(page.index, frame);
}

// Gives the caller's reference up in any case.
Errno take_out_of_use(MmSystem& system, Pfn frame) {
  PhysicalMemory& memory = system.memory;
  const FrameUse use = memory.frame(frame).use;
  const bool can_move = use == FrameUse::anonymous || use == FrameUse::shared || use == FrameUse::merged;
  Errno answer = can_move ? Errno::ok : Errno::eio;
  if (answer == Errno::ok && memory.frame(frame).folio && !split_huge_page(system, frame)) answer = Errno::ebusy;
  if (answer == Errno::ok && drop_cached(system, frame)) {
    memory.retire(frame);
    return Errno::ok;
  }
  if (answer == Errno::ok && !isolate_page(system, frame)) answer = Errno::ebusy;
  memory.put(frame);
  if (answer != Errno::ok) return answer;
  answer = migrate_pages(system, {frame}, std::nullopt).front();
  if (answer == Errno::ok) {
    memory.frame(frame).isolated = false;
    memory.retire(frame);
    return Errno::ok;
  }
  put_isolated(system, frame);
  return answer == Errno::enomem ? answer : Errno::ebusy;
}

}  // namespace

// Rule: of a huge page the one small page goes; the call goes on behind what was the huge one.
Errno madvise_soft_offline(Mm& mm, PageRange range) {
  require(mm.system.behaviour.soft_offline, "MADV_SOFT_OFFLINE");
  return system_call(mm, "madvise", range, [&] {
    if (!is_user_range(range)) return Errno::einval;
    for (Vpn page = range.first; page < range.end;) {
      Pfn frame{};
      Pte entry;
      Errno answer = get_user_page(mm, page, false, frame, entry);
      if (answer != Errno::ok) return answer;
      const std::uint64_t pages = mm.system.memory.folio_frames(frame);
      answer = take_out_of_use(mm.system, frame);
      if (answer != Errno::ok) return answer;
      page = page + pages;
    }
    return Errno::ok;
  });
}

}  // namespace secmmu
