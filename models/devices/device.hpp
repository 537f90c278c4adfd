// What the rest of the machine knows of a secondary MMU: it attaches to address spaces, executes accesses
// through translations of its own, and detaches. How it stays coherent is its driver's business.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "models/devices/behaviour.hpp"
#include "models/mm/mm.hpp"
#include "notifier/substrate/address.hpp"

namespace secmmu {

// A rule of a driver's protocol that a scenario can switch off by name, to see what the rule is for.
struct ProtocolRule {
  std::string name;
  std::string sentence;
};

struct CounterRow {
  std::string name;      // without the device's name
  std::string unit;
  std::string sentence;
  std::int64_t value = 0;
};

class Device {
 public:
  virtual ~Device() = default;

  virtual const std::string& name() const = 0;
  virtual unsigned contexts() const = 0;

  // Subscribes to the address space. Runs in a task; may sleep. Errors of the registration.
  virtual Errno attach(Mm& mm) = 0;
  // The same for some pages of it. einval: this kind subscribes to whole address spaces.
  virtual Errno attach_pages(Mm& /*mm*/, PageRange /*pages*/) { return Errno::einval; }
  // Unsubscribes and holds nothing any more. Runs in a task; may sleep.
  virtual void detach(Mm& mm) = 0;

  // One access of up to 8 bytes inside a page, by the context's engine task: hits, or faults until it can
  // go on. efault: no such mapping or right; esrch: the context was taken away. Tells a DeviceAccessEnd.
  virtual Errno access(unsigned context, Mm& mm, VirtAddr address, unsigned bytes, bool write, std::uint64_t& value) = 0;

  // Whether an actor of this device has a user thread on a core beside the engine. If so, user_thread()
  // runs there: it readies the context, lets the engine run `program`, serves what only a CPU can, and
  // returns when the engine is done.
  virtual bool has_user_thread() const { return false; }
  virtual void user_thread(unsigned /*context*/, Mm&, Task& /*engine*/, std::function<void()> /*program*/) {}
  // Takes the context out of the hardware for a while (a device with contexts that are loaded and unloaded).
  virtual void unload(unsigned /*context*/, Mm&) {}

  // The rules of its protocol that are switched off from the next reset on. Names as in its table.
  virtual void set_without(const std::vector<std::string>& /*rules*/) {}

  // How drivers behave in the kernel of the next run.
  virtual void set_behaviour(const DriverBehaviour& /*behaviour*/) {}

  virtual std::vector<CounterRow> counters() const = 0;
  virtual void reset() = 0;
};

}  // namespace secmmu
