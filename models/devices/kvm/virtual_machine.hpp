// A virtual machine: the driver's half that listens. One for each address space that the device is attached to: its
// memory slots, its table, mmu_lock, and what faults must know of invalidations (Linux: struct kvm).
//
// The rule that carries it all, of virt/kvm in every kernel: a fault looks at the sequence, asks for the page, which
// may sleep, and then, under mmu_lock, maps it only if no range that may concern the page is open and none has ended
// since the look. Callbacks hold mmu_lock, a spinlock, and nothing else, so none of them sleeps.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "models/devices/behaviour.hpp"
#include "models/devices/kvm/hardware.hpp"
#include "models/devices/kvm/memslots.hpp"
#include "models/devices/kvm/protocol.hpp"
#include "models/mm/mm.hpp"
#include "notifier/list_subscription.hpp"
#include "notifier/substrate/sync/spinlock.hpp"

namespace secmmu {

// What the virtual machines of one device share.
struct KvmModule {
  const std::string& name;
  Arbiter& arbiter;
  MmSystem& mms;
  KvmHardware& hardware;
  const KvmConfig& config;
  KvmProtocol protocol = {};
  DriverBehaviour behaviour = {};
  struct Counters {
    std::uint64_t faults = 0;
    std::uint64_t retries_open = 0;   // a range was open
    std::uint64_t retries_moved = 0;  // the sequence had moved
    std::uint64_t errors = 0;
    std::uint64_t mapped = 0;
    std::uint64_t zapped = 0;
    std::uint64_t others = 0;  // invalidations that met no slot
    std::uint64_t changed = 0;
    std::uint64_t dirty = 0;
    std::uint64_t young = 0;
    std::uint64_t large = 0;
  } counters = {};
};

class VirtualMachine final : public ListSubscription {
 public:
  VirtualMachine(KvmModule& module, Mm& mm, std::uint32_t asid);

  Mm& mm;
  Memslots slots;
  ShadowTable table;
  SpinLock mmu_lock;
  bool registered = false;
  bool released = false;  // it runs no guest any more; under mmu_lock

  // --- what faults ask ---
  // A point.
  std::uint64_t sequence();
  // Why a fault that looked at `sequence` may not map `host` now; empty: it may. A point.
  std::string_view stale(std::uint64_t sequence, Vpn host);
  // A range is open that may concern the page. A point.
  bool open_at(Vpn host);
  // Maps, mmu_lock held. ENOMEM: no frame for a table.
  Errno map(Vpn guest, Vpn host, Pfn frame, bool writable, bool write);

  std::int64_t open_ranges() const { return open_; }
  // The machine goes: nobody calls it any more. Frees the table.
  void destroy();

  // --- callbacks ---
  const std::string& name() const override { return module_.name; }
  CallbackSet callbacks() const override;
  bool never_blocks() const override { return true; }
  Errno invalidate_range_start(const InvalidateRange& range) override;
  void invalidate_range_end(const InvalidateRange& range) override;
  void invalidate_page(AddressSpace&, Vpn page) override;
  void change_pte(AddressSpace&, Vpn page, Pfn frame, bool writable) override;
  bool clear_flush_young(AddressSpace&, PageRange pages) override { return age(pages, true, true); }
  bool clear_young(AddressSpace&, PageRange pages) override { return age(pages, true, false); }
  bool test_young(AddressSpace&, Vpn page) override { return age(one_page(page), false, false); }
  void release(AddressSpace&) override;

 private:
  bool may_be_huge(Vpn guest, Vpn host);
  Errno map_block(PageRange guest, Vpn host, Pte entry);
  std::vector<PageRange> zapped_ranges(PageRange host) const;
  bool zap(PageRange host);
  Pte take_out(Vpn guest, std::string_view why);
  void unlock(bool flush);
  void count(std::int64_t by);
  bool age(PageRange host, bool clear, bool flush);
  void touch_state();

  KvmModule& module_;
  std::int64_t open_ = 0;  // Linux: mmu_notifier_count, later mmu_invalidate_in_progress
  PageRange hull_;         // of the ranges that are or were open since it was 0; in the process's pages
  std::uint64_t sequence_ = 0;
};

}  // namespace secmmu
