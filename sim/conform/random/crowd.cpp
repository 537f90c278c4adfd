#include "sim/conform/random/crowd.hpp"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "models/devices/registry.hpp"
#include "notifier/list_subscription.hpp"
#include "notifier/substrate/random.hpp"
#include "sim/conform/devices.hpp"
#include "sim/conform/translation.hpp"

namespace secmmu::conform {
namespace {

constexpr std::uint64_t kContexts = 2;

// Small, where the kind knows of such things: borders that programs meet. Slow, where a race has its window there.
void make_eager(DeviceSpec& device, bool slow_flushes) {
  device.settings.clear();
  const DeviceKindRow* kind = find_device_kind(device.kind);
  const auto set = [&](std::string_view name, ParameterValue value) {
    if (kind->parameters.find(std::string(name)) != nullptr)
      device.settings.push_back({fmt::format("devices.{}.{}", device.name, name), std::move(value), {}});
  };
  for (const auto& [name, value] : {std::pair{"contexts", 4},
                                    {"tlb_entries", 8},
                                    {"tlb_ways", 2},
                                    {"purge_limit", 4},
                                    {"asids", 40},
                                    {"guest_views", 2}})
    set(name, static_cast<std::uint64_t>(value));
  for (const auto& [name, time] : {std::pair{"prepare", Time{4'000'000}}, {"entry_write", Time{2'000'000}}})
    set(name, time);
  if (!slow_flushes) return;
  for (const char* name : {"flush", "kick"}) set(name, Time{10'000'000});
}

class Crowd {
 public:
  Crowd(const Recording& program, std::uint64_t seed, const std::string& kernel)
      : program_(program), seed_(seed), alone_(conform::translate(program, kernel)) {}

  Scenario make() {
    Scenario crowded = alone_;
    crowded.name = program_.name + "-crowd";
    crowded.seed = seed_;
    set_machine(crowded, "machine.cpus", 4);
    set_machine(crowded, "machine.stretch", 200);
    set_machine(crowded, "machine.tlb.entries", 16);
    set_machine(crowded, "machine.tlb.ways", 4);
    for (DeviceSpec& device : crowded.devices)
      if (device.name != kRecorder) {
        make_eager(device, crowd_machine(seed_) == 1);
        device_ = device.name;
      }
    crowded.actors.clear();
    for (const ActorSpec& actor : alone_.actors)
      if (actor.device.empty() && actor.process == kProcess) split_process(actor, crowded);
    for (const ActorSpec& actor : alone_.actors) {
      if (!actor.device.empty())
        split_device(actor, crowded);
      else if (actor.process != kProcess)
        free_child(actor, crowded);
    }
    if (!ends_at_release()) end_after_accesses(crowded);
    add_workers(crowded);
    std::erase_if(crowded.actors, [](const ActorSpec& actor) { return actor.program.empty(); });
    return crowded;
  }

 private:
  static void set_machine(Scenario& scenario, std::string_view path, std::uint64_t value) {
    std::erase_if(scenario.machine, [path](const Setting& setting) { return setting.path == path; });
    scenario.machine.push_back({std::string(path), value, {}});
  }

  // Of one operation, whoever its neighbours are.
  RandomStream stream(const Step& step, std::string_view what) const {
    return RandomStream(seed_, fmt::format("{} {} {}", what, step.mark.line, step.verb));
  }

  // Buffers that come later must be there before somebody else uses them.
  void need(Step& step, std::string_view actor) const {
    for (const std::string* name : {&step.buffer, &step.onto}) {
      const auto made = made_by_.find(*name);
      if (made == made_by_.end() || actor == "main") continue;
      const std::string id = "main." + made->second;
      if (std::find(step.after.begin(), step.after.end(), id) == step.after.end()) step.after.push_back(id);
    }
  }

  // The main thread keeps what is there only once; of the rest a third goes to another thread. Each step of that one
  // waits for what the main thread did two steps before, so that it runs beside the step before it.
  void split_process(const ActorSpec& whole, Scenario& crowded) {
    ActorSpec main = whole;
    ActorSpec other = whole;
    main.cpu = 1;
    other.name = "other";
    other.cpu = 2;
    main.program.clear();
    other.program.clear();
    bool has_device = false;
    std::size_t block = SIZE_MAX;
    bool moves = false;
    for (Step step : whole.program) {
      step.after.clear();
      // Whoever writes where userfaultfd protects waits until somebody takes that away again: here, perhaps for ever.
      if (step.verb.starts_with("uffd")) continue;
      if (step.id.empty()) {  // of no operation: pages around the buffers
        main.program.push_back(std::move(step));
        continue;
      }
      if (block_of(step) != block) {
        block = block_of(step);
        const bool once = step.verb == "mmap" || step.verb == "mremap" || step.verb == "fork" || step.verb == "exit" ||
                          step.verb == "register" || step.verb == "unregister";
        moves = has_device && !once && stream(step, "thread").below(3) == 0;
      }
      if (step.verb == "mmap") made_by_[step.buffer] = step.id;
      if (step.verb == "mremap" && !step.name.empty()) made_by_[step.name] = step.id;
      if (step.verb == "register" && step.name == device_) {
        has_device = true;
        ready_ = "main." + step.id;
      }
      before_[block] = moves ? last_but_one() : last_;
      if (moves) {
        step.after = {last_but_one()};
        need(step, "other");
        other.program.push_back(std::move(step));
      } else {
        older_ = last_;
        last_ = "main." + step.id;
        main.program.push_back(std::move(step));
      }
    }
    crowded.actors.push_back(std::move(main));
    crowded.actors.push_back(std::move(other));
  }
  std::string last_but_one() const { return older_.empty() ? ready_ : older_; }

  // An access waits for what came two operations before it: it runs beside the one before it.
  void split_device(const ActorSpec& whole, Scenario& crowded) {
    ActorSpec halves[kContexts] = {whole, whole};
    for (std::uint64_t context = 0; context < kContexts; ++context) {
      halves[context].name = fmt::format("{}_{}", whole.name, context);
      halves[context].context = context;
      halves[context].cpu = context == 0 ? 1 : 3;
      halves[context].program.clear();
    }
    for (Step step : whole.program) {
      RandomStream random = stream(step, "context");
      step.after = {beside(block_of(step))};
      need(step, "device");
      step.times = 1 + random.below(4);
      std::vector<Step>& program = halves[random.below(kContexts)].program;
      if (random.below(2) == 0) {
        Step pause;
        pause.verb = "delay";
        pause.duration = Time{random.below(6'000'000)};
        pause.after = step.after;
        program.push_back(std::move(pause));
      }
      program.push_back(std::move(step));
    }
    for (ActorSpec& half : halves) crowded.actors.push_back(std::move(half));
  }

  // What the main thread had done one step before the last that comes before this block.
  std::string beside(std::size_t block) const {
    std::string found = ready_;
    for (const auto& [number, step] : before_)
      if (number < block && number > block_number(ready_) && !step.empty()) found = step;
    return found;
  }
  static std::size_t block_number(const std::string& step) {
    Step named;
    named.id = step.substr(step.find('.') + 1);
    return block_of(named);
  }

  // The GRU learns of the end of a process after the pages are gone: a program must have ended its use of it by then.
  bool ends_at_release() const { return device_ != "gru"; }

  void end_after_accesses(Scenario& crowded) const {
    std::vector<std::string> last;
    for (const ActorSpec& actor : crowded.actors)
      if (!actor.device.empty() && !actor.program.empty()) last.push_back(actor.name + "." + actor.program.back().id);
    for (ActorSpec& actor : crowded.actors)
      for (Step& step : actor.program)
        if (step.verb == "exit" && actor.process == kProcess) step.after = last;
  }

  static void free_child(const ActorSpec& whole, Scenario& crowded) {
    ActorSpec child = whole;
    child.cpu = 0;
    for (Step& step : child.program) step.after.clear();
    crowded.actors.push_back(std::move(child));
  }

  void add_workers(Scenario& crowded) {
    RandomStream random(seed_, "workers");
    const std::vector<Step> program = crowded.actors.front().program;
    const auto worker = [&](std::string name, std::string_view verb, std::string target) {
      ActorSpec actor;
      actor.name = std::move(name);
      actor.process = kProcess;
      actor.cpu = 3;
      actor.worker = true;
      Step step;
      step.verb = verb;
      step.name = std::move(target);
      // Most of a program comes after its set-up.
      const std::size_t late = program.size() / 2;
      step.after = {ready_};
      const Step& other = program[late + random.below(program.size() - late)];
      if (!other.id.empty()) step.after.push_back("main." + other.id);
      actor.program.push_back(std::move(step));
      crowded.actors.push_back(std::move(actor));
    };
    if (ready_.empty()) return;
    // Who reaps must not be kept waiting by anybody who listens.
    const bool reaps = std::ranges::any_of(crowded.actors, [](const ActorSpec& actor) {
      return std::ranges::any_of(actor.program, [](const Step& step) { return step.verb == "oom_reap"; });
    });
    if (waits_for_ranges() && random.below(8) == 0) {
      if (!reaps)
        slow_down(*std::find_if(crowded.devices.begin(), crowded.devices.end(),
                                [](const DeviceSpec& device) { return device.name == kRecorder; }));
    } else if (random.below(4) == 0) {
      worker("reaper", "oom_reap", std::string(kProcess));
    }
    if (random.below(4) == 0) worker("closer", "unregister", device_);
    if (device_ == "gru" && random.below(2) == 0)
      for (const char* name : {"unloader", "unloader_too"}) worker(name, "unload", device_);
  }

  // A virtual CPU does not: it misses again and again while a range is open, and is right to do so.
  bool waits_for_ranges() const { return device_ != "kvm"; }

  // Somebody else in the list, who takes his time: ranges stay open for long.
  static void slow_down(DeviceSpec& neighbour) {
    for (CallbackScript& script : neighbour.scripts) {
      if (script.callback != callback_name(Callback::start)) continue;
      Step wait;
      wait.verb = "delay";  // not all kernels may sleep there
      wait.duration = Time{5'000'000'000};
      script.steps = {wait};
    }
  }

  const Recording& program_;
  std::uint64_t seed_;
  Scenario alone_;
  std::string device_;
  std::string ready_;  // the step that attaches the device
  std::string last_, older_;
  std::map<std::string, std::string> made_by_;  // buffer, step of main
  std::map<std::size_t, std::string> before_;   // block, the step before it
};

}  // namespace

unsigned crowd_machine(std::uint64_t seed) { return static_cast<unsigned>(seed % kCrowdMachines); }

Scenario crowd(const Recording& program, std::uint64_t seed, const std::string& kernel) {
  return Crowd(program, seed, kernel).make();
}

}  // namespace secmmu::conform
