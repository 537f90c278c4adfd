// What every secondary MMU owes, whatever its kind: random programs on a machine with random latencies, in
// which contexts of a device read and write while a process maps, unmaps, protects, discards, forks and ends.
// A new kind is tested by its line in the registry.
//
//   - the oracle finds nothing;
//   - faults end, nobody is left waiting, the run comes to its end;
//   - a device sees what a CPU at the same place would see at the same instant;
//   - a device that gave an address space up holds nothing of it;
//   - no frame is lost.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "models/devices/events.hpp"
#include "models/test_platform.hpp"
#include "notifier/substrate/random.hpp"
#include "notifier/substrate/sync/events.hpp"
#include "notifier/substrate/sync/wait_queue.hpp"
#include "sim/oracle/oracle.hpp"

using namespace secmmu;
using namespace secmmu::literals;
using namespace secmmu::testing;

namespace {

constexpr std::uint64_t kFrames = 160;
constexpr std::uint64_t kPages = 12;
constexpr VirtAddr kBuffer{0x7f00'0000'0000};
constexpr unsigned kContexts = 3;  // two on the parent, one on the child
constexpr Rights kReadWrite{true, true, false};

using Settings = std::map<std::string, ParameterValue>;

PlatformConfig contract_machine(const std::string& kind, const Settings& settings = {}) {
  PlatformConfig config;
  config.machine.cpus = 4;
  config.memory.frames = kFrames;
  config.tlb = {16, 4};
  DeviceRequest request;
  request.name = "device0";
  // Small, where the kind knows of such things: borders that programs meet.
  for (const auto& [name, value] :
       {std::pair{"tlb_entries", 8}, {"tlb_ways", 2}, {"purge_limit", 4}, {"asids", 40}, {"guest_views", 2}})
    if (find_device_kind(kind)->parameters.find(name) != nullptr)
      request.settings[name] = static_cast<std::uint64_t>(value);
  // Slow, where a race has its window there.
  for (const auto& [name, time] : {std::pair{"prepare", 4_us}, {"entry_write", 2_us}})
    if (find_device_kind(kind)->parameters.find(name) != nullptr) request.settings[name] = time;
  for (const auto& [name, value] : settings) request.settings[name] = value;
  config.devices.emplace_back(kind, request);
  config.tasks.push_back({"setup", 0, TaskKind::actor});
  config.tasks.push_back({"mm", 1, TaskKind::actor});
  config.tasks.push_back({"neighbour", 3, TaskKind::actor});
  for (unsigned context = 0; context < kContexts; ++context) {
    // A user thread shares the core of the one who changes the address space, of the interrupts, or of nobody.
    const int core = context == 0 ? 1 : (context == 1 ? 2 : 0);
    config.tasks.push_back({fmt::format("user{}", context), core, TaskKind::actor});
    config.tasks.push_back({fmt::format("engine{}", context), -1, TaskKind::service});
  }
  return config;
}

struct Options {
  std::string kernel = "v6.10";
  std::vector<std::string> without;
  bool detach_early = false;  // the device is given up while it is at work, instead of at the end
  // Frames are taken out of use, and KSM merges again and again what a device faults in: a fault may meet many ranges.
  bool moves = true;
  std::uint64_t most_retries = 250;
};

// One random program, by its seed.
class Program {
 public:
  Program(Platform& platform, std::uint64_t seed, Options options)
      : platform_(platform),
        arbiter_(platform.arbiter),
        device_(*platform.devices.front()),
        options_(std::move(options)),
        seed_(seed),
        shape_(seed, "shape"),
        changed_(platform.arbiter, "contract") {}

  // What was wrong; empty: nothing.
  std::string play() {
    arbiter_.bus().clear_listeners();
    platform_.set_kernel(*parse_kernel_version(options_.kernel), {});
    device_.set_without(options_.without);
    arbiter_.set_stretch(static_cast<unsigned>(100 + shape_.below(201)), seed_);
    platform_.reset();
    changed_.reset();
    listen();

    arbiter_.begin_setup();
    arbiter_.start(platform_.task("setup"), [this] { set_up(); });
    arbiter_.run({});
    arbiter_.end_setup();
    for (unsigned context = 0; context + 1 < kContexts; ++context) start_context(context, *parent_);
    start("mm", [this] { change_the_space(); });
    start("neighbour", [this] { neighbour(); });
    const RunEnd end = arbiter_.run({1'000_ms, UINT64_MAX});

    if (end == RunEnd::quiet && !arbiter_.unfinished().empty()) {
      arbiter_.bus().emit(Deadlock{arbiter_.explain_waiting()});
      say("somebody waits for ever: " + arbiter_.explain_waiting());
    }
    if (end == RunEnd::limit) say("the run does not end");
    oracle_.finish({arbiter_.now(), end == RunEnd::quiet});
    for (const Violation& violation : oracle_.violations()) say(violation.rule + ": " + violation.summary);
    if (end == RunEnd::quiet && arbiter_.unfinished().empty()) look_at_the_end();
    arbiter_.bus().clear_listeners();
    return story_;
  }
  std::uint64_t compared() const { return compared_; }
  std::uint64_t faults() const { return ended_.size(); }

 private:
  void say(const std::string& what) {
    if (story_.size() < 1500) story_ += fmt::format("seed {} on {}: {}\n", seed_, options_.kernel, what);
  }
  void start(const std::string& task, Task::Body body) {
    Task& one = platform_.task(task);
    one.user = parent_;
    arbiter_.start(one, std::move(body), arbiter_.now());
  }

  void listen() {
    RunDescription run;
    run.scenario = "contract";
    run.kernel = options_.kernel;
    run.cores = static_cast<unsigned>(platform_.cores.size());
    run.frames = platform_.memory.frames();
    for (const auto& task : arbiter_.tasks())
      run.tasks.push_back({task->name(), task->processor_number(), task->kind() == TaskKind::actor});
    run.devices.push_back({device_.name(), "any", device_.contexts()});
    run.processes = {"parent", "child"};
    OracleOptions judge;
    judge.most_retries = options_.most_retries;
    oracle_.on_violation([this](const Violation&) { arbiter_.request_stop(); });
    oracle_.attach(arbiter_.bus(), run, judge);
    Bus& bus = arbiter_.bus();
    bus.listen<DeviceFaultBegin>([this](const DeviceFaultBegin& e, const Stamp&) { begun_.insert(e.id); });
    bus.listen<DeviceFaultEnd>([this](const DeviceFaultEnd& e, const Stamp&) { ended_.insert(e.id); });
    bus.listen<DeviceFill>([this](const DeviceFill& e, const Stamp&) { ++live_[e.mm_id]; });
    bus.listen<DeviceDrop>([this](const DeviceDrop& e, const Stamp&) { --live_[e.mm_id]; });
    bus.listen<DeviceDetached>([this](const DeviceDetached& e, const Stamp&) { gone_.insert(e.mm_id); });
  }

  void set_up() {
    parent_ = &platform_.mms->create("parent");
    VirtAddr at{0};
    MmapRequest request{.at = kBuffer, .fixed = true, .pages = kPages, .rights = kReadWrite};
    CHECK(mmap(*parent_, request, at) == Errno::ok);
    const Errno attached = device_.attach(*parent_);
    if (attached != Errno::ok) say(fmt::format("attach: {}", errno_name(attached)));
  }

  // --- the device ---

  void start_context(unsigned context, Mm& mm) {
    ++at_work_;
    Task& user = platform_.task(fmt::format("user{}", context));
    Task& engine = platform_.task(fmt::format("engine{}", context));
    user.user = &mm;
    if (device_.has_user_thread()) {
      arbiter_.start(
          user,
          [this, context, &mm, &engine] {
            device_.user_thread(context, mm, engine, [this, context, &mm] { use(context, mm); });
            finished();
          },
          arbiter_.now());
    } else {
      arbiter_.start(
          engine,
          [this, context, &mm] {
            use(context, mm);
            finished();
          },
          arbiter_.now());
    }
  }
  void finished() {
    --at_work_;
    changed_.wake_all();
  }

  void use(unsigned context, Mm& mm) {
    RandomStream random(seed_, fmt::format("context{}", context));
    const std::uint64_t accesses = 20 + random.below(60);
    for (std::uint64_t i = 0; i < accesses; ++i) {
      const std::uint64_t page = random.below(kPages);
      const bool write = random.below(4) == 0;
      const VirtAddr at = kBuffer + page * kPageSize + 8 * (1 + context);
      // The page's index in the upper half, who wrote and when in the lower one.
      std::uint64_t value = (page << 32) | (context << 16) | i;
      const Errno result = device_.access(context, mm, at, 8, write, value);
      if (result == Errno::ok) {
        compare(mm, page, at, value, write);
      } else if (result != Errno::efault && result != Errno::esrch && result != Errno::eperm) {
        say(fmt::format("an access answers {}", errno_name(result)));
      }
      if (result == Errno::esrch) {
        if (!gone_.contains(mm.id())) say("an access answers ESRCH, and the device was not given up");
        return;
      }
      if (random.below(4) == 0) arbiter_.step(Time{random.below(3'000'000)});
    }
  }

  // At this instant the translation that was used is legal, so the page table says the same: nothing has been
  // a point since the bytes moved. Up to v4.12 copy-on-write clears the entry first and tells then.
  void compare(Mm& mm, std::uint64_t page, VirtAddr at, std::uint64_t value, bool write) {
    ++compared_;
    if (!write && value != 0 && value >> 32 != page)
      return say(fmt::format("page {} of {}: {:#x} is no value of this page", page, mm.name(), value));
    const Pte entry = mm.peek(at.page());
    if (!entry.present()) {
      if (options_.kernel == "v6.10") say(fmt::format("page {} of {}: used, and no longer there", page, mm.name()));
      return;
    }
    std::uint64_t there = 0;
    __builtin_memcpy(&there, platform_.memory.bytes(entry.frame()) + at.offset(), sizeof there);
    if (there != value && options_.kernel == "v6.10")
      say(fmt::format("page {} of {}: the device {} {:#x}, a CPU would see {:#x}", page, mm.name(),
                      write ? "wrote" : "read", value, there));
  }

  // --- the process ---

  void change_the_space() {
    RandomStream random(seed_, "mm");
    Core& core = *platform_.cores[1];
    const std::uint64_t operations = 4 + random.below(9);
    const std::uint64_t fork_at = random.below(operations);
    const std::uint64_t reap_at = shape_.below(2 * operations);
    for (std::uint64_t i = 0; i < operations; ++i) {
      const std::uint64_t first = random.below(kPages);
      const std::uint64_t pages = 1 + random.below(kPages - first);
      const Vpn from = kBuffer.page() + first;
      const PageRange range{from, from + pages};
      VirtAddr at{0};
      switch (random.below(options_.moves ? 10 : 8)) {
        case 0:
          munmap(*parent_, range);
          if (random.below(2) == 0) pause(random);
          [[fallthrough]];
        case 1: {
          MmapRequest request{.at = address_of(from), .fixed = true, .pages = pages, .rights = kReadWrite};
          mmap(*parent_, request, at);
          break;
        }
        case 2:
          mprotect(*parent_, range, {true, false, false});
          break;
        case 3:
          mprotect(*parent_, range, kReadWrite);
          break;
        case 4:
          madvise_dontneed(*parent_, range);
          break;
        case 5:
          for (unsigned context = 0; context + 1 < kContexts; ++context) device_.unload(context, *parent_);
          break;
        case 8:
          if (parent_->system.behaviour.soft_offline) madvise_soft_offline(*parent_, range);
          break;
        case 9:
          if (!parent_->system.behaviour.ksm) break;
          madvise_merge(*parent_, range, random.below(4) != 0);
          ksmd_run(parent_->system);
          break;
        default:
          for (Vpn page = range.first; page < range.end; page = page + 1)
            core.write(address_of(page) + 8 * (1 + random.below(kContexts)), 8,
                       ((page - kBuffer.page()) << 32) | 0xc000 | i);
          break;
      }
      if (i == fork_at) fork_it();
      if (options_.kernel == "v6.10" && i == reap_at) oom_reap(*parent_);  // whoever would have to wait may refuse
      if (random.below(2) == 0) pause(random);
    }
    // A program ends its use of a device before it ends: what a context that still runs meets in an exit is up to
    // the kind. Whoever gives the device up does not ask.
    if (!options_.detach_early) changed_.wait_until([this] { return at_work_ == 0; }, "the contexts to finish");
    if (options_.detach_early || random.below(2) == 0) detach(*parent_);
    if (child_ != nullptr && (options_.detach_early || random.below(2) == 0)) detach(*child_);
    changed_.wait_until([this] { return at_work_ == 0 && !neighbour_works_; }, "everybody to finish");
    for (Mm* mm : {child_, parent_}) {
      if (mm == nullptr) continue;
      mmput(*mm);
      detach(*mm);  // whoever had not yet: legal after the end, and the last claim on the structure
    }
  }
  void pause(RandomStream& random) { arbiter_.sleep_until(arbiter_.now() + Time{random.below(15'000'000)}); }

  void detach(Mm& mm) {
    gone_.insert(mm.id());
    device_.detach(mm);
    if (live_[mm.id()] != 0)
      say(fmt::format("{} translations of {} outlive the device's leaving", live_[mm.id()], mm.name()));
  }

  void fork_it() {
    child_ = &platform_.mms->create("child");
    if (fork(*parent_, *child_) != Errno::ok) return say("fork fails");
    if (device_.attach(*child_) != Errno::ok) return say("attach to the child fails");
    start_context(kContexts - 1, *child_);
  }

  // Another thread of the process, on a core of its own: it takes freed frames at once, and makes faults race.
  void neighbour() {
    RandomStream random(seed_, "neighbour");
    Core& core = *platform_.cores[3];
    for (int i = 0; i < 8; ++i) {
      const std::uint64_t page = random.below(kPages);
      const VirtAddr at = kBuffer + page * kPageSize + 256;
      std::uint64_t value = 0;
      if (random.below(2) == 0) {
        core.write(at, 8, (page << 32) | 0xd000);
      } else if (core.read(at, 8, value) == AccessResult::ok && value != 0 && value >> 32 != page) {
        say(fmt::format("the neighbour reads {:#x} from page {}", value, page));
      }
      arbiter_.sleep_until(arbiter_.now() + Time{random.below(10'000'000)});
    }
    neighbour_works_ = false;
    changed_.wake_all();
  }

  // --- afterwards ---

  void look_at_the_end() {
    if (begun_ != ended_) say(fmt::format("{} faults began, {} ended", begun_.size(), ended_.size()));
    for (const auto& [mm, count] : live_)
      if (count != 0) say(fmt::format("{} translations of mm {} outlive it", count, mm));
    for (const Mm* mm : {parent_, child_})
      if (mm != nullptr && !mm->freed) say(mm->name() + " is not freed");
    const std::string contradictions = audit(*platform_.mms);
    if (!contradictions.empty()) say(contradictions);
    const std::uint64_t zero = platform_.mms->zero_page_if_any() == kNoPfn ? 0 : 1;
    std::uint64_t offline = 0;
    for (std::uint64_t number = 0; number < platform_.memory.frames(); ++number)
      offline += platform_.memory.frame({number}).use == FrameUse::offline ? 1 : 0;
    if (platform_.memory.free_frames() + zero + offline != platform_.memory.frames())
      say(fmt::format("{} of {} frames are free, {} offline, {} is the zero page", platform_.memory.free_frames(),
                      platform_.memory.frames(), offline, zero));
    for (const std::string& sentence : oracle_.audit()) say("the oracle's ledger: " + sentence);
  }

  Platform& platform_;
  Arbiter& arbiter_;
  Device& device_;
  const Options options_;
  const std::uint64_t seed_;
  RandomStream shape_;
  WaitQueue changed_;
  Oracle oracle_;
  Mm* parent_ = nullptr;
  Mm* child_ = nullptr;
  unsigned at_work_ = 0;
  bool neighbour_works_ = true;
  std::set<std::uint64_t> begun_;
  std::set<std::uint64_t> ended_;
  std::map<std::uint32_t, std::int64_t> live_;
  std::set<std::uint32_t> gone_;
  std::uint64_t compared_ = 0;
  std::string story_;
};

// Plays so many programs of a kind, half of them giving the device up in the middle of its work.
void check_kind(const std::string& kind, const std::string& kernel, std::uint64_t programs,
                const Settings& settings = {}) {
  CAPTURE(kind);
  CAPTURE(kernel);
  in_child([&] {
    Platform platform(contract_machine(kind, settings));
    direct(platform, [&] {
      std::uint64_t compared = 0;
      std::uint64_t faults = 0;
      std::uint64_t wrong = 0;
      for (std::uint64_t seed = 1; seed <= programs; ++seed) {
        Options options;
        options.kernel = kernel;
        options.detach_early = seed % 2 == 0;
        Program program(platform, seed, options);
        const std::string story = program.play();
        if (!story.empty() && ++wrong <= 3) MESSAGE(kind << ":\n" << story);
        compared += program.compared();
        faults += program.faults();
        platform.reset();  // its tasks hold references to the program
      }
      CHECK(wrong == 0);
      CHECK(compared > 20 * programs);
      CHECK(faults > 4 * programs);
    });
  });
}

constexpr std::uint64_t kPrograms = 1'000;
}  // namespace

TEST_CASE("contract: every kind of device keeps every rule on v6.10 under random programs and latencies") {
  for (const DeviceKindRow& kind : device_kinds()) check_kind(kind.name, "v6.10", kPrograms);
}

TEST_CASE("contract: every kind of device keeps every rule on v3.2 under random programs and latencies") {
  const NotifierBehaviour kernel = notifier_behaviour(*parse_kernel_version("v3.2"));
  for (const DeviceKindRow& kind : device_kinds())
    if (kind.needs == nullptr || kernel.*kind.needs) check_kind(kind.name, "v3.2", kPrograms);
}

TEST_CASE("contract: kvm without a TLB, as recordings have it, keeps every rule on kernels between") {
  const Settings recorded = {{"tlb_entries", std::uint64_t{0}},
                             {"guest_views", std::uint64_t{1}},
                             {"map_writable_on_read", false},
                             {"change_pte", std::string("always")}};
  for (const char* kernel : {"v3.15", "v4.16", "v5.5", "v6.1"}) check_kind("kvm", kernel, kPrograms / 2, recorded);
}

TEST_CASE("contract: kvm with a TLB keeps every rule on kernels between") {
  for (const char* kernel : {"v3.15", "v4.16", "v5.5", "v6.1"}) check_kind("kvm", kernel, kPrograms / 2);
}

TEST_CASE("contract: hmm keeps every rule on kernels between, also with blocks of pages") {
  for (const char* kernel : {"v5.5", "v6.1"}) check_kind("hmm", kernel, kPrograms / 2);
  for (const char* kernel : {"v5.5", "v6.10"})
    check_kind("hmm", kernel, kPrograms / 4, {{"fault_pages", std::uint64_t{4}}});
}

// What these programs cannot show: it takes two invalidations of one page at once, somebody who ages or reclaims
// pages, huge pages, or pages that go while a device is being given up. Scenarios and the tests beside the device show
// them.
bool beyond_programs(const std::string& rule) {
  return rule == "flush-before-unlock" || rule == "dirty-to-page" || rule == "young-from-entry" ||
         rule == "empty-before-remove" || rule == "host-level-check";
}

TEST_CASE("contract: a device whose protocol lacks a rule is caught by some random program") {
  constexpr std::uint64_t kMost = 400;
  for (const DeviceKindRow& kind : device_kinds()) {
    if (kind.protocol.empty()) continue;
    in_child([&] {
      Platform platform(contract_machine(kind.name));
      direct(platform, [&] {
        std::string table;
        for (const ProtocolRule& rule : kind.protocol) {
          if (beyond_programs(rule.name)) continue;
          std::uint64_t seed = 0;
          std::string story;
          while (story.empty() && seed < kMost) {
            Options options;
            options.without = {rule.name};
            options.moves = false;
            options.most_retries = 15;  // more than any range in these programs lasts
            options.detach_early = ++seed % 2 == 0;
            Program program(platform, seed, options);
            story = program.play();
            platform.reset();
          }
          INFO(kind.name << " without " << rule.name);
          CHECK_FALSE(story.empty());
          table += fmt::format("  {} without {}: program {}: {}\n", kind.name, rule.name, seed,
                               story.substr(0, story.find('\n')));
        }
        MESSAGE("caught by\n" << table);
      });
    });
  }
}
