// Where the suite plays: two address spaces whose page tables it writes, and a notifier core. A device that is content
// with secmmu::AddressSpace gets plain_surroundings(); one that insists on the address spaces of a memory manager
// brings surroundings that wrap them.
#pragma once

#include <memory>

#include "notifier/notifier_core.hpp"

namespace secmmu::contract {

// One entry of a page table, or one translation of a device.
struct PageEntry {
  Pfn frame = kNoPfn;
  bool writable = false;
  bool present() const { return frame != kNoPfn; }
};

class Surroundings {
 public:
  static constexpr unsigned kSpaces = 2;
  static constexpr std::uint64_t kPages = 8;  // of each space; the entries of all others stay empty

  virtual ~Surroundings() = default;

  virtual Arbiter& arbiter() = 0;
  virtual NotifierCore& core() = 0;
  // A new play: nobody runs, everything is fresh, the spaces are empty and have one user each.
  virtual void begin(KernelVersion kernel) = 0;

  virtual AddressSpace& mm(unsigned space) = 0;
  virtual SpinLock& page_table_lock(AddressSpace& mm) = 0;
  virtual Vpn first_page() const = 0;
  virtual Pfn frame(std::uint64_t number) = 0;  // to be put into entries; another one for each number below kFrames
  static constexpr std::uint64_t kFrames = 64;
  // No scheduling points: the suite passes them.
  virtual PageEntry entry(AddressSpace& mm, Vpn page) = 0;
  virtual void enter(AddressSpace& mm, Vpn page, PageEntry entry) = 0;
  // The last user is gone and the page table is empty: what a memory manager does then beside giving mm_count back.
  virtual void unmapped(AddressSpace&) {}

  // A user of the space goes; the last one ends it. For the suite, and for devices whose maps hold mm_users.
  void mmput(AddressSpace& mm);
};

// `rcu_worker` and `srcu_worker`: service tasks of the machine for the two domains of the notifier core.
std::unique_ptr<Surroundings> plain_surroundings(Arbiter& arbiter, Task& rcu_worker, Task& srcu_worker);

}  // namespace secmmu::contract
