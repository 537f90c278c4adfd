#include "models/devices/gru/driver.hpp"

namespace secmmu {
namespace {

struct Row {
  ProtocolRule rule;
  bool GruProtocol::*member;
};

const std::vector<Row>& rows() {
  static const std::vector<Row> table = {
      {{"range-active-count", "A start raises the driver's count of open ranges, its end lowers it."},
       &GruProtocol::range_active_count},
      {{"range-active-check", "No translation is dropped in while the count of open ranges is not 0."},
       &GruProtocol::range_active_check},
      {{"wait-for-range-end", "A miss that met an open range waits for its end instead of trying again and again."},
       &GruProtocol::wait_for_range_end},
      {{"wake-at-range-end", "The end of a range wakes the misses that wait for it."},
       &GruProtocol::wake_at_range_end},
      {{"purge-at-start", "A start purges the range from the TLB before it returns."}, &GruProtocol::purge_at_start},
      {{"synchronous-purge", "The driver waits until the hardware has carried the purge out."},
       &GruProtocol::synchronous_purge},
      {{"purge-defeats-drop-in", "A purge between the reading of a fault handle and the drop-in makes it a no-op."},
       &GruProtocol::purge_defeats_drop_in},
      {{"full-purge-at-limit", "A purge of the longest length drops everything of the address space."},
       &GruProtocol::full_purge_at_limit},
      {{"write-check", "A translation for a write needs a PTE that is writable and dirty."}, &GruProtocol::write_check},
      {{"lazy-asid-flush", "A start that meets no loaded context retires the ASID instead of purging."},
       &GruProtocol::lazy_asid_flush},
      {{"interrupt-trylock", "The miss interrupt only tries the mmap lock and leaves the rest to the user thread."},
       &GruProtocol::interrupt_trylock},
  };
  return table;
}

}  // namespace

const std::vector<ProtocolRule>& gru_protocol() {
  static const std::vector<ProtocolRule> rules = [] {
    std::vector<ProtocolRule> list;
    for (const Row& row : rows()) list.push_back(row.rule);
    return list;
  }();
  return rules;
}

bool GruProtocol::switch_off(std::string_view rule) {
  for (const Row& row : rows()) {
    if (row.rule.name != rule) continue;
    this->*row.member = false;
    return true;
  }
  return false;
}

}  // namespace secmmu
