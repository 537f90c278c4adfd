#include "models/mm/page_lock.hpp"

#include "models/mm/swap.hpp"

namespace secmmu {

bool try_lock_page(MmSystem& system, Pfn frame) {
  Frame& page = system.memory.frame(frame);
  if (page.locked) return false;
  page.locked = true;
  return true;
}

void lock_page(MmSystem& system, Pfn frame) {
  if (try_lock_page(system, frame)) return;
  system.page_locks.wait_until([&] { return try_lock_page(system, frame); }, "a page to be unlocked");
}

void unlock_page(MmSystem& system, Pfn frame) {
  system.memory.frame(frame).locked = false;
  const std::uint64_t frames = system.memory.folio_frames(frame);
  for (std::uint64_t i = 0; i < frames; ++i) forget_in_swap_cache(system, {frame.value + i});
  if (system.page_locks.has_waiters()) system.page_locks.wake_all();
}

}  // namespace secmmu
