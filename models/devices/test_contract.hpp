// For tests: our devices put through the contract of notifier/contract, on the machine of test_world.hpp. Their
// address spaces are those of the memory manager, with one mapping that may be read and has nothing behind it: the suite
// writes the page tables, and a fault that meets no entry finds nothing to bring in.
#pragma once

#include <array>
#include <map>
#include <string>
#include <utility>

#include "models/devices/test_world.hpp"
#include "notifier/contract/contract.hpp"

namespace secmmu::testing {

class MmSurroundings final : public contract::Surroundings {
 public:
  Arbiter& arbiter() override { return machine().arbiter(); }
  NotifierCore& core() override { return device_world().notifier; }
  void begin(KernelVersion kernel) override {
    DeviceWorld& world = device_world();
    world.system.reset();
    hardware().reset();
    world.notifier.reset();
    world.notifier.set_behaviour(notifier_behaviour(kernel));
    world.system.behaviour = mm_behaviour(kernel);
    world.reset_devices(kernel);
    for (unsigned i = 0; i < kSpaces; ++i) {
      spaces_[i] = &world.system.create(i == 0 ? "a" : "b");
      for (std::uint64_t page = 0; page < kPages; ++page) spaces_[i]->table.ensure(first_page() + page);
      VmaAttributes nothing;
      nothing.mapped = nothing.shared = nothing.rights.read = true;
      nothing.object = &world.system.create_object(0, false);
      place_vma(spaces_[i]->vmas, {first_page(), first_page() + kPages}, nothing);
    }
    for (Pfn& frame : frames_) frame = hardware().memory().allocate(FrameUse::anonymous, "contract");
  }
  AddressSpace& mm(unsigned space) override { return *spaces_.at(space); }
  SpinLock& page_table_lock(AddressSpace& mm) override { return own(mm).page_table_lock; }
  Vpn first_page() const override { return kBuffer.page(); }
  Pfn frame(std::uint64_t number) override { return frames_.at(number); }
  contract::PageEntry entry(AddressSpace& mm, Vpn page) override {
    const Pte entry = own(mm).peek(page);
    return entry.present() ? contract::PageEntry{entry.frame(), entry.writable()} : contract::PageEntry{};
  }
  void enter(AddressSpace& mm, Vpn page, contract::PageEntry entry) override {
    const std::uint64_t rights = entry.writable ? Pte::kWritable | Pte::kDirty : 0;
    own(mm).table.write(
        page, entry.present() ? make_pte(entry.frame, Pte::kPresent | Pte::kUser | Pte::kAccessed | rights) : Pte{});
  }
  void unmapped(AddressSpace& mm) override {
    own(mm).torn_down = true;
    for (const auto& close : std::exchange(own(mm).at_close, {})) close();
  }
  static Mm& own(AddressSpace& mm) { return static_cast<Mm&>(mm); }

 private:
  std::array<Mm*, kSpaces> spaces_{};
  std::array<Pfn, kFrames> frames_{};
};

// A device by its public side: it maps by an access, and what it holds is what its tracepoints say.
class DeviceUnderTest : public contract::SubscriberUnderTest {
 public:
  DeviceUnderTest(Device& device, CallbackSet callbacks) : device_(device), callbacks_(callbacks) {
    Bus& bus = machine().arbiter().bus();
    bus.listen<DeviceFill>([this](const DeviceFill& e, const Stamp&) {
      held_[{e.mm_id, e.page}][e.ghost] = {e.pfn, e.writable};
    });
    bus.listen<DeviceDrop>([this](const DeviceDrop& e, const Stamp&) { held_[{e.mm_id, e.page}].erase(e.ghost); });
  }
  std::string_view name() const override { return device_.name(); }
  CallbackSet callbacks() const override { return callbacks_; }
  Errno open(AddressSpace& mm) override { return device_.attach(MmSurroundings::own(mm)); }
  void close(AddressSpace& mm) override { device_.detach(MmSurroundings::own(mm)); }
  bool map(AddressSpace& mm, Vpn page, bool write, const contract::Look&) override {
    return access(0, mm, page, write) == Errno::ok;
  }
  contract::PageEntry held(AddressSpace& mm, Vpn page) const override {
    contract::PageEntry strongest;
    const auto it = held_.find({mm.id(), page});
    if (it == held_.end()) return strongest;
    for (const auto& [ghost, entry] : it->second)
      if (!strongest.present() || entry.writable) strongest = entry;
    return strongest;
  }

 protected:
  Errno access(unsigned context, AddressSpace& mm, Vpn page, bool write) {
    std::uint64_t value = 0;
    return device_.access(context, MmSurroundings::own(mm), address_of(page), 8, write, value);
  }

 private:
  Device& device_;
  CallbackSet callbacks_;
  // Of a page it may hold several translations: in a table, and in TLBs.
  std::map<std::pair<std::uint32_t, Vpn>, std::map<const Ghost*, contract::PageEntry>> held_;
};

}  // namespace secmmu::testing
