#include "models/cpu/core.hpp"

namespace secmmu {

const ParameterTable<CoreCosts>& core_cost_table() {
  static const char* kOrder = "order of magnitude on x86-64 servers";
  static const ParameterTable<CoreCosts> table =
      ParameterTable<CoreCosts>("cost")
          .duration("tlb_hit", &CoreCosts::tlb_hit, "A load or store whose translation and line are at hand.",
                    "four to five cycles from a first-level cache at 4 to 5 GHz")
          .duration("fault_entry", &CoreCosts::fault_entry,
                    "A page fault without its handler: exception, saving, dispatch, and the way back.", kOrder)
          .duration("tlb_flush_page", &CoreCosts::tlb_flush_page, "Flushing one page from the own TLB (INVLPG).",
                    kOrder)
          .duration("tlb_flush_all", &CoreCosts::tlb_flush_all,
                    "Flushing one address space from the own TLB (INVPCID).", kOrder)
          .duration("load_root", &CoreCosts::load_root, "Loading another address space (CR3).", kOrder);
  return table;
}

Core::Core(const sc_core::sc_module_name& name, Arbiter& arbiter, Processor& processor, TlbConfig tlb)
    : sc_module(name), port("port"), walker(arbiter, port), arbiter_(arbiter), processor_(processor), tlb_(tlb) {
  port.on_revoked([this] {
    for (TlbEntry& entry : tlb_.entries()) entry.bytes = nullptr;
  });
}

void Core::load(Translation translation) {
  assert(translation.asid < Tlb::kAsidEnd);
  if (translation == loaded_) return;
  // Nothing is flushed: entries carry their address space (PCID).
  if (arbiter_.in_task()) arbiter_.step(costs.load_root);
  loaded_ = translation;
}

// Makes a translation for the access, or has the fault handler resolve what stands in its way. True: try
// the access again.
bool Core::resolve(VirtAddr address, bool write) {
  ++counters.misses;
  // A core takes interrupts between instructions, not between a walk and its fill: a flush that was
  // acknowledged during the walk would be outlived by what the walk had read before.
  arbiter_.interrupts_off();
  const WalkResult walk = walker.walk(loaded_.asid, loaded_.root, address.page(), write);
  const bool filled = walk.allowed && fill(address.page(), walk);
  if (!filled) {
    // SDM 4.10.4.1: a page fault drops the entries of its page.
    if (TlbEntry* entry = tlb_.find(loaded_.asid, address.page()); entry != nullptr) drop(*entry);
    ++counters.faults;
    arbiter_.bus().emit(PageFault{static_cast<int>(number()), loaded_.asid, address, write});
  }
  arbiter_.interrupts_on();
  if (filled) return true;
  arbiter_.step(costs.fault_entry);
  // Present entries that lead nowhere are nothing that a handler resolves: Linux calls the table corrupt and
  // kills (pgtable_bad).
  if (walk.broken || walk.allowed) return false;
  return fault_handler_ && fault_handler_(*this, address, write);
}

// At the instant of the walk's last look at the entry. False: there is no memory behind the frame.
bool Core::fill(Vpn page, const WalkResult& walk) {
  const Pfn frame = walk.entry.frame();
  std::uint8_t* bytes = port.grant(frame);
  if (std::uint8_t probe; bytes == nullptr && !port.read_debug(address_of(frame), &probe, 1)) return false;
  TlbEntry& slot = tlb_.victim(loaded_.asid, page);
  if (slot.valid()) drop(slot);
  tlb_.fill(slot, loaded_.asid, page, frame, walk.writable, walk.entry.dirty(), bytes);
  arbiter_.bus().emit(
      CpuTlbFill{static_cast<int>(number()), slot.asid, slot.page, slot.frame, slot.writable, &slot.ghost});
  return true;
}

void Core::drop(TlbEntry& entry) {
  arbiter_.bus().emit(CpuTlbDrop{static_cast<int>(number()), entry.asid, entry.page, entry.frame, &entry.ghost});
  Tlb::drop(entry);
}

void Core::flush(std::uint32_t asid, PageRange pages) {
  assert(processor_.running() == &arbiter_.current());
  arbiter_.step(pages == kWholeSpace ? costs.tlb_flush_all : costs.tlb_flush_page * pages.pages());
  ++counters.flushes;
  tlb_.for_each(asid, pages, [this](TlbEntry& entry) { drop(entry); });
}

// Memory that grants no direct access.
void Core::access_undirected(VirtAddr address, Pfn frame, unsigned bytes, bool write, std::uint64_t& value) {
  const PhysAddr target = address_of(frame) + address.offset();
  if (write) {
    port.write(target, &value, bytes);
  } else {
    value = 0;
    port.read(target, &value, bytes);
  }
}

void Core::emit_marked(const TlbEntry& entry, VirtAddr address, bool write, std::uint64_t value) {
  arbiter_.bus().emit(
      CpuMarkedAccess{static_cast<int>(number()), entry.asid, address, entry.frame, write, value, &entry.ghost});
}

void Core::reset() {
  tlb_.reset();
  loaded_ = {};
  counters = {};
  walker.reset();
}

}  // namespace secmmu
