// What a list subscriber owes, one row per rule; each is proven able to fail in contract_test.cpp.
#include "notifier/contract/contract.hpp"

namespace secmmu::contract {

const std::vector<Rule>& rules() {
  static const std::vector<Rule> list = {
      // --- translations ---
      {"translation-in-open-range", "After start returned, no translation of the range is usable until end."},
      {"stale-after-end", "After end returned, what is held of the range agrees with the page table."},
      {"stale-after-invalidate-page", "After invalidate_page returned, the page is not held as it was (up to v4.12)."},
      {"stale-after-change-pte", "After change_pte returned, the old frame is not held (v2.6.32 to v3.6)."},
      {"stale-after-flush",
       "After invalidate_range or arch_invalidate_secondary_tlbs returned, a device that has neither start nor end "
       "holds "
       "nothing of what went."},
      {"writable-where-read-only", "No translation is writable where the page table allows reading only."},
      {"drops-too-much", "A translation outside the range outlives an invalidation."},
      {"touched-by-other-space", "What happens to another address space takes nothing from this one."},
      {"no-progress", "When no range is open any more, a page that is there can be mapped."},
      // --- lifetime ---
      {"cannot-open", "A device that is not registered can be, also after it has been unregistered."},
      {"held-after-release", "When release returns, nothing is held."},
      {"mapped-after-release", "After release or close, nothing is mapped."},
      {"held-after-close", "When close returns, nothing is held, though no release came."},
      {"held-after-exit",
       "When an address space has released its subscribers, nothing is held, though no release came."},
      {"callback-after-close", "A device that was unregistered is called no more."},
      // --- context ---
      {"sleeps-in-atomic", "No callback sleeps under a spinlock or in an RCU read section, and no driver does."},
      {"sleeps-non-blockable", "A start or end of a range that may not block does not sleep (v4.19 on)."},
      {"sleeps-though-never-blocks", "Who says never_blocks does not sleep in start and end (v4.16 to v4.18)."},
      {"refuses-blockable", "A start that may block is not refused (v4.19 on)."},
      {"wrong-refusal", "A start is refused by EAGAIN and by nothing else (v4.19 on)."},
      {"refuses-with-end", "Who has an end callback refuses no start (v4.19 on)."},
      {"unbalanced-callback", "A callback returns with the locks, the sections and the rights to sleep that it found."},
      {"lock-order", "Locks are taken in an order that cannot deadlock, together with those of the memory manager."},
      {"stuck", "Everybody comes to an end."},
      {"warned", "The notifier core has nothing to warn of."},
      // --- ageing ---
      {"old-after-use", "A page that was used since the last question is young."},
      {"young-not-forgotten", "clear_flush_young and clear_young forget the use."},
      {"test-young-forgets", "test_young does not forget the use."},
  };
  return list;
}

}  // namespace secmmu::contract
