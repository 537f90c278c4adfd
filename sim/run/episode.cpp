#include "sim/run/file_verbs.hpp"
#include "sim/run/episode.hpp"

#include <algorithm>
#include <stdexcept>

#include <fmt/format.h>

#include "models/cpu/events.hpp"
#include "models/devices/events.hpp"
#include "notifier/substrate/sync/events.hpp"
#include "sim/oracle/oracle.hpp"
#include "sim/run/build.hpp"
#include "sim/run/counters.hpp"
#include "sim/run/expectations.hpp"
#include "sim/run/lackey_program.hpp"
#include "sim/run/run_files.hpp"
#include "sim/scenario/resolved.hpp"

namespace secmmu {
namespace {

// Marks the translations of watched buffers, so that every access through them is an event.
class Watch {
 public:
  explicit Watch(const World& world) : world_(world) {}
  void attach(Bus& bus) {
    if (world_.scenario.watch.empty()) return;
    bus.listen<DeviceFill>([this](const DeviceFill& fill, const Stamp&) { mark(fill.mm_id, fill.page, fill.ghost); });
    bus.listen<CpuTlbFill>([this](const CpuTlbFill& fill, const Stamp&) { mark(fill.asid, fill.page, fill.ghost); });
  }

 private:
  void mark(std::uint32_t mm_id, Vpn page, const Ghost* ghost) const {
    for (const std::string& watched : world_.scenario.watch) {
      const std::size_t dot = watched.find('.');
      const auto process = world_.processes.find(watched.substr(0, dot));
      if (process == world_.processes.end() || process->second.mm == nullptr || process->second.mm->id() != mm_id)
        continue;
      const auto buffer = process->second.buffers.find(watched.substr(dot + 1));
      if (buffer == process->second.buffers.end()) continue;
      const Vpn first = buffer->second.at.page();
      if (PageRange{first, first + buffer->second.pages}.contains(page)) ghost->word |= Ghost::kWatched;
    }
  }
  const World& world_;
};

Rights initial_rights(Protection protection) {
  return {protection != Protection::none, protection == Protection::rw || protection == Protection::rwx,
          protection == Protection::rx || protection == Protection::rwx};
}

// What the kernel lacks ends the run: the rest of the scenario would say nothing.
template <class Body>
void unless_absent(World& world, const Body& body) {
  try {
    body();
  } catch (const AbsentInKernel& absent) {
    if (world.missing.empty()) world.missing = absent.what();
    world.platform.arbiter.request_stop();
  }
}

// Rule: a kernel that lacks something shows nothing, so that must be stated, and stated means checked. What the
// run did before it ended there counts all the same: a violation is never swallowed.
void judge_absence(World& world, const Expectations& expect, RunVerdict& verdict) {
  verdict.missing = world.missing;
  if (expect.absent || !world.missing.empty()) {
    verdict.failed.clear();
    for (const RuleVerdict& rule : verdict.rules)
      if (rule.violated && !rule.expected)
        verdict.failed.push_back({fmt::format("rule {}: clean", rule.rule), "violated", world.scenario.path});
    if (!expect.absent)
      verdict.failed.push_back({"the kernel has what the scenario does", world.missing, world.place(world.missing_at)});
    if (world.missing.empty())
      verdict.failed.push_back(
          {"the kernel lacks something that the scenario does (absent)", "it has all of it", world.scenario.path});
  }
  verdict.outcome = !verdict.failed.empty() ? Outcome::failed : expect.absent ? Outcome::absent : Outcome::passed;
}

std::uint64_t expectations_in(const Scenario& scenario, const Expectations& expect) {
  std::uint64_t count = 1 + expect.counters.size() + expect.order.size() + expect.values.size();
  for (const ActorSpec& actor : scenario.actors) count += actor.program.size();
  return count;
}

}  // namespace

Episode::Episode(Platform& platform, const Scenario& scenario)
    : platform_(platform), scenario_(scenario), locks_(platform.arbiter) {}
Episode::~Episode() = default;

// Everything that exists before time 0: processes, their buffers, the devices' subscriptions. Runs in a task.
void Episode::set_up(World& world) {
  for (const ProcessSpec& spec : scenario_.processes) {
    if (!spec.forked_from.empty()) continue;
    Process& process = world.processes[spec.name];
    process.name = spec.name;
    process.mm = &platform_.mms->create(spec.name);
    for (const BufferSpec& buffer : spec.buffers) {
      MmapRequest request;
      request.pages = buffer.pages;
      request.rights = initial_rights(buffer.protection);
      set_backing(request, buffer.backing);
      request.fixed = buffer.at.has_value();
      request.at = buffer.at ? *buffer.at : process.mm->find_gap(buffer.pages, 512);
      VirtAddr at{0};
      const Errno result = mmap(*process.mm, request, at);
      if (result != Errno::ok) {
        world.fail(buffer.mark, fmt::format("{}.{} is mapped before the actors start", spec.name, buffer.name),
                   std::string(errno_name(result)));
        continue;
      }
      process.buffers[buffer.name] = place_of(*process.mm, at, buffer.pages);
      if (!buffer.populate) continue;
      for (std::uint64_t page = 0; page < buffer.pages; ++page) {
        if (handle_fault(*process.mm, at.page() + page, request.rights.write) == FaultResult::resolved) continue;
        world.fail(buffer.mark, fmt::format("{}.{} is populated", spec.name, buffer.name), "out of memory");
        break;
      }
    }
  }
  for (const DeviceSpec& spec : scenario_.devices) {
    Device& device = *platform_.device(spec.name);
    for (const std::string& process : spec.attach) {
      const Errno result = world.doing(spec.mark, [&] { return device.attach(*world.processes.at(process).mm); });
      if (result != Errno::ok)
        world.fail(spec.mark, fmt::format("{} attaches to {}", spec.name, process), std::string(errno_name(result)));
    }
  }
}

void Episode::start_actor(World& world, const ActorSpec& actor, Process* process) {
  Arbiter& arbiter = platform_.arbiter;
  Device* device = actor.device.empty() ? nullptr : platform_.device(actor.device);
  Core* core = nullptr;
  if (device == nullptr && actor.cpu) core = platform_.cores.at(*actor.cpu).get();
  programs_.push_back(std::make_unique<ActorProgram>(world, actor, process, core, device));
  ActorProgram* program = programs_.back().get();
  Task& task = platform_.task(actor.name);
  if (process != nullptr) task.user = process->mm;
  const Time at = arbiter.now() + actor.start;
  if (device != nullptr && device->has_user_thread()) {
    Task& engine = platform_.task(engine_task(actor));
    const auto context = static_cast<unsigned>(actor.context);
    arbiter.start(
        task,
        [device, context, process, &engine, program, &world] {
          device->user_thread(context, *process->mm, engine,
                              [program, &world] { unless_absent(world, [program] { program->run(); }); });
        },
        at);
    return;
  }
  arbiter.start(
      task, [program, &world] { unless_absent(world, [program] { program->run(); }); }, at);
  if (actor.mirror.empty()) return;
  Device* mirror = platform_.device(actor.mirror);
  MirrorFeed& feed = *(world.mirrors[actor.name] = std::make_unique<MirrorFeed>(arbiter));
  Task& user = platform_.task(mirror_task(actor));
  Task& engine = platform_.task(mirror_engine_task(actor));
  user.user = process->mm;
  arbiter.start(
      user,
      [mirror, process, &engine, &feed] {
        const auto repeat = [mirror, process, &feed] { feed.repeat(*mirror, 0, *process->mm); };
        if (mirror->has_user_thread()) {
          mirror->user_thread(0, *process->mm, engine, repeat);
        } else {
          repeat();
        }
      },
      at);
}

void Episode::start_actors(World& world, const std::string& name) {
  for (const ActorSpec& actor : scenario_.actors)
    if (actor.process == name) start_actor(world, actor, name.empty() ? nullptr : &world.processes.at(name));
}

void Episode::skip_steps(World& world, const ActorSpec& actor, const std::vector<Step>& steps) {
  for (const Step& step : steps) {
    if (!step.id.empty()) world.meetings.step_done(actor.name + "." + step.id);
    if (step.verb == "fork") skip_actors(world, step.name);
    skip_steps(world, actor, step.body);
  }
}

// Whoever waits for a step of a process that could not be forked waits no longer; so with what it would have forked.
void Episode::skip_actors(World& world, const std::string& name) {
  if (!world.never_forked.insert(name).second) return;
  for (const ActorSpec& actor : scenario_.actors) {
    if (actor.process != name) continue;
    skip_steps(world, actor, actor.program);
    world.meetings.actor_finished(actor.name);
  }
}

EpisodeResult Episode::play(const std::string& kernel, std::uint64_t seed, const EpisodeOptions& options) {
  Arbiter& arbiter = platform_.arbiter;
  arbiter.bus().clear_listeners();
  const auto version = find_kernel(kernel);
  if (!version) throw std::logic_error("no kernel " + kernel);
  std::map<std::string, std::string> overrides;
  MachineConfig machine;
  for (const Setting& setting : scenario_.machine) {
    if (setting.path.rfind("kernel.", 0) == 0) overrides[setting.path.substr(7)] = std::get<std::string>(setting.value);
    if (setting.path == "machine.stretch") machine.stretch = std::get<std::uint64_t>(setting.value);
  }
  platform_.set_kernel(*version, overrides);
  arbiter.set_stretch(static_cast<unsigned>(machine.stretch), seed);
  for (const DeviceSpec& spec : scenario_.devices)
    platform_.device(spec.name)->set_without(options.kept ? std::vector<std::string>{} : spec.without);
  platform_.reset();
  programs_.clear();
  locks_.reset();

  World world(platform_, scenario_);
  world.kernel = kernel;
  world.seed = seed;
  world.progress = options.progress;
  world.listener = options.programs;
  if (world.listener != nullptr) world.listener->run_begins(world);
  world.skip_actors_of = [this, &world](const std::string& process) { skip_actors(world, process); };
  world.start_actors_of = [this, &world](const std::string& process) { start_actors(world, process); };
  for (const DeviceSpec& spec : scenario_.devices) {
    auto* probe = dynamic_cast<ProbeDevice*>(platform_.device(spec.name));
    if (probe == nullptr) continue;
    probe->clear_scripts();
    for (const CallbackScript& script : spec.scripts)
      probe->set_script(callback_named(script.callback), [this, &world, &spec, &script](auto& context) {
        run_script(world, spec.name, script, context, locks_);
      });
  }

  const RunDescription run = describe_run(scenario_, platform_, kernel, seed);
  const Expectations expect =
      options.kept ? scenario_.expect_kept.value_or(Expectations{}) : expectations_for(scenario_, kernel);
  Watch watch(world);
  watch.attach(arbiter.bus());
  Oracle oracle;
  OracleOptions judge;
  judge.strict = scenario_.strict;
  RunFiles files(options.directory, run, options.sinks);
  oracle.on_violation([&](const Violation& violation) {
    files.violation(violation);
    // These two go on for ever: the run has shown what it can.
    if (violation.rule == "no-progress") arbiter.request_stop();
  });
  // The sinks first, so that a violation follows the event that shows it.
  files.attach(arbiter.bus());
  oracle.attach(arbiter.bus(), run, judge);
  OrderWatch order(expect.order, run);
  order.attach(arbiter.bus());
  if (options.listen) options.listen(arbiter.bus());

  arbiter.begin_setup();
  platform_.start_kernel_threads();
  arbiter.start(platform_.task("setup"), [this, &world] { unless_absent(world, [&] { set_up(world); }); });
  RunEnd end = arbiter.run({kForever, options.steps});
  std::uint64_t left = options.steps;
  if (end != RunEnd::limit && world.missing.empty()) {
    if (left != UINT64_MAX) left -= arbiter.steps();
    arbiter.end_setup();
    for (const ProcessSpec& spec : scenario_.processes)
      if (spec.forked_from.empty()) start_actors(world, spec.name);
    start_actors(world, "");
    end = arbiter.run({scenario_.limit, left});
  }

  EpisodeResult result;
  RunVerdict& verdict = result.verdict;
  result.input_error = world.input_error;
  if (end == RunEnd::quiet && world.missing.empty()) {
    if (!arbiter.unfinished().empty()) arbiter.bus().emit(Deadlock{arbiter.explain_waiting()});
    for (const ActorSpec& actor : scenario_.actors)
      if (platform_.task(actor.name).state() == TaskState::dormant && !world.never_forked.contains(actor.process))
        world.fail(actor.mark, actor.name + " runs", "its process was never forked");
  }
  oracle.finish({arbiter.now(), end == RunEnd::quiet});

  verdict.scenario = scenario_.name;
  verdict.path = scenario_.path;
  verdict.about = scenario_.about;
  verdict.kernel = kernel;
  verdict.variant = options.kept ? "rules kept" : "";
  verdict.seed = seed;
  verdict.rules = judge_rules(world, expect, oracle);
  const std::vector<StatisticRow> counters = read_counters(world);
  judge_counters(world, expect.counters, counters);
  judge_values(world, expect.values);
  order.judge(world);
  for (const CounterCheck& check : expect.sometimes) {
    const auto value = find_counter(counters, check.counter);
    result.sometimes.push_back(value && holds(check, *value));
  }
  verdict.violations = oracle.violations();
  verdict.findings = oracle.findings();
  verdict.failed = world.failed;
  for (const StatisticRow& row : counters) verdict.counters.push_back({row.name, row.value});
  verdict.expectations = expectations_in(scenario_, expect);
  verdict.end = arbiter.now();
  verdict.steps = arbiter.steps();
  verdict.events = arbiter.bus().emitted();
  judge_absence(world, expect, verdict);
  if (end == RunEnd::limit && (verdict.violations.empty() || verdict.failed.empty())) {
    verdict.outcome = Outcome::inconclusive;
    verdict.limit = left != UINT64_MAX && arbiter.steps() >= left ? fmt::format("steps: {}", options.steps)
                                                                  : "modelled time: " + to_text(scenario_.limit);
  }
  files.finish(verdict, counters, resolved_yaml(scenario_, kernel, seed));
  arbiter.bus().clear_listeners();
  return result;
}

}  // namespace secmmu
