// Asking subscribers whether pages were used. Called under the page-table lock: no callback may sleep.
#include "notifier/events.hpp"
#include "notifier/notifier_core.hpp"

namespace secmmu {

// Rule: every subscriber is asked, because each has an accessed bit of its own to clear.
bool NotifierCore::clear_flush_young(AddressSpace& mm, PageRange pages) {
  if (!anybody_to_tell(mm, false)) return false;
  const PageRange asked = behaviour_.young_by_range ? pages : one_page(pages.first);
  bool young = false;
  const std::uint64_t section = read_lock();
  for (ListSubscription* entry = first(mm); entry != nullptr; entry = next(mm, *entry)) {
    if (!entry->callbacks().has(Callback::clear_flush_young)) continue;
    CallbackEnd end = enter(*entry, mm, Callback::clear_flush_young, asked, 0);
    end.young = entry->clear_flush_young(mm, asked);
    leave(end);
    young |= end.young;
  }
  read_unlock(section);
  return young;
}

bool NotifierCore::clear_young(AddressSpace& mm, PageRange pages) {
  require(behaviour_.clear_young, "the callback clear_young");
  if (!anybody_to_tell(mm, false)) return false;
  bool young = false;
  const std::uint64_t section = read_lock();
  for (ListSubscription* entry = first(mm); entry != nullptr; entry = next(mm, *entry)) {
    if (!entry->callbacks().has(Callback::clear_young)) continue;
    CallbackEnd end = enter(*entry, mm, Callback::clear_young, pages, 0);
    end.young = entry->clear_young(mm, pages);
    leave(end);
    young |= end.young;
  }
  read_unlock(section);
  return young;
}

// Rule: nothing is cleared, so the first yes is the answer and the others are not asked.
bool NotifierCore::test_young(AddressSpace& mm, Vpn page) {
  require(behaviour_.test_young, "the callback test_young");
  if (!anybody_to_tell(mm, false)) return false;
  bool young = false;
  const std::uint64_t section = read_lock();
  for (ListSubscription* entry = first(mm); entry != nullptr; entry = next(mm, *entry)) {
    if (!entry->callbacks().has(Callback::test_young)) continue;
    CallbackEnd end = enter(*entry, mm, Callback::test_young, one_page(page), 0);
    end.young = entry->test_young(mm, page);
    leave(end);
    young = end.young;
    if (young) break;
  }
  read_unlock(section);
  return young;
}

}  // namespace secmmu
