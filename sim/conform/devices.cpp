#include "sim/conform/devices.hpp"

#include "models/devices/registry.hpp"
#include "notifier/list_subscription.hpp"

namespace secmmu::conform {
namespace {

DeviceSpec device(std::string_view name, std::string_view kind, std::vector<Setting> settings) {
  DeviceSpec spec;
  spec.name = name;
  spec.kind = kind;
  for (Setting& setting : settings) setting.path = "devices." + spec.name + "." + setting.path;
  spec.settings = std::move(settings);
  return spec;
}

// It tells nobody what it has written.
DeviceSpec recorded_hmm() {
  DeviceSpec spec = device("hmm", "hmm", {});
  spec.without = {"dirty-to-page"};
  return spec;
}

}  // namespace

DeviceSpec recorder_device() {
  DeviceSpec spec = device(kRecorder, "probe", {});
  for (const Callback callback :
       {Callback::release, Callback::clear_flush_young, Callback::clear_young, Callback::test_young,
        Callback::change_pte, Callback::start, Callback::end, Callback::invalidate_range}) {
    CallbackScript script;
    script.callback = callback_name(callback);
    script.steps.emplace_back().verb = "ignore";
    spec.scripts.push_back(std::move(script));
  }
  return spec;
}

// What was recorded were two small software devices: they hold entries of one base page and nothing in front of them.
// The GRU is none of them: it plays programs that were drawn here.
const std::vector<DeviceSpec>& recorded_devices() {
  static const std::vector<DeviceSpec> devices = [] {
    std::vector<DeviceSpec> all = {
        recorded_hmm(),
        // Only the accesses of the device count there: an entry is writable if its miss was a write, change_pte is
        // obeyed whatever is open, and each access is looked up in the table itself.
        device("kvm", "kvm",
               {{"tlb_entries", std::uint64_t{0}, {}},
                {"largest_entry", std::string("4K"), {}},
                {"map_writable_on_read", false, {}},
                {"change_pte", std::string("always"), {}}}),
        device("gru", "gru", {}),
    };
    std::erase_if(all, [](const DeviceSpec& spec) { return find_device_kind(spec.kind) == nullptr; });
    return all;
  }();
  return devices;
}

const DeviceSpec* find_recorded_device(std::string_view name) {
  for (const DeviceSpec& spec : recorded_devices())
    if (spec.name == name) return &spec;
  return nullptr;
}

void switch_off(const std::vector<std::string>& rules, DeviceSpec& device) {
  for (const std::string& rule : rules)
    for (const ProtocolRule& has : find_device_kind(device.kind)->protocol)
      if (has.name == rule) device.without.push_back(rule);
}

}  // namespace secmmu::conform
