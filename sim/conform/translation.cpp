#include "sim/conform/translation.hpp"

#include <algorithm>
#include <charconv>
#include <set>

#include <fmt/format.h>

#include "sim/conform/devices.hpp"
#include "sim/conform/tool_page.hpp"

namespace secmmu::conform {
namespace {

constexpr VirtAddr kFirstBuffer{0x7f00'0000'0000};
constexpr std::uint64_t kHugePages = 512;      // of a block of 2 MiB
constexpr Time kLimit{1'000'000'000'000'000};  // 1000 s: some operations wait for a kernel thread

class Translator {
 public:
  Translator(const Recording& recording, const std::string& kernel) : recording_(recording) {
    scenario_.path = recording.path;
    scenario_.name = recording.name;
    scenario_.kernels = {kernel};
    scenario_.limit = kLimit;
    scenario_.machine.push_back({"machine.cpus", std::uint64_t{1}, {}});
    scenario_.machine.push_back({"machine.memory.nodes", std::uint64_t{2}, {}});
    // What runs between two operations (another process, the recorder itself) uses the TLB too: almost nothing of a
    // process is left there when its next operation begins.
    scenario_.machine.push_back({"machine.tlb.entries", std::uint64_t{1}, {}});
    scenario_.machine.push_back({"machine.tlb.ways", std::uint64_t{1}, {}});
    add_process(std::string(kProcess), "");
    scenario_.devices.push_back(recorder_device());
  }

  Scenario translate() {
    main_ = add_actor("main", std::string(kProcess), "");
    const std::vector<bool> may = playable(recording_);
    for (std::size_t block = 0; block < recording_.blocks.size(); ++block)
      if (may[block]) add(recording_.blocks[block].operation, block);
    // Who does nothing need not be there.
    std::erase_if(scenario_.actors, [](const ActorSpec& actor) { return actor.program.empty(); });
    return std::move(scenario_);
  }

 private:
  void add_process(std::string name, std::string parent) {
    ProcessSpec& process = scenario_.processes.emplace_back();
    process.name = std::move(name);
    process.forked_from = std::move(parent);
  }

  std::size_t add_actor(std::string name, std::string process, std::string device) {
    ActorSpec& actor = scenario_.actors.emplace_back();
    actor.name = std::move(name);
    actor.process = std::move(process);
    actor.device = std::move(device);
    actor.cpu = 0;
    return scenario_.actors.size() - 1;
  }

  void add(const Operation& operation, std::size_t block) {
    if (operation.name == "device") attached_ = add_device(operation);
    if (operation.name == "fork") fork();
    const OperationRow& row = *find_operation(operation.name);
    const std::size_t actor = row.player == Player::process ? main_ : row.player == Player::device ? attached_ : child_;
    unsigned part = 0;
    std::vector<Step> steps = row.steps(operation);
    if (operation.name == "idle" || operation.name == "isidle") empty_lists_first(steps);
    tool_page_.played(operation);
    for (Step& step : steps) {
      step.mark = operation.mark;
      const bool recorded = step.id != kUnrecorded;
      if (!recorded)
        step.id = fmt::format("{}{}", kUnrecorded, block);
      else
        step.id = part++ == 0 ? fmt::format("op{}", block) : fmt::format("op{}_{}", block, part);
      std::optional<Step> neighbour;
      if (step.verb == "mmap" && !step.address) {
        step.address = place(step.pages);
        tool_page_.mapped(step.buffer, {step.address->page(), step.address->page() + step.pages});
        neighbour = neighbour_of(step);
      }
      if (step.verb == "fork" && recorded) step.name = fmt::format("child{}", forks_);
      if (step.verb == "fork" && !recorded) {  // no operation is done by that one
        step.name = fmt::format("helper{}", block);
        add_process(step.name, std::string(kProcess));
      }
      step.result = recorded_result(step, recording_.blocks[block]);
      if (last_actor_ != kNobody && last_actor_ != actor)
        step.after.push_back(scenario_.actors[last_actor_].name + "." + last_step_);
      last_actor_ = actor;
      last_step_ = step.id;
      scenario_.actors[actor].program.push_back(std::move(step));
      if (neighbour) scenario_.actors[actor].program.push_back(std::move(*neighbour));
    }
  }

  // When buffers of less than 2 MiB were unmapped, their page table stayed: something else was mapped in the same
  // block, that nobody touched. It is shared here, so that it never becomes one VMA with the buffer.
  static std::optional<Step> neighbour_of(const Step& buffer) {
    const std::uint64_t rest = buffer.pages % kHugePages;
    if (rest == 0) return std::nullopt;
    Step step;
    step.verb = "mmap";
    step.buffer = buffer.buffer + "_neighbour";
    step.pages = 1;
    step.backing = Backing::shared;
    step.address = address_of(buffer.address->page() + (buffer.pages - rest + kHugePages - 1));
    step.mark = buffer.mark;
    return step;
  }

  // See tool_page.hpp.
  void empty_lists_first(std::vector<Step>& steps) {
    const std::optional<Vpn> place = tool_page_.take_place();
    if (!place) return;
    Step map;
    map.verb = "mmap";
    map.buffer = "tool";
    map.pages = 1;
    map.backing = Backing::anon;
    map.address = address_of(*place);
    Step write;
    write.verb = "write";
    write.buffer = map.buffer;
    write.end_page = 1;
    write.value = ToolPage::kValue;
    write.count_up = true;
    for (const Step& step : {map, write}) scenario_.actors[main_].program.push_back(step);
    Step advice;
    advice.verb = "cold";
    advice.buffer = map.buffer;
    advice.end_page = 1;
    steps.insert(steps.begin(), advice);
  }

  // What `run` shall expect. An access may end in a fault; which one did, the values say.
  static std::optional<std::string> recorded_result(const Step& step, const Block& block) {
    if (step.verb == "read" || step.verb == "write") return "ok-or-fault";
    if (block.operation.setup || block.lines.empty() || block.lines[0].text == "= ok") return std::nullopt;
    return block.lines[0].text.substr(2);
  }

  std::size_t add_device(const Operation& operation) {
    scenario_.devices.push_back(*find_recorded_device(operation.word));
    return add_actor("on_" + operation.word, std::string(kProcess), operation.word);
  }

  void fork() {
    const std::string name = fmt::format("child{}", ++forks_);
    add_process(name, std::string(kProcess));
    child_ = add_actor(fmt::format("kid{}", forks_), name, "");
  }

  VirtAddr place(std::uint64_t pages) {
    const VirtAddr at = next_;
    const std::uint64_t blocks = (pages + kHugePages - 1) / kHugePages + 1;  // and a gap
    next_ = next_ + blocks * kHugePages * kPageSize;
    return at;
  }

  static constexpr std::size_t kNobody = SIZE_MAX;
  const Recording& recording_;
  Scenario scenario_;
  std::size_t main_ = kNobody;
  std::size_t attached_ = kNobody;
  std::size_t child_ = kNobody;
  std::size_t last_actor_ = kNobody;
  std::string last_step_;
  unsigned forks_ = 0;
  ToolPage tool_page_;
  VirtAddr next_ = kFirstBuffer;
};

}  // namespace

std::vector<bool> playable(const Recording& recording) {
  std::vector<bool> may;
  std::set<std::string> buffers;
  bool has_device = false;
  bool has_child = false;
  for (const Block& block : recording.blocks) {
    const Operation& operation = block.operation;
    const OperationRow& row = *find_operation(operation.name);
    bool can = is_modelled(operation) && (has_device || row.player != Player::device) &&
               (has_child || row.player != Player::child);
    for (const Argument& argument : row.arguments)
      if (argument.form == Form::buffer)
        can = can && buffers.contains(operation.*std::get<std::string Operation::*>(argument.member));
    may.push_back(can);
    if (!can) continue;
    for (const Argument& argument : row.arguments)
      if (argument.form == Form::new_buffer)
        buffers.insert(operation.*std::get<std::string Operation::*>(argument.member));
    has_device = has_device || operation.name == "device";
    has_child = has_child || operation.name == "fork";
  }
  return may;
}

Scenario translate(const Recording& recording, const std::string& kernel) {
  Scenario scenario = Translator(recording, kernel).translate();
  const std::vector<bool> may = playable(recording);
  std::size_t number = 0;
  for (const Block& block : recording.blocks)
    if (may[number++] && block.operation.name == "watch")
      scenario.watch = {std::string(kProcess) + "." + block.operation.buffer};
  return scenario;
}

std::size_t block_of(const Step& step) {
  std::size_t block = SIZE_MAX;
  if (step.id.starts_with("op")) std::from_chars(step.id.data() + 2, step.id.data() + step.id.size(), block);
  return block;
}

Scenario machine_for(const std::vector<Scenario>& scenarios) {
  Scenario machine;
  for (const Scenario& scenario : scenarios) {
    if (machine.machine.empty()) machine.machine = scenario.machine;
    const auto add_new = [](auto& all, const auto& more) {
      for (const auto& one : more)
        if (std::none_of(all.begin(), all.end(), [&](const auto& known) { return known.name == one.name; }))
          all.push_back(one);
    };
    add_new(machine.devices, scenario.devices);
    add_new(machine.actors, scenario.actors);
  }
  return machine;
}

}  // namespace secmmu::conform
