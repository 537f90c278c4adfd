#include "notifier/contract/surroundings.hpp"

#include <array>
#include <string>

#include "notifier/substrate/sync/mutex.hpp"

namespace secmmu::contract {
namespace {

// An address space that has a page table of few entries, and nothing else.
class PlainSpace final : public AddressSpace {
 public:
  PlainSpace(Arbiter& arbiter, NotifierCore& core, std::string name, std::uint32_t id)
      : page_table_lock(arbiter, "page_table_lock", "page_table_lock(" + name + ")"),
        core_(core),
        name_(std::move(name)),
        id_(id),
        mmap_lock_(arbiter, "mmap_lock", "mmap_lock(" + name_ + ")"),
        users_(arbiter, "mm_users(" + name_ + ")", 1),
        count_(arbiter, "mm_count(" + name_ + ")", 1),
        rmap_locks_(arbiter, "rmap_locks", "rmap_locks(" + name_ + ")") {}

  const std::string& name() const override { return name_; }
  std::uint32_t id() const override { return id_; }
  RwSemaphore& mmap_lock() override { return mmap_lock_; }
  ReferenceCount& users() override { return users_; }
  ReferenceCount& count() override { return count_; }
  Errno take_all_locks() override {
    rmap_locks_.lock();
    return Errno::ok;
  }
  void drop_all_locks() override { rmap_locks_.unlock(); }
  void last_count_dropped() override { core_.destroy(*this); }

  SpinLock page_table_lock;
  std::array<PageEntry, Surroundings::kPages> entries;

 private:
  NotifierCore& core_;
  std::string name_;
  std::uint32_t id_;
  RwSemaphore mmap_lock_;
  ReferenceCount users_;
  ReferenceCount count_;
  Mutex rmap_locks_;
};

class PlainSurroundings final : public Surroundings {
 public:
  PlainSurroundings(Arbiter& arbiter, Task& rcu_worker, Task& srcu_worker)
      : arbiter_(arbiter), core_(arbiter, rcu_worker, srcu_worker) {}

  Arbiter& arbiter() override { return arbiter_; }
  NotifierCore& core() override { return core_; }
  void begin(KernelVersion kernel) override {
    core_.reset();
    core_.set_behaviour(notifier_behaviour(kernel));
    for (unsigned i = 0; i < kSpaces; ++i)
      spaces_[i] = std::make_unique<PlainSpace>(arbiter_, core_, i == 0 ? "app" : "other", i + 1);
  }
  AddressSpace& mm(unsigned space) override { return *spaces_.at(space); }
  SpinLock& page_table_lock(AddressSpace& mm) override { return static_cast<PlainSpace&>(mm).page_table_lock; }
  Vpn first_page() const override { return VirtAddr{0x7f00'0000'0000}.page(); }
  Pfn frame(std::uint64_t number) override { return {1000 + number}; }
  PageEntry entry(AddressSpace& mm, Vpn page) override { return slot(mm, page); }
  void enter(AddressSpace& mm, Vpn page, PageEntry entry) override { slot(mm, page) = entry; }

 private:
  PageEntry& slot(AddressSpace& mm, Vpn page) { return static_cast<PlainSpace&>(mm).entries.at(page - first_page()); }

  Arbiter& arbiter_;
  NotifierCore core_;
  std::array<std::unique_ptr<PlainSpace>, kSpaces> spaces_;
};

}  // namespace

void Surroundings::mmput(AddressSpace& mm) {
  const bool last = mm.users().put();
  if (!last) return;
  core().release(mm);
  SpinLock& lock = page_table_lock(mm);
  lock.lock();
  for (std::uint64_t i = 0; i < kPages; ++i) enter(mm, first_page() + i, {});
  lock.unlock();
  unmapped(mm);
  mm.drop_count();
}

std::unique_ptr<Surroundings> plain_surroundings(Arbiter& arbiter, Task& rcu_worker, Task& srcu_worker) {
  return std::make_unique<PlainSurroundings>(arbiter, rcu_worker, srcu_worker);
}

}  // namespace secmmu::contract
