// The rules of KVM's protocol, each of which a scenario can switch off by name.
#pragma once

#include <string_view>
#include <vector>

#include "models/devices/device.hpp"

namespace secmmu {

const std::vector<ProtocolRule>& kvm_protocol();

// True for each rule that is kept. One row per rule in kvm_protocol().
struct KvmProtocol {
  // --- how a fault notices that its page may have gone ---
  bool active_count_check = true;
  bool hull_covers_all_open_ranges = true;
  bool sequence_check = true;
  bool sequence_before_gup = true;
  bool bump_sequence_at_end = true;
  bool retry_under_mmu_lock = true;
  // --- what a callback does ---
  bool zap_in_start = true;
  bool zap_every_slot = true;
  bool flush_remote_tlbs = true;
  bool flush_before_unlock = true;
  bool release_drops_all = true;
  // --- what passes between entry and page ---
  bool host_level_check = true;
  bool host_writable_check = true;
  bool dirty_to_page = true;
  bool young_from_entry = true;

  // False if there is no such rule.
  bool switch_off(std::string_view rule);
};

}  // namespace secmmu
