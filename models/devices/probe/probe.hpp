// A subscriber whose callbacks a scenario scripts: what a misbehaving driver does, in a few words. Beside
// it a plain table of translations, filled by a look at the page table.
//
// Without a script the probe is a well-behaved list subscriber: start drops the range and counts it open,
// end closes it, release drops everything, and a fill waits while a range is open.
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
  bool range_check = true;       // a fill waits while a range is open
  Time hit{10'000};
  Time fill{200'000};
  Time zap{100'000};
};
const ParameterTable<ProbeConfig>& probe_table();
const std::vector<CounterRow>& probe_counter_rows();

class ProbeDevice final : public Device {
 public:
  ProbeDevice(std::string name, Arbiter& arbiter, MmSystem& mms, ProbeConfig config, const sc_core::sc_module_name& port);
  ~ProbeDevice() override;

  // What a script may do in a callback.
  struct CallbackContext {
    ProbeDevice& probe;
    Mm& mm;
    Callback callback;
    PageRange pages;          // kWholeSpace in release
    bool blockable = true;
    Errno result = Errno::ok;  // `refuse` sets eagain
    bool young = false;
    void zap();                // drops the translations in `pages`
    void unregister();
    void free_subscription();
  };
  using Script = std::function<void(CallbackContext&)>;
  // Replaces the default behaviour of one callback. The first script makes the probe have only scripted
  // callbacks.
  void set_script(Callback callback, Script script);
  void clear_scripts();

  MemoryPort port;

  const std::string& name() const override { return name_; }
  unsigned contexts() const override { return static_cast<unsigned>(config_.contexts); }
  Errno attach(Mm& mm) override;
  void detach(Mm& mm) override;
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
  void zap(Mm& mm, PageRange pages);
  Errno fill(Subscription* subscription, Mm& mm, Vpn page, bool write, std::uint64_t id);

  std::string name_;
  Arbiter& arbiter_;
  MmSystem& mms_;
  const ProbeConfig config_;
  std::uint32_t object_;
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
