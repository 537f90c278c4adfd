#include "sim/run/program.hpp"

#include <algorithm>
#include <stdexcept>

#include <fmt/format.h>

#include "models/mm/user_fault.hpp"

#include "sim/run/access_pattern.hpp"
#include "sim/run/driver_verbs.hpp"
#include "sim/run/file_verbs.hpp"
#include "sim/run/memory_verbs.hpp"
#include "sim/run/lackey_program.hpp"

namespace secmmu {
namespace {

using Verb = ActorProgram::Verb;

Rights rights_of(Protection protection) {
  switch (protection) {
    case Protection::none:
      return {};
    case Protection::r:
      return {true, false, false};
    case Protection::rw:
      return {true, true, false};
    case Protection::rx:
      return {true, false, true};
    case Protection::rwx:
      return {true, true, true};
  }
  return {};
}

std::string_view text(Errno result) { return errno_name(result); }

std::string_view do_read(ActorProgram& program, const Step& step) {
  const BufferPlace* buffer = buffer_of(program, step.buffer);
  if (buffer == nullptr) return "EFAULT";
  std::optional<std::uint64_t> want = step.want;
  if (const auto it = step.want_by_kernel.find(program.world.kernel); it != step.want_by_kernel.end())
    want = it->second;
  const PageRange pages = pages_of_step(*buffer, step);
  std::string_view result = "ok";
  for (Vpn page = pages.first; page < pages.end; page = page + 1) {
    std::uint64_t value = 0;
    const std::string_view one = program.access(address_of(page) + step.offset, false, value);
    if (one != "ok") {
      if (result == "ok") result = one;
      continue;
    }
    if (want && value != *want)
      program.world.fail(step.mark,
                         fmt::format("{} reads {:#x} from page {} of {}", program.actor.name, *want,
                                     page - buffer->at.page(), step.buffer),
                         fmt::format("{:#x}", value));
  }
  return result;
}

std::string_view do_write(ActorProgram& program, const Step& step) {
  const BufferPlace* buffer = buffer_of(program, step.buffer);
  if (buffer == nullptr) return "EFAULT";
  std::uint64_t value = step.value ? *step.value : program.random.next();
  std::string_view result = "ok";
  const PageRange pages = pages_of_step(*buffer, step);
  for (Vpn page = pages.first; page < pages.end; page = page + 1) {
    std::uint64_t written = value;
    const std::string_view one = program.access(address_of(page) + step.offset, true, written);
    if (one != "ok" && result == "ok") result = one;
    if (step.count_up) ++value;
  }
  return result;
}

std::string_view do_access(ActorProgram& program, const Step& step) {
  const BufferPlace* buffer = buffer_of(program, step.buffer);
  if (buffer == nullptr) return "EFAULT";
  const PageRange pages = pages_of_step(*buffer, step);
  const VirtAddr base = address_of(pages.first);
  AccessPattern pattern(step.generator, pages.pages() * kPageSize, program.random);
  std::string_view result = "ok";
  const auto one = [&](std::uint64_t offset, bool write, std::uint64_t& value) {
    const std::string_view outcome = program.access(base + offset, write, value);
    if (outcome != "ok" && result == "ok") result = outcome;
    return outcome == "ok";
  };
  if (pattern.chases()) {
    for (std::size_t i = 0; i < pattern.links(); ++i) {
      std::uint64_t to = pattern.link_to(i);
      one(pattern.link_from(i), true, to);
    }
    std::uint64_t offset = pattern.next();
    for (std::uint64_t i = 0; i < step.generator.count; ++i) {
      std::uint64_t next = 0;
      if (!one(offset, false, next)) return result;  // nothing says where to go on
      offset = (next % (pages.pages() * kPageSize)) & ~7ULL;
    }
    return result;
  }
  std::uint64_t value = program.random.next();
  for (std::uint64_t i = 0; i < step.generator.count; ++i) {
    const std::uint64_t offset = pattern.next();
    const bool write = pattern.next_is_write();
    std::uint64_t moved = write ? ++value : 0;
    if (!one(offset, write, moved) && result == "ESRCH") return result;
  }
  return result;
}

std::string_view do_mmap(ActorProgram& program, const Step& step) {
  MmapRequest request;
  request.pages = step.pages;
  request.rights = rights_of(step.protection);
  set_backing(request, step.backing);
  if (!step.onto.empty()) {
    const BufferPlace* of = buffer_of(program, step.onto);
    if (of == nullptr || of->file == 0) return "EBADF";
    request.object = of->file;
    request.offset = of->file_page;
  }
  if (step.address) {
    request.at = *step.address;
    request.fixed = true;
  }
  VirtAddr at{0};
  const Errno result = mmap(*program.process->mm, request, at);
  if (result == Errno::ok) program.process->buffers[step.buffer] = place_of(*program.process->mm, at, step.pages);
  return text(result);
}

std::string_view do_mmap_fixed(ActorProgram& program, const Step& step) {
  const BufferPlace* buffer = buffer_of(program, step.buffer);
  if (buffer == nullptr) return "EINVAL";
  const PageRange pages = pages_of_step(*buffer, step);
  MmapRequest request;
  request.at = address_of(pages.first);
  request.fixed = true;
  request.pages = pages.pages();
  request.rights = rights_of(step.protection);
  VirtAddr at{0};
  return text(mmap(*program.process->mm, request, at));
}

template <class Operation>
std::string_view on_pages(ActorProgram& program, const Step& step, Operation operation) {
  const BufferPlace* buffer = buffer_of(program, step.buffer);
  if (buffer == nullptr) return "EINVAL";
  return text(operation(*program.process->mm, pages_of_step(*buffer, step)));
}
std::string_view do_munmap(ActorProgram& program, const Step& step) {
  return on_pages(program, step, [](Mm& mm, PageRange pages) { return munmap(mm, pages); });
}
std::string_view do_mprotect(ActorProgram& program, const Step& step) {
  return on_pages(program, step,
                  [&step](Mm& mm, PageRange pages) { return mprotect(mm, pages, rights_of(step.protection)); });
}
std::string_view do_dontneed(ActorProgram& program, const Step& step) {
  return on_pages(program, step, [](Mm& mm, PageRange pages) { return madvise_dontneed(mm, pages); });
}

std::string_view do_hugepage(ActorProgram& program, const Step& step) {
  return on_pages(program, step, [](Mm& mm, PageRange pages) { return madvise_huge(mm, pages, HugeAdvice::always); });
}
std::string_view do_nohugepage(ActorProgram& program, const Step& step) {
  return on_pages(program, step, [](Mm& mm, PageRange pages) { return madvise_huge(mm, pages, HugeAdvice::never); });
}
std::string_view do_collapse(ActorProgram& program, const Step& step) {
  return on_pages(program, step, [](Mm& mm, PageRange pages) { return madvise_collapse(mm, pages); });
}

std::string_view do_remove(ActorProgram& program, const Step& step) {
  return on_pages(program, step, [](Mm& mm, PageRange pages) { return madvise_remove(mm, pages); });
}

std::string_view do_msync(ActorProgram& program, const Step& step) {
  return on_pages(program, step, [](Mm& mm, PageRange pages) { return msync(mm, pages); });
}

std::string_view do_mremap(ActorProgram& program, const Step& step) {
  BufferPlace* buffer = buffer_of(program, step.buffer);
  if (buffer == nullptr) return "EINVAL";
  MremapRequest request;
  request.from = pages_of_step(*buffer, step);
  VirtAddr at{0};
  if (!step.onto.empty()) {
    const BufferPlace* target = buffer_of(program, step.onto);
    if (target == nullptr) return "EINVAL";
    request.new_pages = request.from.pages();
    request.fixed = true;
    request.to = address_of(target->at.page() + step.onto_page);
    return text(mremap(*program.process->mm, request, at));
  }
  if (!step.name.empty()) {  // moves
    request.new_pages = request.from.pages();
    request.fixed = true;
    request.to = program.process->mm->find_gap(request.new_pages, 512);
    const Errno result = mremap(*program.process->mm, request, at);
    if (result == Errno::ok) program.process->buffers[step.name] = place_of(*program.process->mm, at, request.new_pages);
    return text(result);
  }
  request.from = {buffer->at.page(), buffer->at.page() + buffer->pages};
  request.new_pages = step.pages;
  const Errno result = mremap(*program.process->mm, request, at);
  if (result == Errno::ok) *buffer = place_of(*program.process->mm, at, step.pages);
  return text(result);
}

std::string_view do_brk(ActorProgram& program, const Step& step) {
  Mm& mm = *program.process->mm;
  VirtAddr end{0};
  Errno result = brk(mm, VirtAddr{0}, end);  // where it is now
  if (result != Errno::ok) return text(result);
  const VirtAddr wanted = mm.brk_start + step.pages * kPageSize;
  result = brk(mm, wanted, end);
  if (result == Errno::ok) program.process->buffers["heap"] = {mm.brk_start, (end - mm.brk_start) / kPageSize};
  return text(result);
}

std::string_view do_fork(ActorProgram& program, const Step& step) {
  Process& child = program.world.processes[step.name];
  if (child.mm != nullptr) return "EEXIST";
  child.name = step.name;
  Mm& mm = program.world.platform.mms->create(step.name);
  const Errno result = fork(*program.process->mm, mm);
  if (result != Errno::ok) {
    mmput(mm);
    program.world.skip_actors_of(step.name);
    return text(result);
  }
  program.world.never_forked.erase(step.name);
  child.mm = &mm;
  child.buffers = program.process->buffers;
  program.world.start_actors_of(step.name);
  return "ok";
}

// The other threads are told to end. What they do in the kernel they finish: each is a user of the memory until then,
// and the last one, whoever it is, takes the memory down.
std::string_view do_exit(ActorProgram& program, const Step&) {
  if (program.process->exited) return "ESRCH";
  program.process->exited = true;
  program.has_exited = true;
  end_user_faults(*program.process->mm);
  mmput(*program.process->mm);
  return "ok";
}

std::string_view do_delay(ActorProgram& program, const Step& step) {
  program.world.platform.arbiter.step(step.duration);
  return "ok";
}
std::string_view do_sleep(ActorProgram& program, const Step& step) {
  Arbiter& arbiter = program.world.platform.arbiter;
  arbiter.sleep_until(arbiter.now() + step.duration);
  return "ok";
}
std::string_view do_barrier(ActorProgram& program, const Step& step) {
  program.world.meetings.meet(step.name, program.actor.name);
  return "ok";
}
const std::vector<std::pair<std::string_view, Verb>>& verb_functions() {
  static const std::vector<std::pair<std::string_view, Verb>> table = {
      {"read", do_read},     {"write", do_write},       {"access", do_access},     {"mmap", do_mmap},
      {"mmap_fixed", do_mmap_fixed},
      {"munmap", do_munmap}, {"mprotect", do_mprotect}, {"dontneed", do_dontneed}, {"mremap", do_mremap},
      {"remove", do_remove}, {"msync", do_msync},       {"brk", do_brk},           {"fork", do_fork},
      {"exit", do_exit},     {"delay", do_delay},       {"sleep", do_sleep},       {"barrier", do_barrier},
      {"hugepage", do_hugepage}, {"nohugepage", do_nohugepage}, {"collapse", do_collapse},
  };
  return table;
}

}  // namespace

BufferPlace* buffer_of(ActorProgram& program, const std::string& name) {
  const auto it = program.process->buffers.find(name);
  return it == program.process->buffers.end() ? nullptr : &it->second;
}

// The pages of a step that named none are those of the whole buffer as it is now.
PageRange pages_of_step(const BufferPlace& buffer, const Step& step) {
  const Vpn first = buffer.at.page();
  if (step.end_page == 0) return {first, first + buffer.pages};
  return {first + step.first_page, first + step.end_page};
}

std::vector<std::string_view> program_verbs() {
  std::vector<std::string_view> names{"loop"};
  for (const auto& [name, function] : verb_functions()) names.push_back(name);
  for (const auto& [name, function] : memory_verbs()) names.push_back(name);
  for (const auto& [name, function] : file_verbs()) names.push_back(name);
  for (const auto& [name, function] : driver_verbs()) names.push_back(name);
  return names;
}

ActorProgram::ActorProgram(World& the_world, const ActorSpec& the_actor, Process* the_process, Core* the_core,
                           Device* the_device)
    : world(the_world),
      actor(the_actor),
      process(the_process),
      core(the_core),
      device(the_device),
      random(the_world.seed, "actor:" + the_actor.name) {}

std::string_view ActorProgram::access(VirtAddr address, bool write, std::uint64_t& value) {
  const std::string_view result = access_memory(address, write, value);
  if (world.listener != nullptr) world.listener->accessed(*this, address, write, value, result);
  return result;
}

std::string_view ActorProgram::access_memory(VirtAddr address, bool write, std::uint64_t& value) {
  if (device != nullptr)
    return errno_name(device->access(static_cast<unsigned>(actor.context), *process->mm, address, 8, write, value));
  if (told_to_end()) return "ESRCH";
  const AccessResult result = write ? core->write(address, 8, value) : core->read(address, 8, value);
  if (result == AccessResult::ok) return "ok";
  // Allowed by its VMA and still not resolved: no frame was free, where Linux would call its OOM killer.
  const Vma vma = process->mm->vma_at(address.page());
  const bool allowed = !vma.pages.empty() && (write ? vma.attributes.rights.write : vma.attributes.rights.read);
  const SharedObject* file = vma.attributes.object;
  if (allowed && file != nullptr && vma.offset_of(address.page()) >= file->size()) return "SIGBUS";
  return allowed ? "ENOMEM" : "SIGSEGV";
}

void ActorProgram::run() {
  if (!actor.lackey.empty()) {
    const bool inside = thread() && enter_kernel(*process->mm);
    play_lackey(*this);
    if (inside) leave_kernel(*process->mm);
  } else {
    // Whoever waits for a step of a thread that was told to end waits no longer.
    if (!steps(actor.program)) pass(actor.program);
  }
  world.meetings.actor_finished(actor.name);
}

bool ActorProgram::steps(const std::vector<Step>& list) {
  return std::all_of(list.begin(), list.end(), [this](const Step& one) { return step(one); });
}

void ActorProgram::pass(const std::vector<Step>& list) {
  for (const Step& one : list) {
    if (!one.id.empty()) world.meetings.step_done(actor.name + "." + one.id);
    pass(one.body);
  }
}

bool ActorProgram::step(const Step& step) {
  for (const std::string& other : step.after) world.meetings.wait_for_step(other);
  Arbiter& arbiter = world.platform.arbiter;
  if (step.at && arbiter.now() < *step.at) {
    if (core != nullptr) {
      arbiter.sleep_until(*step.at);
    } else {
      arbiter.step(*step.at - arbiter.now());
    }
  }
  for (std::uint64_t i = 0; i < step.times; ++i)
    if (step.verb == "loop" ? !steps(step.body) : !once(step)) return false;
  if (!step.id.empty()) world.meetings.step_done(actor.name + "." + step.id);
  return true;
}

// Rule: a thread is in the kernel, a user of its process's memory, from the beginning of an operation to its end. What
// only passes time is none, nor is exit, which gives the process's own user up. Who has called exit has no memory any
// more, but still does what the end of a thread does: it closes files, and so gives up what drivers hold for it.
bool ActorProgram::once(const Step& step) {
  if (told_to_end()) return false;
  const bool waits = step.verb == "sleep" || step.verb == "delay" || step.verb == "barrier";
  const bool inside = thread() && !has_exited && !waits && step.verb != "exit" && enter_kernel(*process->mm);
  std::string_view result;
  world.doing(step.mark, [&] {
    for (const auto& [name, function] : driver_verbs())
      if (name == step.verb) result = perform(step, function);
    for (const auto* table : {&verb_functions(), &memory_verbs(), &file_verbs()})
      for (const auto& [name, function] : *table)
        if (name == step.verb) result = has_exited && !waits ? "ESRCH" : perform(step, function);
  });
  const bool ended = told_to_end();
  if (inside) leave_kernel(*process->mm);
  if (!ended) judge(step, result);
  return !ended;
}

std::string_view ActorProgram::perform(const Step& step, Verb verb) {
  if (world.listener != nullptr) world.listener->step_begins(*this, step);
  const std::string_view result = verb(*this, step);
  if (world.listener != nullptr) world.listener->step_ended(*this, step, result);
  return result;
}

void ActorProgram::judge(const Step& step, std::string_view result) {
  std::string wanted = step.result.value_or("ok");
  if (const auto it = step.result_by_kernel.find(world.kernel); it != step.result_by_kernel.end()) wanted = it->second;
  if (result == wanted ||
      (wanted == "ok-or-fault" && (result == "ok" || result == "EFAULT" || result == "SIGSEGV" || result == "SIGBUS" || result == "ESRCH")))
    return;
  const std::string what = step.buffer.empty() ? step.verb : step.verb + " of " + step.buffer;
  world.fail(step.mark, fmt::format("{}: {} gives {}", actor.name, what, wanted), std::string(result));
}

// --- scripts of a probe ------------------------------------------------------------------------------

void ScriptLocks::lock(const std::string& name, const std::string& kind) {
  if (kind == "spinlock") {
    auto& lock = spinlocks_[name];
    if (lock == nullptr) lock = std::make_unique<SpinLock>(arbiter_, "driver:" + name, name);
    lock->lock();
    return;
  }
  auto& lock = mutexes_[name];
  if (lock == nullptr) lock = std::make_unique<Mutex>(arbiter_, "driver:" + name, name);
  lock->lock();
}

void ScriptLocks::unlock(const std::string& name) {
  if (const auto it = mutexes_.find(name); it != mutexes_.end() && it->second->held_by_current()) it->second->unlock();
  if (const auto it = spinlocks_.find(name); it != spinlocks_.end() && it->second->held_by_current())
    it->second->unlock();
}

void ScriptLocks::reset() {
  mutexes_.clear();
  spinlocks_.clear();
}

namespace {

struct ScriptRun {
  World& world;
  const std::string& device;
  const CallbackScript& script;
  ProbeDevice::CallbackContext& context;
  ScriptLocks& locks;
};
// Of the process whose callback this is; empty if it has no such buffer.
PageRange pages_in_script(const ScriptRun& run, const Step& step) {
  for (const auto& [name, process] : run.world.processes) {
    if (process.mm != &run.context.mm) continue;
    const auto buffer = process.buffers.find(step.buffer);
    if (buffer != process.buffers.end()) return pages_of_step(buffer->second, step);
  }
  return {};
}

using ScriptVerb = void (*)(ScriptRun&, const Step&);

const std::vector<std::pair<std::string_view, ScriptVerb>>& script_functions() {
  static const std::vector<std::pair<std::string_view, ScriptVerb>> table = {
      {"zap", [](ScriptRun& run, const Step&) { run.context.zap(); }},
      {"refuse",
       [](ScriptRun& run, const Step&) {
         if (!run.world.platform.notifier->behaviour().start_may_fail)
           throw AbsentInKernel("a start cannot be refused in this kernel");
         run.context.result = Errno::eagain;
       }},
      {"young", [](ScriptRun& run, const Step&) { run.context.young = true; }},
      {"ignore", [](ScriptRun&, const Step&) {}},
      {"delay", [](ScriptRun& run, const Step& step) { run.world.platform.arbiter.step(step.duration); }},
      {"sleep",
       [](ScriptRun& run, const Step& step) {
         Arbiter& arbiter = run.world.platform.arbiter;
         arbiter.sleep_until(arbiter.now() + step.duration);
       }},
      {"barrier", [](ScriptRun& run,
                     const Step& step) { run.world.meetings.meet(step.name, run.device + "/" + run.script.callback); }},
      {"lock", [](ScriptRun& run, const Step& step) { run.locks.lock(step.name, step.lock_kind); }},
      {"unlock", [](ScriptRun& run, const Step& step) { run.locks.unlock(step.name); }},
      {"unregister", [](ScriptRun& run, const Step&) { run.context.unregister(); }},
      {"unregister_no_release", [](ScriptRun& run, const Step&) { run.context.unregister_no_release(); }},
      {"free", [](ScriptRun& run, const Step&) { run.context.free_subscription(); }},
      {"free_later", [](ScriptRun& run, const Step&) { run.context.free_later(); }},
      {"open_range", [](ScriptRun& run, const Step&) { run.context.open_range(+1); }},
      {"close_range", [](ScriptRun& run, const Step&) { run.context.open_range(-1); }},
      {"set_sequence", [](ScriptRun& run, const Step&) { run.context.set_sequence(); }},
      {"mmput",
       [](ScriptRun& run, const Step& step) {
         if (Mm* mm = run.world.processes.at(step.name).mm) mmput(*mm);
       }},
      {"mmdrop",
       [](ScriptRun& run, const Step& step) {
         if (Mm* mm = run.world.processes.at(step.name).mm) mm->drop_count();
       }},
      {"mmap_lock",
       [](ScriptRun& run, const Step& step) {
         if (Mm* mm = run.world.processes.at(step.name).mm) hold_mmap_lock(*mm, step.count_up);
       }},
      {"mmap_unlock",
       [](ScriptRun& run, const Step& step) {
         if (Mm* mm = run.world.processes.at(step.name).mm) drop_mmap_lock(*mm);
       }},
      {"munmap",
       [](ScriptRun& run, const Step& step) {
         if (const PageRange pages = pages_in_script(run, step); !pages.empty()) munmap(run.context.mm, pages);
       }},
      {"zap_pages",
       [](ScriptRun& run, const Step& step) {
         if (const PageRange pages = pages_in_script(run, step); !pages.empty()) zap_pages(run.context.mm, pages);
       }},
  };
  return table;
}

}  // namespace

std::vector<std::string_view> script_verbs() {
  std::vector<std::string_view> names;
  for (const auto& [name, function] : script_functions()) names.push_back(name);
  return names;
}

void run_script(World& world, const std::string& device, const CallbackScript& script,
                ProbeDevice::CallbackContext& context, ScriptLocks& locks) {
  ScriptRun run{world, device, script, context, locks};
  for (const Step& step : script.steps)
    for (std::uint64_t i = 0; i < step.times; ++i)
      for (const auto& [name, function] : script_functions())
        if (name == step.verb) world.doing(step.mark, [&] { function(run, step); });
}

}  // namespace secmmu
