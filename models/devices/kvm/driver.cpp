#include "models/devices/kvm/driver.hpp"

#include <stdexcept>

#include "models/devices/events.hpp"
#include "models/mm/memory_pressure.hpp"

namespace secmmu {
namespace {

// Tags of TLBs that are no address space's id: what is said of an entry of a guest's table is about no other table.
constexpr std::uint32_t kFirstAsid = 1U << 27;

}  // namespace

KvmDevice::KvmDevice(const std::string& name, Arbiter& arbiter, MmSystem& mms, KvmConfig config)
    : config_(std::move(config)),
      name_(name),
      hardware(name.c_str(), arbiter, config_),
      module_{name_, arbiter, mms, hardware, config_} {}

KvmDevice::~KvmDevice() = default;

// --- attaching ------------------------------------------------------------------------------------

VirtualMachine* KvmDevice::registered(const Mm& mm) {
  for (const auto& machine : machines_)
    if (&machine->mm == &mm && machine->registered) return machine.get();
  return nullptr;
}

Errno KvmDevice::attach(Mm& mm) {
  if (registered(mm) != nullptr) return Errno::eexist;
  const auto asid = kFirstAsid + static_cast<std::uint32_t>(machines_.size());
  VirtualMachine& machine = *machines_.emplace_back(std::make_unique<VirtualMachine>(module_, mm, asid));
  const Errno result = module_.mms.notifier.register_subscription(machine, mm);
  machine.registered = result == Errno::ok;
  return result;
}

void KvmDevice::detach(Mm& mm) {
  VirtualMachine* const machine = registered(mm);
  if (machine == nullptr) return;
  machine->registered = false;
  module_.mms.notifier.unregister(*machine, mm);
  machine->destroy();
}

// --- accesses and faults ----------------------------------------------------------------------------

Errno KvmDevice::access(unsigned context, Mm& mm, VirtAddr address, unsigned bytes, bool write, std::uint64_t& value) {
  bool faulted = false;
  const Errno result = run_guest(context, mm, address, bytes, write, value, faulted);
  module_.arbiter.bus().tell(DeviceAccessEnd{name_, mm.name(), mm.id(), address, write, faulted, value, result});
  return result;
}

Errno KvmDevice::run_guest(unsigned context, Mm& mm, VirtAddr address, unsigned bytes, bool write, std::uint64_t& value,
                           bool& faulted) {
  VirtualMachine* const machine = registered(mm);
  if (machine == nullptr) return Errno::esrch;
  const std::optional<Vpn> guest = machine->slots.guest_of(address.page(), context);
  if (!guest) return Errno::efault;  // no memory to the guest: it would be a device's register
  const VirtAddr guest_address = address_of(*guest) + address.offset();
  Bus& bus = module_.arbiter.bus();
  std::uint64_t id = 0;
  Errno result = Errno::ok;
  for (;;) {
    hardware.set_state(context, "running");
    if (hardware.access(context, machine->table, guest_address, bytes, write, value)) break;
    if (id == 0) {
      id = next_fault_++;
      faulted = true;
      ++module_.counters.faults;
      bus.emit(DeviceFaultBegin{name_, mm.name(), mm.id(), id, address.page(), write});
    }
    hardware.set_state(context, "fault");
    // The virtual CPU's thread is one of the process: it is a user of the memory while it is in the kernel.
    const bool user = enter_kernel(mm);
    result = user ? fault(*machine, *guest, write, id) : Errno::esrch;
    if (user) leave_kernel(mm);
    if (result != Errno::ok) break;
  }
  if (result != Errno::ok) {
    ++module_.counters.errors;
    hardware.set_state(context, result == Errno::esrch ? "halted" : "running");
  }
  if (id != 0) bus.emit(DeviceFaultEnd{name_, mm.name(), mm.id(), id, address.page(), result});
  return result;
}

void KvmDevice::retry(const VirtualMachine& machine, Vpn host, std::uint64_t id, std::string_view why) {
  ++(why == "range open" ? module_.counters.retries_open : module_.counters.retries_moved);
  module_.arbiter.bus().emit(DeviceFaultRetry{name_, machine.mm.name(), machine.mm.id(), id, host, why});
}

// The frame behind a page of the process, with a reference, and whether an entry may be writable. It may sleep.
//
// Rule: a page that the process may write is looked for first if that is wanted, without a lock and without bringing
// it in; so a read fault makes a writable entry where nothing stands against it, and never makes a copy for it.
bool KvmDevice::host_page(VirtualMachine& machine, Vpn host, bool write, Pfn& frame, bool& writable, Errno& result) {
  result = Errno::ok;
  Pte entry;
  if ((write || config_.map_writable_on_read) && get_user_page_fast(machine.mm, host, true, frame, entry)) {
    writable = true;
    return true;
  }
  writable = write || !module_.protocol.host_writable_check;
  if (!write && get_user_page_fast(machine.mm, host, false, frame, entry)) return true;
  result = get_user_page(machine.mm, host, write, frame, entry);
  return result == Errno::ok;
}

// One attempt. ok: it mapped, or it must be tried again; the guest goes on and sees. There is no waiting for the end
// of a range: who finds one open runs the guest, which misses again.
Errno KvmDevice::fault(VirtualMachine& machine, Vpn guest, bool write, std::uint64_t id) {
  module_.arbiter.step(config_.exit);
  module_.arbiter.step(config_.slot_lookup);
  const std::optional<Vpn> host = machine.slots.host_of(guest);
  if (!host) return Errno::efault;
  module_.mms.pressure->keep_reserve();
  std::uint64_t seen = machine.sequence();
  if (module_.behaviour.kvm_early_look && machine.open_at(*host)) {
    retry(machine, *host, id, "range open");
    module_.arbiter.step(config_.enter);
    return machine.released ? Errno::esrch : Errno::ok;
  }
  Pfn frame = kNoPfn;
  bool writable = false;
  Errno result = Errno::ok;
  if (!host_page(machine, *host, write, frame, writable, result)) return machine.released ? Errno::esrch : result;
  module_.arbiter.step(config_.prepare);
  if (!module_.protocol.sequence_before_gup) seen = machine.sequence();

  const bool locked_check = module_.protocol.retry_under_mmu_lock;
  std::string_view why = locked_check ? std::string_view{} : machine.stale(seen, *host);
  machine.mmu_lock.lock();
  if (locked_check) why = machine.stale(seen, *host);
  if (machine.released)
    result = Errno::esrch;
  else if (why.empty())
    result = machine.map(guest, *host, frame, writable, write);
  machine.mmu_lock.unlock();
  // The tables took more than there was: the guest goes on, and misses again.
  if (result == Errno::enomem && module_.mms.pressure->keep_reserve()) result = Errno::ok;
  module_.mms.memory.put(frame);  // only the notifier keeps the entry right from now on
  if (!why.empty()) retry(machine, *host, id, why);
  module_.arbiter.step(config_.enter);
  return result;
}

// --- the rest ---------------------------------------------------------------------------------------

const std::vector<CounterRow>& kvm_counter_rows() {
  static const std::vector<CounterRow> rows = {
      {"hits", "count", "Accesses done; one that missed first counts here too."},
      {"walks", "count", "Walks through a table, for which the TLB had no translation."},
      {"refills", "count", "TLB entries made by walkers."},
      {"faults", "count", "Accesses for which the table had nothing either."},
      {"mapped", "count", "Entries made."},
      {"mapped_large", "count", "Those of them that map 2 MiB."},
      {"retries_open", "count", "Faults that found a range open which may concern their page."},
      {"retries_moved", "count", "Faults that found the sequence moved since they looked."},
      {"errors", "count", "Faults that ended with an error."},
      {"zapped", "count", "Entries taken out by start, invalidate_page and release."},
      {"changed", "count", "Entries that change_pte replaced or took out."},
      {"flushes", "count", "Flushes of the virtual CPUs' TLBs."},
      {"skipped_ranges", "count", "Ranges that met no memory slot."},
      {"dirty_pages", "count", "Pages of the process marked dirty when their entry went."},
      {"young_answers", "count", "Questions after a page's age that were answered by yes."},
      {"table_entries", "count", "Entries in the tables now."},
      {"valid_entries", "count", "Translations in TLBs now."},
      {"range_active", "count", "Open ranges counted now."},
  };
  return rows;
}

std::vector<CounterRow> KvmDevice::counters() const {
  std::uint64_t entries = 0;
  std::int64_t active = 0;
  for (const auto& machine : machines_) {
    entries += machine->table.entries();
    if (machine->registered) active += machine->open_ranges();
  }
  const KvmModule::Counters& counted = module_.counters;
  const std::uint64_t values[] = {hardware.hits,
                                  hardware.walks(),
                                  hardware.refills,
                                  counted.faults,
                                  counted.mapped,
                                  counted.large,
                                  counted.retries_open,
                                  counted.retries_moved,
                                  counted.errors,
                                  counted.zapped,
                                  counted.changed,
                                  hardware.flushes,
                                  counted.others,
                                  counted.dirty,
                                  counted.young,
                                  entries,
                                  hardware.valid_entries(),
                                  static_cast<std::uint64_t>(active)};
  std::vector<CounterRow> rows = kvm_counter_rows();
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i].value = static_cast<std::int64_t>(values[i]);
  return rows;
}

void KvmDevice::set_without(const std::vector<std::string>& rules) {
  module_.protocol = {};
  for (const std::string& rule : rules)
    if (!module_.protocol.switch_off(rule)) throw std::logic_error("no protocol rule " + rule);
}

void KvmDevice::reset() {
  hardware.reset();
  for (const auto& machine : machines_) machine->forget_registration();
  machines_.clear();
  module_.counters = {};
  next_fault_ = 1;
}

}  // namespace secmmu
