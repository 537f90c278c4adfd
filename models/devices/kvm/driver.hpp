// KVM: the driver's half that acts. It makes a virtual machine of each address space that it is attached to, and
// resolves what its guests miss. docs/kvm.md says more.
//
// Lifetime. A virtual machine is done with its address space when release has returned: in exit_mmap, before any page
// goes, or when the device is detached, whichever comes first. Its table's frames stay until it is detached.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "models/devices/device.hpp"
#include "models/devices/kvm/virtual_machine.hpp"

namespace secmmu {

const std::vector<CounterRow>& kvm_counter_rows();

class KvmDevice final : public Device {
  const KvmConfig config_;  // before the hardware, which refers to it
  const std::string name_;

 public:
  KvmDevice(const std::string& name, Arbiter& arbiter, MmSystem& mms, KvmConfig config);
  ~KvmDevice() override;

  KvmHardware hardware;

  const std::string& name() const override { return name_; }
  unsigned contexts() const override { return hardware.contexts(); }
  // EEXIST: it is attached there already.
  Errno attach(Mm& mm) override;
  void detach(Mm& mm) override;
  // EFAULT also where no memory slot shows the address to the guest.
  Errno access(unsigned context, Mm& mm, VirtAddr address, unsigned bytes, bool write, std::uint64_t& value) override;
  void set_without(const std::vector<std::string>& rules) override;
  void set_behaviour(const DriverBehaviour& behaviour) override { module_.behaviour = behaviour; }
  std::vector<CounterRow> counters() const override;
  void reset() override;

 private:
  VirtualMachine* registered(const Mm& mm);
  // `faulted`: whether the access missed at first.
  Errno run_guest(unsigned context, Mm& mm, VirtAddr address, unsigned bytes, bool write, std::uint64_t& value,
                  bool& faulted);
  Errno fault(VirtualMachine& machine, Vpn guest, bool write, std::uint64_t id);
  bool host_page(VirtualMachine& machine, Vpn host, bool write, Pfn& frame, bool& writable, Errno& result);
  void retry(const VirtualMachine& machine, Vpn host, std::uint64_t id, std::string_view why);

  KvmModule module_;
  std::vector<std::unique_ptr<VirtualMachine>> machines_;  // those that are gone too: faults may be under way in them
  std::uint64_t next_fault_ = 1;
};

}  // namespace secmmu
