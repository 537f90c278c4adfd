#include "notifier/behaviour.hpp"

#include <stdexcept>

namespace secmmu {

const ParameterTable<NotifierBehaviour>& notifier_behaviour_table() {
  using B = NotifierBehaviour;
  static const ParameterTable<B> table =
      ParameterTable<B>("notifier")
          .choice("read_side", &B::read_side, {"rcu", "srcu"},
                  "Kind of read section around every callback: inside rcu no callback may sleep, inside srcu it may.")
          .choice("release_order", &B::release_order, {"unlink-then-call", "call-then-unlink"},
                  "At the end of an mm: is a subscriber taken out of the list before or after its release callback? "
                  "Between the two an invalidation reaches it only if it is called first.")
          .choice("release_section", &B::release_section, {"each-call", "all-calls", "until-unlinked"},
                  "At the end of an mm: what one read section covers. each-call: one release callback; all-calls: all "
                  "of them; until-unlinked: also the emptying of the list, so that nothing a release callback queued "
                  "for after the grace period can run before.")
          .choice("unregister_order", &B::unregister_order, {"unlink-then-call", "call-then-unlink"},
                  "The same question as release_order, for unregister.")
          .flag("unregister_copes_with_unlinked", &B::unregister_copes_with_unlinked,
                "unregister unlinks by a deletion that does nothing when the end of the mm came first; otherwise that "
                "is a double deletion.")
          .choice("allocation", &B::allocation, {"before-mmap-lock", "under-all-locks", "under-mmap-lock"},
                  "Where a registration allocates: before it takes mmap_lock and whether needed or not, with every "
                  "lock of the mm held, or under mmap_lock alone.")
          .flag("skips_empty_list", &B::skips_empty_list,
                "start, end and release do nothing when the list is empty; otherwise they enter a read section, and "
                "release waits for a grace period, for nobody.")
          .flag("get_put", &B::get_put, "Subscriptions can be found again and counted: get, put, free_notifier.")
          .choice("synchronize", &B::synchronize, {"absent", "callbacks", "sections"},
                  "What mmu_notifier_synchronize waits for: it does not exist, for all delayed frees queued so far, or "
                  "only for open read sections.")
          .flag("unregister_no_release", &B::unregister_no_release,
                "A way to leave exists that neither calls release nor waits.")
          .flag("call_after_grace", &B::call_after_grace,
                "A driver may queue work of its own for after a grace period of the notifiers' sections.")
          .flag("change_pte", &B::change_pte, "The change_pte callback exists.")
          .flag("change_pte_fallback", &B::change_pte_fallback,
                "A subscriber without change_pte gets invalidate_page instead.")
          .flag("invalidate_page", &B::invalidate_page, "The invalidate_page callback exists.")
          .flag("test_young", &B::test_young, "The test_young callback exists.")
          .flag("clear_young", &B::clear_young, "The clear_young callback exists.")
          .flag("young_by_range", &B::young_by_range,
                "clear_flush_young gets a range; otherwise one page, of a huge page the first.")
          .flag("start_may_fail", &B::start_may_fail,
                "invalidate_range_start answers, and a range says whether its callbacks may block.")
          .flag("failed_start_rolls_back", &B::failed_start_rolls_back,
                "When a start fails, every subscriber that has an end callback gets it at once; otherwise those that "
                "had been told wait for an end that never comes.")
          .flag("blocking_checks", &B::blocking_checks,
                "A blockable range is announced only where sleeping is allowed, and inside the callbacks of a "
                "non-blockable one sleeping is forbidden; otherwise nobody looks.")
          .flag("blockable_flag", &B::blockable_flag,
                "A subscriber may say once for all that none of its callbacks blocks; who must not wait asks for those "
                "that do not say so, and keeps away from their address spaces.")
          .flag("invalidate_range", &B::invalidate_range,
                "The invalidate_range callback exists, for devices that walk the CPUs' page tables: after a TLB flush, "
                "before the pages go, and again with every end.")
          .flag("only_end", &B::only_end,
                "An end that does not call invalidate_range exists, for operations that have called it themselves.")
          .flag("secondary_tlbs", &B::secondary_tlbs,
                "The arch_invalidate_secondary_tlbs callback exists, for subscribers that have neither start nor end.")
          .flag("intervals", &B::intervals, "Interval subscriptions exist.")
          .choice("interval_insert_asks", &B::interval_insert_asks, {"count", "users"},
                  "What an insertion demands of the mm: that its structure is held, or that it has users, and so that "
                  "its end, which would tell the subscription, is still to come.")
          .choice("interval_remove_looks", &B::interval_remove_looks, {"unlocked", "locked"},
                  "How a removal that waits for open ranges sees that they are over: by a look at the sequence, or "
                  "under the lock, when what was put off has been done too.");
  return table;
}

NotifierBehaviour notifier_behaviour(KernelVersion version) {
  if (version < KernelVersion{2, 6, 27}) throw std::invalid_argument(to_text(version) + " has no mmu notifiers");
  NotifierBehaviour behaviour;
  apply_changes(notifier_changes(), notifier_behaviour_table(), version, &behaviour);
  return behaviour;
}

}  // namespace secmmu
