// A scenario as the program sees it after parsing: plain data, every name checked, every value in its
// unit, every default still absent (defaults belong to the components' parameter tables). Nothing here
// knows YAML; nothing here runs.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "notifier/substrate/address.hpp"
#include "notifier/substrate/parameter.hpp"
#include "notifier/substrate/time.hpp"

namespace secmmu {

// Where something stands in the file; lines and columns (in characters) from 1. Line 0: by default
// (column 0) or by the n-th --set (column n). A mark is no part of what a scenario says: all are equal.
struct Mark {
  unsigned line = 0;
  unsigned column = 0;
  friend constexpr bool operator==(const Mark&, const Mark&) { return true; }
};

// A value for a row of a parameter table. path: "machine.tlb.entries", "devices.gru0.purge_limit".
struct Setting {
  std::string path;
  ParameterValue value;
  Mark mark;

  bool operator==(const Setting&) const = default;
};

enum class Protection { none, r, rw, rx, rwx };
// Private anonymous; shared memory (MAP_SHARED|MAP_ANONYMOUS, or a memfd); a file of its own, mapped shared; a memfd
// and a file, mapped privately.
enum class Backing { anon, shared, file, memfd_private, file_private };

struct BufferSpec {
  std::string name;
  std::optional<VirtAddr> at;  // absent: placed by the machine, 2 MiB aligned, in order of the file
  std::uint64_t pages = 1;
  Protection protection = Protection::rw;
  Backing backing = Backing::anon;
  bool populate = false;  // every page is written (value 0) before the actors start
  Mark mark;

  bool operator==(const BufferSpec&) const = default;
};

struct ProcessSpec {
  std::string name;
  std::vector<BufferSpec> buffers;  // mapped before the actors start
  std::string forked_from;          // not in the file: set for names that a fork step introduces
  Mark mark;

  bool operator==(const ProcessSpec&) const = default;
};

struct Step;

// What a probe does when a callback reaches it: steps out of the probe's small vocabulary.
struct CallbackScript {
  std::string callback;  // release, start, end, invalidate_page, clear_flush_young, ...
  std::vector<Step> steps;
  Mark mark;

  bool operator==(const CallbackScript&) const = default;
};

struct DeviceSpec {
  std::string name;
  std::string kind;
  std::vector<std::string> attach;   // processes whose mm it subscribes to before the actors start
  std::vector<std::string> without;  // rules of its protocol that are switched off
  std::vector<Setting> settings;
  std::vector<CallbackScript> scripts;  // probe only
  Mark mark;

  bool operator==(const DeviceSpec&) const = default;
};

// The names of verbs and of their arguments live in the verb table (verbs.hpp); Step keeps the parsed
// arguments in one flat struct, because every verb uses a few of the same dozen.
struct Generator {
  std::string pattern;               // stride, random, zipf, chase
  std::uint64_t count = 0;           // accesses
  std::uint64_t stride = 64;         // bytes, pattern stride
  std::uint64_t write_one_in = 0;    // 0: only reads; n: every n-th access is a write
  std::uint64_t skew_percent = 100;  // zipf exponent in hundredths

  bool operator==(const Generator&) const = default;
};

struct Step {
  std::string verb;                // a name of the verb table
  std::string id;                  // empty: none
  std::vector<std::string> after;  // "actor.id": waits until those steps are complete
  std::optional<Time> at;          // not before this modelled time
  std::uint64_t times = 1;         // the step is done this often; for a loop: its body
  // ok; an errno name (EFAULT, ENOMEM, EAGAIN, ...); SIGSEGV; "ok-or-fault" (either is fine).
  // Absent: ok is expected.
  std::optional<std::string> result;
  std::map<std::string, std::string> result_by_kernel;  // overrides `result`

  std::string buffer;               // name of a buffer of the actor's process
  std::uint64_t first_page = 0;     // pages of the buffer, half open
  std::uint64_t end_page = 0;       // filled in from the buffer when the file names no pages
  std::uint64_t offset = 0;         // byte inside each page
  std::uint64_t pages = 0;          // mmap, brk, truncate: size; mremap: size to grow to (0: it moves to `name`)
  std::optional<VirtAddr> address;  // mmap at
  std::optional<std::uint64_t>
      value;  // write: 8 bytes, little endian; page i of the range gets value + i when `count_up`
  bool count_up = false;
  std::optional<std::uint64_t> want;  // read: the value that must be seen
  std::map<std::string, std::uint64_t> want_by_kernel;
  Protection protection = Protection::rw;
  Backing backing = Backing::anon;
  std::string name;                 // barrier, fork's child, mremap's new buffer, device, lock
  std::string onto;                 // mremap: the buffer over whose pages it moves; mmap: that whose file is mapped
  std::uint64_t onto_page = 0;
  std::string lock_kind = "mutex";  // lock in a probe's script: mutex or spinlock
  Time duration;                    // delay, sleep
  Generator generator;
  std::vector<Step> body;  // loop
  Mark mark;

  bool operator==(const Step&) const = default;
};

struct ActorSpec {
  std::string name;
  std::string process;          // empty: a kernel thread
  std::optional<unsigned> cpu;  // the core that it runs on; for a device actor the core of its user thread.
                                // Always there after parsing: a CPU program must name it, a device's has 0
  std::string device;           // empty: a CPU program
  std::uint64_t context = 0;    // hardware context of the device; filled in by order if absent
  bool worker = false;          // acts on the process from outside, and is none of its threads
  Time start;
  std::vector<Step> program;
  std::string lackey;             // program: {lackey: FILE}; path resolved against the scenario's folder
  std::string lackey_as_written;  // FILE itself, for resolved.yaml
  std::string mirror;             // a device that repeats the recording's data accesses; empty: none
  Mark mark;

  bool operator==(const ActorSpec&) const = default;
};

// `left op right`, e.g. "gru0.faults >= 4".
struct CounterCheck {
  std::string text;
  std::string counter;
  std::string op;  // == != < <= > >=
  std::int64_t value = 0;
  Mark mark;

  bool operator==(const CounterCheck&) const = default;
};

// An event of the run, matched by name and by any of its fields (as text).
struct EventPattern {
  std::string event;
  std::string by;  // name of the task; empty: anyone
  std::map<std::string, std::string> fields;

  bool operator==(const EventPattern&) const = default;
};

// The first event that matches `first` must come before the first event that matches `then`; both must occur.
struct OrderCheck {
  EventPattern first;
  EventPattern then;
  Mark mark;

  bool operator==(const OrderCheck&) const = default;
};

struct ValueCheck {  // at the end of the run, read without side effects through the page table
  std::string process;
  std::string buffer;
  std::uint64_t page = 0;
  std::uint64_t offset = 0;
  std::optional<std::uint64_t> value;  // absent: the page must not be present
  Mark mark;

  bool operator==(const ValueCheck&) const = default;
};

struct Expectations {
  bool absent = false;                  // the kernel lacks something that the scenario does: nothing else is judged
  std::vector<std::string> violated;    // exactly these rules are broken; empty: none
  std::vector<CounterCheck> counters;   // in every run
  std::vector<CounterCheck> sometimes;  // in at least one run of the kernel
  std::vector<OrderCheck> order;
  std::vector<ValueCheck> values;

  bool operator==(const Expectations&) const = default;
};

struct Scenario {
  std::string path;  // as given on the command line
  std::string name;
  std::string about;
  std::vector<std::string> kernels;  // at least one
  std::uint64_t seed = 1;
  std::uint64_t seeds = 1;        // runs with seed, seed+1, ...
  Time limit{1'000'000'000'000};  // modelled time after which the run is inconclusive; default 1 s
  std::vector<Setting> machine;   // machine.* and kernel behaviours ("kernel.<behaviour>")
  std::vector<ProcessSpec> processes;
  std::vector<DeviceSpec> devices;
  std::vector<ActorSpec> actors;
  std::vector<std::string> watch;  // buffers whose every access is written to the event stream: "process.buffer"
  bool strict = false;             // a live illegal translation is a violation even if never used
  Expectations expect;
  // With it, every kernel and seed runs a second time with no `without:`, and this is what must hold then.
  std::optional<Expectations> expect_kept;
  // Replaces `violated` (the parser copies the general one where a kernel names none), adds the rest.
  std::map<std::string, Expectations> expect_by_kernel;

  bool operator==(const Scenario&) const = default;
};

// What must hold on that kernel: the general expectations with those of the kernel.
Expectations expectations_for(const Scenario& scenario, const std::string& kernel);

}  // namespace secmmu
