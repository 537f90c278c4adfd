#include "sim/scenario/keys.hpp"

namespace secmmu::language {

const Keys& scenario_keys() {
  static const Keys keys = {
      {"scenario", Shape::version, true, "The version of the language: 1."},
      {"name", Shape::scenario_name, true,
       "What the scenario shows; the file's name without a leading number and .yaml."},
      {"about", Shape::text, false, "What happens and why, for readers."},
      {"kernels", Shape::kernels, false, "The kernels that it runs on; v6.10 if neither this nor kernel is there."},
      {"kernel", Shape::kernel, false, "The one kernel that it runs on."},
      {"seed", Shape::number, false, "Seed of everything random; 1 if absent."},
      {"seeds", Shape::count, false, "Runs that many times, with seed, seed + 1 and so on; 1 if absent."},
      {"limit", Shape::duration, false, "Modelled time after which a run ends without a verdict; 1s if absent."},
      {"strict", Shape::flag, false,
       "A reachable illegal translation is a violation even if nobody uses it; false if absent."},
      {"machine", Shape::block, false, "Parameters of the machine; each has a default.", "machine"},
      {"behaviour", Shape::block, false, "Overrides single behaviours of the kernel.", "behaviour"},
      {"processes", Shape::block, false, "Processes by name.", "processes"},
      {"devices", Shape::block, false, "Secondary MMUs by name.", "devices"},
      {"actors", Shape::block, true, "Who does what: threads and users of devices, by name.", "actors"},
      {"watch", Shape::watched, false, "Buffers (process.buffer) whose every access is listed in the event stream."},
      {"expect", Shape::block, false, "What must be true of every run; without it: no rule is violated.", "expect"},
  };
  return keys;
}

const Keys& process_keys() {
  static const Keys keys = {
      {"buffers", Shape::block, false, "Memory that is mapped before the actors start, by name.", "buffers"},
  };
  return keys;
}

const Keys& buffer_keys() {
  static const Keys keys = {
      {"at", Shape::address, false, "Address of its first page; the machine finds a place if absent."},
      {"pages", Shape::count, true, "Size in pages of 4 KiB."},
      {"prot", Shape::protection, false, "Rights of the mapping; rw if absent."},
      {"backing", Shape::backing, false, "Private (anon) or shared memory, a shared file, or a private mapping of a memfd or a file; anon if absent."},
      {"populate", Shape::flag, false, "Every page is written once before the actors start; false if absent."},
  };
  return keys;
}

const Keys& device_keys() {
  static const Keys keys = {
      {"kind", Shape::kind, true, "What kind of device it is."},
      {"attach", Shape::processes, false, "The process or processes that it subscribes to before the actors start."},
      {"without", Shape::protocol_rules, false, "Rules of its protocol that its driver breaks."},
      {"callbacks", Shape::block, false, "What it does when the notifier calls it: a list of steps for each callback.",
       "callbacks"},
  };
  return keys;
}

const Keys& actor_keys() {
  static const Keys keys = {
      {"device", Shape::device, false, "The device whose program this is; a thread on a CPU if absent."},
      {"process", Shape::process, false,
       "The process it acts for; for a device the one that it is attached to; else a kernel thread."},
      {"cpu", Shape::number, false,
       "The core it runs on; must be there unless device is; for a device that of its user, 0 if absent."},
      {"context", Shape::number, false, "Hardware context of the device; the next free one if absent."},
      {"worker", Shape::flag, false,
       "true: no thread of the process, but a driver's worker, or somebody else who acts on it from outside."},
      {"start", Shape::duration, false, "It begins at this time; at once if absent."},
      {"mirror", Shape::device, false, "A device that repeats the data accesses of the recorded program."},
      {"do", Shape::steps, false, "Its program: steps in order."},
      {"program", Shape::block, false, "Instead of do: a recorded program.", "program"},
  };
  return keys;
}

const Keys& program_keys() {
  static const Keys keys = {
      {"lackey", Shape::file, true, "A recording by valgrind's lackey tool, plain or .gz, beside the scenario."},
  };
  return keys;
}

const Keys& expect_keys() {
  static const Keys keys = {
      {"absent", Shape::flag, false,
       "The kernel lacks something that the scenario does: it must, and nothing else is judged. For one kernel also "
       "`per_kernel: {v3.2: absent}`."},
      {"violated", Shape::rules, false, "The rules that are broken, exactly; none if absent."},
      {"counters", Shape::counter_checks, false, "Comparisons of a counter at the end of every run."},
      {"sometimes", Shape::counter_checks, false, "Comparisons that must hold in at least one run."},
      {"order", Shape::block, false, "Pairs of events of which the first comes before the other.", "orders"},
      {"values", Shape::block, false, "What memory holds at the end.", "values"},
      {"kept", Shape::block, false,
       "What must hold when the scenario runs again with no rule switched off: `violated` and the rest, on their own.",
       "kept"},
      {"per_kernel", Shape::block, false,
       "The same keys for single kernels or ranges of them (v3.7..v4.16): violated replaces, the rest adds.",
       "per_kernel"},
  };
  return keys;
}

// Those of one set of expectations: without the sets inside it.
const Keys& plain_expect_keys() {
  static const Keys keys = [] {
    Keys plain = expect_keys();
    std::erase_if(plain, [](const Key& key) { return key.name == "per_kernel" || key.name == "kept"; });
    return plain;
  }();
  return keys;
}

const Keys& order_keys() {
  static const Keys keys = {
      {"first", Shape::block, true, "The first event that fits this must come before ...", "event"},
      {"then", Shape::block, true, "... the first event that fits this.", "event"},
  };
  return keys;
}

const Keys& pattern_keys() {
  static const Keys keys = {
      {"event", Shape::event, true, "Name of a tracepoint."},
      {"by", Shape::task, false, "The actor, device or kernel thread in whose name it happened; anyone if absent."},
  };
  return keys;
}

const Keys& value_keys() {
  static const Keys keys = {
      {"process", Shape::process, true, "Whose memory."},
      {"buffer", Shape::buffer, true, "Which buffer of it."},
      {"page", Shape::page, true, "Which page of the buffer."},
      {"offset", Shape::offset, false, "Which byte of the page the eight bytes start at; 0 if absent."},
      {"value", Shape::value_or_absent, true, "The number there, or absent: the page is not present."},
  };
  return keys;
}

const Keys& modifier_keys() {
  static const Keys keys = {
      {"id", Shape::step_id, false, "A name for the step, for after."},
      {"after", Shape::step_names, false, "Waits until these steps (actor.id) were done for the first time."},
      {"at", Shape::duration, false, "Waits until this time."},
      {"times", Shape::count, false, "Does the step this often; 1 if absent."},
      {"result", Shape::result, false,
       "How it must end: ok if absent, ok-or-fault if both are fine; or one for each kernel."},
  };
  return keys;
}

const Key* find_key(const Keys& keys, std::string_view name) {
  for (const Key& key : keys)
    if (key.name == name) return &key;
  return nullptr;
}

std::vector<std::string> names_of(const Keys& keys) {
  std::vector<std::string> names;
  for (const Key& key : keys) names.emplace_back(key.name);
  return names;
}

}  // namespace secmmu::language
