// What the notifier core needs of an address space (Linux's mm_struct). models/mm implements it; the core
// owns the subscriptions that hang on it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "notifier/substrate/errno.hpp"
#include "notifier/substrate/sync/reference_count.hpp"
#include "notifier/substrate/sync/rw_semaphore.hpp"

namespace secmmu {

class Subscriptions;

// The one rule about its life: whoever holds a reference of mm_count may name the address space, whoever
// holds one of mm_users may also use its memory.
class AddressSpace {
 public:
  AddressSpace();
  AddressSpace(const AddressSpace&) = delete;
  AddressSpace& operator=(const AddressSpace&) = delete;
  virtual ~AddressSpace();

  virtual const std::string& name() const = 0;
  virtual std::uint32_t id() const = 0;
  virtual RwSemaphore& mmap_lock() = 0;
  // mm_users: threads and others that use the address space. 0 starts exit_mmap.
  virtual ReferenceCount& users() = 0;
  // mm_count: who holds the structure. 0 frees it. All users together hold one.
  virtual ReferenceCount& count() = 0;

  // Excludes everybody who could walk the subscriptions: mmap_lock is held for write by the caller; takes
  // every other lock under which an invalidation may run. EINTR when a signal is pending. May sleep.
  virtual Errno take_all_locks() = 0;
  virtual void drop_all_locks() = 0;
  // mm_count has fallen to 0 (Linux's __mmdrop).
  virtual void last_count_dropped() = 0;

  // Drops a reference of mm_count, and the structure with the last one.
  void drop_count() {
    if (count().put()) last_count_dropped();
  }

  // Allocated at the first registration, freed with the structure (NotifierCore::destroy): nullptr before. The
  // object itself stays for who comes too late; implementations drop it in their reset.
  std::unique_ptr<Subscriptions> subscriptions;
};

}  // namespace secmmu
