// A subscriber whose callbacks a scenario scripts: what a misbehaving driver does, in a few words. Beside
// it a plain table of translations, filled by a look at the page table.
//
// Without a script the probe is a well-behaved subscriber. As a list subscriber (of its own, or shared by get
// and put): start drops the range and counts it open, end closes it, release drops everything, and a fill
// waits while a range is open. As an interval subscriber it follows the protocol of sequences.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "models/devices/device.hpp"
#include "notifier/list_subscription.hpp"
#include "notifier/substrate/sync/mutex.hpp"
#include "notifier/substrate/sync/spinlock.hpp"
#include "notifier/substrate/sync/wait_queue.hpp"
#include "notifier/substrate/trace/ghost.hpp"

namespace secmmu {

struct ProbeConfig {
  std::uint64_t contexts = 8;
  std::string subscription = "list";  // list | shared | interval
  bool never_blocks = false;          // v4.16 to v4.18: says so
  bool retry_check = true;            // interval: a fill asks whether an invalidation came between
  bool range_check = true;            // a fill waits while a range is open
  bool look_first = false;            // a fill looks at the page table, takes its time, then asks for ranges since
  bool late_object = false;           // what open ranges are counted for is made later, by add_object
  Time hit{10'000};
  Time fill{200'000};
  Time zap{100'000};
};
const ParameterTable<ProbeConfig>& probe_table();
const std::vector<CounterRow>& probe_counter_rows();

class ProbeDevice final : public Device {
 public:
  ProbeDevice(std::string name, Arbiter& arbiter, MmSystem& mms, ProbeConfig config,
              const sc_core::sc_module_name& port);
  ~ProbeDevice() override;

  // What a script may do in a callback.
  struct CallbackContext {
    ProbeDevice& probe;
    Mm& mm;
    Callback callback;
    PageRange pages;  // kWholeSpace in release
    bool blockable = true;
    Errno result = Errno::ok;  // `refuse` sets eagain
    bool young = false;
    std::uint64_t sequence = 0;  // interval: of this invalidation
    void zap();                  // drops the translations in `pages`
    void unregister();
    void unregister_no_release();
    void free_subscription();
    void free_later();                 // after a grace period
    void open_range(std::int64_t by);  // counts open ranges, as well-behaved probes do
    void set_sequence();               // interval
  };
  using Script = std::function<void(CallbackContext&)>;
  // Replaces the default behaviour of one callback. The first script makes the probe have only scripted
  // callbacks.
  void set_script(Callback callback, Script script);
  void clear_scripts();

  MemoryPort port;

  const std::string& name() const override { return name_; }
  unsigned contexts() const override { return static_cast<unsigned>(config_.contexts); }
  Errno attach(Mm& mm) override { return attach_pages(mm, kWholeSpace); }
  Errno attach_pages(Mm& mm, PageRange interval) override;
  void detach(Mm& mm) override;
  void detach_no_release(Mm& mm);
  // A driver that gives its latest subscription's memory to this mm back: now, or after a grace period.
  void free_subscription(Mm& mm);
  void free_later(Mm& mm);
  // Waits until no range of this mm is open, as far as its latest subscription was told. May sleep.
  void drain(Mm& mm);
  // Makes what a probe with late_object counts open ranges for. Whoever is between start and end counts only its end.
  void add_object(Mm& mm);
  void driver_exit();  // its module goes
  Errno access(unsigned context, Mm& mm, VirtAddr address, unsigned bytes, bool write, std::uint64_t& value) override;
  std::vector<CounterRow> counters() const override;
  void reset() override;

 private:
  struct Entry {
    Pfn frame;
    bool writable = false;
    Ghost ghost;
  };
  struct Subscription;
  using Key = std::pair<std::uint32_t, std::uint64_t>;  // mm, page

  Subscription* subscription_of(const Mm& mm);
  Subscription* latest_of(const Mm& mm);
  bool wanted(const Mm& mm) const;
  void leave(Subscription& subscription);
  bool gone(const Subscription* subscription) const;
  void require_a_hook() const;
  Errno get_shared(Mm& mm);
  void zap(Mm& mm, PageRange pages);
  Errno look(Mm& mm, Vpn page, bool write, Pte& entry);
  Errno fill(Subscription* subscription, Mm& mm, Vpn page, bool write, std::uint64_t id);
  Errno fill_by_count(Subscription& counted, Mm& mm, Vpn page, bool write, std::uint64_t id);
  Errno fill_by_sequence(Subscription& subscription, Mm& mm, Vpn page, bool write, std::uint64_t id);
  void keep(Mm& mm, Vpn page, Pte entry);

  std::string name_;
  Arbiter& arbiter_;
  MmSystem& mms_;
  const ProbeConfig config_;
  std::uint32_t object_;
  Mutex lock_;                                     // of the interval protocol
  std::map<Key, std::unique_ptr<Entry>> entries_;  // entries keep their address: sinks mark their ghosts
  std::vector<std::unique_ptr<Subscription>> subscriptions_;
  std::map<Callback, Script> scripts_;
  std::uint64_t next_fault_ = 1;
  std::uint64_t hits_ = 0;
  std::uint64_t faults_ = 0;
  std::uint64_t retries_ = 0;
  std::uint64_t zapped_ = 0;
  std::uint64_t callbacks_ = 0;
};

}  // namespace secmmu
