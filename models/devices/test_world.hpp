// For tests: the device kinds and an MmSystem on the machine of cpu/test_hardware.hpp, elaborated with it.
// Include it and call device_world() inside a test case.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "models/cpu/test_hardware.hpp"
#include "models/devices/events.hpp"
#include "models/devices/gru/driver.hpp"
#include "models/devices/hmm/driver.hpp"
#include "models/devices/kvm/driver.hpp"
#include "models/devices/probe/probe.hpp"
#include "models/mm/mm.hpp"
#include "notifier/events.hpp"
#include "notifier/kernel.hpp"
#include "notifier/notifier_core.hpp"
#include "notifier/substrate/sync/events.hpp"

namespace secmmu::testing {

inline constexpr VirtAddr kBuffer{0x7f00'0000'0000};
inline constexpr Rights kReadWrite{true, true, false};

inline GruConfig small_gru() {
  GruConfig config;
  config.contexts = 4;
  config.tlb_entries = 64;
  config.purge_limit = 8;
  config.asids = 6;
  return config;
}

// Slow in writing entries: there is time for somebody to come between.
inline HmmConfig slow_hmm() {
  HmmConfig config;
  config.entry_write = Time{2'000'000};
  return config;
}
inline KvmConfig small_kvm() {
  KvmConfig config;
  config.tlb_entries = 16;
  config.guest_views = 2;
  config.prepare = Time{3'000'000};  // a wide window for whole ranges
  return config;
}
// As the software device behind the recordings of v6.1: a table and nothing else; and not of all memory.
inline KvmConfig bare_kvm() {
  KvmConfig config;
  config.tlb_entries = 0;
  config.map_writable_on_read = false;
  config.change_pte = "always";
  config.slot_at = kBuffer.value;
  config.slot_pages = 12;
  config.prepare = Time{3'000'000};
  return config;
}

class DeviceWorld {
 public:
  static std::vector<Core*> all_cores() {
    std::vector<Core*> cores;
    for (unsigned number = 0; number < TestMachine::kCores; ++number) cores.push_back(&hardware().core(number));
    return cores;
  }
  static std::vector<Processor*> all_processors() {
    std::vector<Processor*> list;
    for (const auto& processor : machine().arbiter().processors()) list.push_back(processor.get());
    return list;
  }
  DeviceWorld()
      : notifier(machine().arbiter(), machine().worker(0), machine().worker(1)),
        system(machine().arbiter(), hardware().memory(), hardware().port(), all_cores(), hardware().shootdown(),
               notifier),
        gru("gru0", machine().arbiter(), system, all_processors(), small_gru()),
        hmm("hmm0", machine().arbiter(), system, slow_hmm()),
        kvm("kvm0", machine().arbiter(), system, small_kvm()),
        bare("kvm1", machine().arbiter(), system, bare_kvm()),
        probe("probe0", machine().arbiter(), system, ProbeConfig{}, "probe0_port") {
    gru.hardware.port.socket.bind(hardware().memory().socket);
    kvm.hardware.port.socket.bind(hardware().memory().socket);
    bare.hardware.port.socket.bind(hardware().memory().socket);
    hmm.hardware.port.socket.bind(hardware().memory().socket);
    probe.port.socket.bind(hardware().memory().socket);
  }

  NotifierCore notifier;
  MmSystem system;
  GruDevice gru;
  HmmDevice hmm;
  KvmDevice kvm;
  KvmDevice bare;
  ProbeDevice probe;

  // As a kernel has them, and at power-on.
  void reset_devices(KernelVersion kernel) {
    for (Device* device : std::initializer_list<Device*>{&gru, &hmm, &kvm, &bare, &probe}) {
      device->set_behaviour(driver_behaviour(kernel));
      device->reset();
    }
  }
};

inline DeviceWorld* the_device_world = nullptr;
inline const bool kDeviceWorldIsBuilt = at_elaboration([] { the_device_world = new DeviceWorld; });
inline DeviceWorld& device_world() { return *the_device_world; }

// One test's run: processes, actors, and what was heard. The machine is reset before and after.
class DeviceRun {
 public:
  explicit DeviceRun(std::string kernel = "v6.10") : kernel_(std::move(kernel)) {
    machine().reset();
    the_device_world->gru.set_without({});
    the_device_world->hmm.set_without({});
    the_device_world->kvm.set_without({});
    the_device_world->bare.set_without({});
    the_device_world->probe.clear_scripts();
    Bus& bus = machine().arbiter().bus();
    bus.listen<SleptInAtomic>([this](const SleptInAtomic& e, const Stamp&) { atomic.push_back(e.what); });
    bus.listen<DeviceFaultEnd>([this](const DeviceFaultEnd& e, const Stamp&) { results.push_back(e.result); });
    bus.listen<DeviceFill>([this](const DeviceFill&, const Stamp& stamp) {
      filled = stamp.at;
      filled_in_interrupt = stamp.in_interrupt;
    });
    bus.listen<DeviceAccessEnd>([this](const DeviceAccessEnd& e, const Stamp&) {
      const auto outcome = fmt::format("{} {}", e.faulted ? "fault" : "hit", e.value);
      accesses.push_back(fmt::format("{} {} {}", e.address.page().value - kBuffer.page().value, e.write ? 'w' : 'r',
                                     e.result == Errno::ok ? outcome : errno_name(e.result)));
    });
    bus.listen<DeviceDetached>([this](const DeviceDetached& e, const Stamp&) { detached.emplace_back(e.mm); });
    bus.listen<NotifierWarning>([this](const NotifierWarning& e, const Stamp&) { warnings.push_back(e.what); });
  }
  ~DeviceRun() { machine().reset(); }

  std::vector<std::string> atomic;
  std::vector<Errno> results;
  std::vector<std::string> accesses;
  std::vector<std::string> detached;
  std::vector<std::string> warnings;
  Time filled;
  bool filled_in_interrupt = false;
  bool quiet = false;  // everybody came to an end

  // Plays the tasks after `set_up` has run in a task of its own, before which the processes "a" and "b" exist,
  // with eight writable pages each at kBuffer.
  void play(const std::function<void()>& set_up, std::vector<TestTask> tasks) {
    DeviceWorld& world = device_world();
    bool ready = false;
    std::vector<TestTask> all;
    all.push_back({"setup", 3, [&] {
                     for (const char* name : {"a", "b"}) {
                       Mm& mm = world.system.create(name);
                       VirtAddr at{0};
                       MmapRequest request{.at = kBuffer, .fixed = true, .pages = 16, .rights = kReadWrite};
                       CHECK(mmap(mm, request, at) == Errno::ok);
                     }
                     set_up();
                     ready = true;
                   }});
    using namespace literals;
    for (TestTask& task : tasks) {
      task.at = task.at + start();
      all.push_back(std::move(task));
    }
    const RunEnd end = machine().run(
        std::move(all),
        [&] {
          world.system.reset();
          hardware().reset();
          world.notifier.reset();
          world.notifier.set_behaviour(notifier_behaviour(*find_kernel(kernel_)));
          world.system.behaviour = mm_behaviour(*find_kernel(kernel_));
          world.reset_devices(*find_kernel(kernel_));
          for (unsigned number = 0; number < TestMachine::kCores; ++number)
            hardware().core(number).on_fault([&world](Core& core, VirtAddr address, bool write) {
              Mm* mm = world.system.by_asid(core.loaded().asid);
              if (mm == nullptr || mm->torn_down) return false;
              if (handle_fault(*mm, address.page(), write) != FaultResult::resolved) return false;
              if (core.loaded().root != mm->table.root()) load_on(*mm, core);
              return true;
            });
        },
        RunLimits{Time{1'000'000'000'000}, 5'000'000});
    CHECK(ready);
    quiet = end == RunEnd::quiet && machine().arbiter().unfinished().empty();
    INFO(machine().arbiter().explain_waiting());
    if (must_end) CHECK(quiet);
  }
  bool must_end = true;

  // Setting up is done by then: tasks begin at `start` and later.
  static Time start() { return Time{1'000'000'000}; }
  static Time now() { return machine().arbiter().now(); }
  static void sleep(Time time) { machine().arbiter().sleep_until(now() + time); }

  static Mm& mm(std::string_view name) { return *device_world().system.find(name); }
  // A task of the machine that no TestTask borrows, for a device's engine.
  static Task& engine(unsigned number) {
    const std::string name = fmt::format("engine{}", TestMachine::kEngines - 1 - number);
    for (const auto& task : machine().arbiter().tasks())
      if (task->name() == name) return *task;
    throw std::logic_error("no task " + name);
  }
  // The user thread of a context, as a task's body: runs `program` on the engine.
  static std::function<void()> gru_user(unsigned context, std::string name, std::function<void()> program) {
    return [context, name = std::move(name), program = std::move(program)] {
      device_world().gru.user_thread(context, mm(name), engine(context), program);
    };
  }
  static Errno access(Device& device, unsigned context, std::string_view name, std::uint64_t page, bool write,
                      std::uint64_t& value) {
    return device.access(context, mm(name), kBuffer + page * kPageSize, 8, write, value);
  }
  static Errno read(Device& device, unsigned context, std::string_view name, std::uint64_t page,
                    std::uint64_t* seen = nullptr) {
    std::uint64_t value = 0;
    const Errno result = access(device, context, name, page, false, value);
    if (seen != nullptr) *seen = value;
    return result;
  }
  static Errno write(Device& device, unsigned context, std::string_view name, std::uint64_t page, std::uint64_t value) {
    return access(device, context, name, page, true, value);
  }
  // An access of each outcome, and what is told of them.
  static void one_of_each(Device& device) {
    write(device, 0, "a", 1, 5);
    read(device, 0, "a", 1);
    read(device, 0, "a", 40);
  }
  static const inline std::vector<std::string> kOneOfEach = {"1 w fault 5", "1 r hit 5", "40 r EFAULT"};
  static PageRange pages(std::uint64_t first, std::uint64_t end) {
    return {kBuffer.page() + first, kBuffer.page() + end};
  }
  static std::int64_t counter(const Device& device, std::string_view name) {
    for (const CounterRow& row : device.counters())
      if (row.name == name) return row.value;
    throw std::logic_error("no counter " + std::string(name));
  }
  static void populate(std::string_view name) {
    for (std::uint64_t page = 0; page < 16; ++page)
      CHECK(handle_fault(mm(name), kBuffer.page() + page, true) == FaultResult::resolved);
  }
  // An invalidation that stays open for some time, as a slow mm operation makes it.
  static void hold_open(std::string_view name, PageRange range, Time time) {
    InvalidateRange announced{&mm(name), range, InvalidateEvent::unmap};
    device_world().notifier.invalidate_range_start(announced);
    machine().arbiter().step(time);
    device_world().notifier.invalidate_range_end(announced);
  }

 private:
  std::string kernel_;
};

}  // namespace secmmu::testing
