#include "sim/run/driver_verbs.hpp"

#include "models/devices/probe/probe.hpp"

namespace secmmu {
namespace {

Device& device_of(ActorProgram& program, const Step& step) { return *program.world.platform.device(step.name); }

// nullptr: another kind of device, which has no such step.
ProbeDevice* probe_of(ActorProgram& program, const Step& step) {
  return dynamic_cast<ProbeDevice*>(&device_of(program, step));
}

// The address space that the step names; nullptr: it was never forked.
Mm* named_mm(ActorProgram& program, const Step& step) {
  const auto process = program.world.processes.find(step.name);
  return process == program.world.processes.end() ? nullptr : process->second.mm;
}

std::string_view do_register(ActorProgram& program, const Step& step) {
  Mm& mm = *program.process->mm;
  if (step.buffer.empty()) return errno_name(device_of(program, step).attach(mm));
  const auto buffer = program.process->buffers.find(step.buffer);
  if (buffer == program.process->buffers.end()) return "EINVAL";
  const Vpn start = buffer->second.at.page();
  const std::uint64_t end = step.end_page == 0 ? buffer->second.pages : step.end_page;
  return errno_name(device_of(program, step).attach_pages(mm, {start + step.first_page, start + end}));
}

std::string_view do_unregister(ActorProgram& program, const Step& step) {
  device_of(program, step).detach(*program.process->mm);
  return "ok";
}

// Steps that only a probe knows.
template <auto Member>
std::string_view by_probe(ActorProgram& program, const Step& step) {
  ProbeDevice* probe = probe_of(program, step);
  if (probe == nullptr) return "EINVAL";
  (probe->*Member)(*program.process->mm);
  return "ok";
}

std::string_view do_driver_exit(ActorProgram& program, const Step& step) {
  ProbeDevice* probe = probe_of(program, step);
  if (probe == nullptr) return "EINVAL";
  probe->driver_exit();
  return "ok";
}

std::string_view do_synchronize(ActorProgram& program, const Step&) {
  program.world.platform.mms->notifier.synchronize();
  return "ok";
}

std::string_view do_unload(ActorProgram& program, const Step& step) {
  Device& device = device_of(program, step);
  for (unsigned context = 0; context < device.contexts(); ++context) device.unload(context, *program.process->mm);
  return "ok";
}

std::string_view do_oom_reap(ActorProgram& program, const Step& step) {
  Mm* mm = named_mm(program, step);
  return mm == nullptr ? "ESRCH" : errno_name(oom_reap(*mm));
}

std::string_view do_khugepaged(ActorProgram& program, const Step& step) {
  Mm* mm = named_mm(program, step);
  if (mm == nullptr) return "ESRCH";
  khugepaged_scan(*mm);
  return "ok";
}

std::string_view do_mmget(ActorProgram& program, const Step& step) {
  Mm* mm = named_mm(program, step);
  return mm != nullptr && mm->users().get_unless_zero() ? "ok" : "ESRCH";
}

std::string_view do_mmput(ActorProgram& program, const Step& step) {
  Mm* mm = named_mm(program, step);
  if (mm == nullptr) return "ESRCH";
  mmput(*mm);
  return "ok";
}

std::string_view do_mmgrab(ActorProgram& program, const Step& step) {
  Mm* mm = named_mm(program, step);
  if (mm == nullptr) return "ESRCH";
  mm->count().get();
  return "ok";
}

std::string_view do_mmdrop(ActorProgram& program, const Step& step) {
  Mm* mm = named_mm(program, step);
  if (mm == nullptr) return "ESRCH";
  mm->drop_count();
  return "ok";
}

std::string_view do_mmap_lock(ActorProgram& program, const Step& step) {
  Mm* mm = named_mm(program, step);
  if (mm == nullptr) return "ESRCH";
  hold_mmap_lock(*mm, step.count_up);
  return "ok";
}

std::string_view do_mmap_unlock(ActorProgram& program, const Step& step) {
  Mm* mm = named_mm(program, step);
  if (mm == nullptr) return "ESRCH";
  drop_mmap_lock(*mm);
  return "ok";
}

}  // namespace

void hold_mmap_lock(Mm& mm, bool write) {
  if (write)
    mm.mmap_lock().lock_write();
  else
    mm.mmap_lock().lock_read();
}

void drop_mmap_lock(Mm& mm) {
  if (mm.mmap_lock().held_for_write())
    mm.mmap_lock().unlock_write();
  else
    mm.mmap_lock().unlock_read();
}

const std::vector<std::pair<std::string_view, ProgramVerb>>& driver_verbs() {
  static const std::vector<std::pair<std::string_view, ProgramVerb>> table = {
      {"register", do_register},
      {"unregister", do_unregister},
      {"unregister_no_release", by_probe<&ProbeDevice::detach_no_release>},
      {"free", by_probe<&ProbeDevice::free_subscription>},
      {"free_later", by_probe<&ProbeDevice::free_later>},
      {"drain", by_probe<&ProbeDevice::drain>},
      {"add_object", by_probe<&ProbeDevice::add_object>},
      {"driver_exit", do_driver_exit},
      {"synchronize", do_synchronize},
      {"unload", do_unload},
      {"oom_reap", do_oom_reap},
      {"khugepaged", do_khugepaged},
      {"mmget", do_mmget},
      {"mmput", do_mmput},
      {"mmgrab", do_mmgrab},
      {"mmdrop", do_mmdrop},
      {"mmap_lock", do_mmap_lock},
      {"mmap_unlock", do_mmap_unlock},
  };
  return table;
}

}  // namespace secmmu
