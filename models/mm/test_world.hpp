// For tests: address spaces on the machine of cpu/test_hardware.hpp. A run begins with an empty MmSystem in
// a kernel of one's choice; what subscribers and hardware see is written down in a compact text.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "models/cpu/events.hpp"
#include "models/cpu/test_hardware.hpp"
#include "models/memory/events.hpp"
#include "models/mm/events.hpp"
#include "models/mm/mm.hpp"
#include "notifier/list_subscription.hpp"

namespace secmmu::testing {

class MmWorld {
 public:
  MmWorld() : notifier(machine().arbiter(), machine().worker(0), machine().worker(1)) {}

  NotifierCore notifier;
  std::unique_ptr<MmSystem> system;

  // A fresh start in that kernel; `prepare` makes the address spaces (without points), then the tasks run.
  RunEnd run(std::string_view kernel, std::vector<TestTask> tasks, const std::function<void()>& prepare = {},
             RunLimits limits = {}) {
    return machine().run(
        std::move(tasks), [&] { reset(kernel, prepare); }, limits);
  }

 private:
  void reset(std::string_view kernel, const std::function<void()>& prepare) {
    system.reset();  // address spaces first: they point into what is reset next
    hardware().reset();
    notifier.reset();
    const KernelVersion version = *find_kernel(kernel);
    notifier.set_behaviour(notifier_behaviour(version));
    std::vector<Core*> cores;
    for (unsigned number = 0; number < TestMachine::kCores; ++number) cores.push_back(&hardware().core(number));
    system = std::make_unique<MmSystem>(machine().arbiter(), hardware().memory(), hardware().port(), cores,
                                        hardware().shootdown(), notifier);
    system->behaviour = mm_behaviour(version);
    if (prepare) prepare();
  }
};

// Never destroyed, so that it does not outlive SystemC.
inline MmWorld& mm_world() {
  static MmWorld* const world = new MmWorld;
  return *world;
}

// What happens, in order, in words as short as possible; pages count from `base`:
//   S UNMAP 0-4     E 0-4       start and end, as a subscriber is told
//   C 2   I 2   T 0-4           change_pte, invalidate_page, arch_invalidate_secondary_tlbs
//   R                           release
//   2:rw>-                      an entry changed
//   F 0-4                       the other CPUs are asked to flush ("F all")
//   free                        a page (not of a page table) went back to the allocator
class Log {
 public:
  Vpn base{};
  std::string text;

  void add(const std::string& word) { text += (text.empty() ? "" : ", ") + word; }
  std::string pages(PageRange range) const {
    if (range == kWholeSpace) return "all";
    return fmt::format("{}-{}", static_cast<std::int64_t>(range.first.value - base.value),
                       static_cast<std::int64_t>(range.end.value - base.value));
  }
  std::int64_t page(Vpn vpn) const { return static_cast<std::int64_t>(vpn.value - base.value); }
  // Hardware and page tables of one mm.
  void listen(std::uint32_t mm_id) {
    Bus& bus = machine().arbiter().bus();
    bus.listen<PteChanged>([this, mm_id](const PteChanged& event, const Stamp&) {
      if (event.mm_id != mm_id) return;
      const auto rights = [](Pfn frame, bool writable) { return frame == kNoPfn ? "-" : (writable ? "rw" : "ro"); };
      add(fmt::format("{}:{}>{}", page(event.page), rights(event.old_pfn, event.old_writable),
                      rights(event.new_pfn, event.new_writable)));
    });
    bus.listen<ShootdownSent>([this](const ShootdownSent& event, const Stamp&) { add("F " + pages(event.pages)); });
    bus.listen<FrameFreed>([this](const FrameFreed& event, const Stamp&) {
      if (event.use != "page_table") add("free");
    });
  }
};

// A subscriber that writes into a Log.
class Watcher final : public ListSubscription {
 public:
  Watcher(Log& log, CallbackSet callbacks) : log_(log), callbacks_(callbacks) {}
  const std::string& name() const override { return name_; }
  CallbackSet callbacks() const override { return callbacks_; }
  void release(AddressSpace&) override { log_.add("R"); }
  void change_pte(AddressSpace&, Vpn page, Pfn, bool) override { log_.add(fmt::format("C {}", log_.page(page))); }
  void invalidate_page(AddressSpace&, Vpn page) override { log_.add(fmt::format("I {}", log_.page(page))); }
  Errno invalidate_range_start(const InvalidateRange& range) override {
    log_.add(fmt::format("S {} {}", invalidate_event_name(range.event), log_.pages(range.pages)));
    return Errno::ok;
  }
  void invalidate_range_end(const InvalidateRange& range) override { log_.add("E " + log_.pages(range.pages)); }
  void invalidate_range(AddressSpace&, PageRange pages) override { log_.add("V " + log_.pages(pages)); }
  void arch_invalidate_secondary_tlbs(AddressSpace&, PageRange pages) override { log_.add("T " + log_.pages(pages)); }

 private:
  Log& log_;
  CallbackSet callbacks_;
  std::string name_ = "watcher";
};

}  // namespace secmmu::testing
