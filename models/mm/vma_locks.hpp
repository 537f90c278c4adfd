// The locks of single VMAs (v6.4 on). A page fault holds only that of its own VMA, for reading, and so does not
// wait for whoever changes another one. Who changes VMAs holds mmap_lock for writing and, until he gives that
// back, every VMA that he changes: faults there turn to mmap_lock instead.
#pragma once

#include <map>
#include <string>

#include <boost/icl/interval_set.hpp>

#include "models/mm/vma.hpp"
#include "notifier/substrate/sync/rw_semaphore.hpp"

namespace secmmu {

class VmaLocks {
 public:
  VmaLocks(Arbiter& arbiter, std::string mm);

  // A fault in this VMA. False: a writer has it. A point.
  bool try_lock_read(const Vma& vma);
  void unlock_read(const Vma& vma);
  // mmap_lock is held for writing. Waits until no fault is under way in these VMAs. May sleep.
  void lock_write(const VmaList& vmas);
  // With the end of mmap_lock for writing, all at once.
  void end_write() { written_.clear(); }
  // For one who takes all of them in between, and then gives back only what he took.
  using Written = boost::icl::interval_set<std::uint64_t>;
  Written written() const { return written_; }
  void restore(Written written) { written_ = std::move(written); }

 private:
  RwSemaphore& of(const Vma& vma);

  Arbiter& arbiter_;
  std::string mm_;
  // By the first page, which stays as long as somebody holds the lock: a VMA changes its borders only under
  // the lock for writing.
  std::map<Vpn, RwSemaphore> locks_;
  Written written_;
};

}  // namespace secmmu
