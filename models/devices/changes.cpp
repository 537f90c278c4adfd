// The history of drivers, as a changelog: what differs in more than the callbacks that a kernel has. The first rows
// say how it was when notifiers came, in v2.6.27. A row without a commit after those is dated by its release.
#include <string>

#include "models/devices/behaviour.hpp"

namespace secmmu {

const ParameterTable<DriverBehaviour>& driver_behaviour_table() {
  using B = DriverBehaviour;
  static const ParameterTable<B> table =
      ParameterTable<B>("driver")
          .flag("kvm_hull", &B::kvm_hull,
                "KVM: a fault is held back by an open range only if its page lies in the hull of the open ranges, "
                "not by any range anywhere.")
          .flag("kvm_skips_others", &B::kvm_skips_others,
                "KVM: an invalidation of memory that no slot shows to the guest takes no lock and is not counted.")
          .choice("kvm_change_pte", &B::kvm_change_pte, {"always", "in-range"},
                  "KVM: change_pte is acted on whenever it comes, and moves the sequence; or only while a range is "
                  "open that met a memory slot.")
          .flag("kvm_early_look", &B::kvm_early_look,
                "KVM: a fault looks for an open range before it asks for the page, without a lock, and saves itself "
                "the way.");
  return table;
}

const std::vector<Change>& driver_changes() {
  using std::string;
  constexpr KernelVersion kFirst{2, 6, 27};
  static const std::vector<Change> changes{
      // --- how it began ---
      {"", kFirst, "kvm_hull", false, "Any open range holds back every fault of the guest."},
      {"", kFirst, "kvm_skips_others", false, "Every invalidation of the process counts, whatever it is about."},
      {"", kFirst, "kvm_change_pte", string("always"),
       "It comes outside every range, so it moves the sequence itself."},
      {"", kFirst, "kvm_early_look", false, "What is known of open ranges is asked once, under mmu_lock."},

      // --- and what became of it ---
      {"4a42d848db95",
       {5, 12, 0},
       "kvm_hull",
       true,
       "Invalidations that follow each other without a break no longer keep a guest from memory that they are not "
       "about."},
      {"",
       {5, 13, 0},
       "kvm_change_pte",
       string("in-range"),
       "It has come inside a range since v3.7, and that range moves the sequence; nothing is mapped there to change."},
      {"",
       {5, 15, 0},
       "kvm_skips_others",
       true,
       "What a program does to memory that is not its guest's no longer takes mmu_lock, the lock that all faults "
       "take."},
      {"",
       {6, 9, 0},
       "kvm_early_look",
       true,
       "A fault that would find a range open anyway no longer takes mmu_lock from those that invalidate."},
  };
  return changes;
}

DriverBehaviour driver_behaviour(KernelVersion version) {
  DriverBehaviour behaviour;
  apply_changes(driver_changes(), driver_behaviour_table(), version, &behaviour);
  return behaviour;
}

}  // namespace secmmu
