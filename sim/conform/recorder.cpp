#include "sim/conform/recorder.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "models/devices/events.hpp"
#include "sim/conform/pte_state.hpp"

namespace secmmu::conform {
namespace {

// Linux's numbers, as they are on x86-64.
int errno_number(std::string_view name) {
  static constexpr std::pair<std::string_view, int> kNumbers[] = {
      {"EPERM", 1},   {"ENOENT", 2},  {"ESRCH", 3},   {"EINTR", 4},   {"EIO", 5},      {"EBADF", 9},
      {"EAGAIN", 11}, {"ENOMEM", 12}, {"EACCES", 13}, {"EFAULT", 14}, {"EBUSY", 16},
      {"EEXIST", 17}, {"ENODEV", 19}, {"EINVAL", 22}, {"ENOSPC", 28}, {"ENOSYS", 38}, {"EOVERFLOW", 75}};
  for (const auto& [known, number] : kNumbers)
    if (known == name) return number;
  return 0;
}

unsigned byte_of(std::uint64_t value) { return static_cast<unsigned>(value & 0xff); }

}  // namespace

Recorder::Recorder(Platform& platform, std::string watched, std::string_view device, BlockOf block_of)
    : platform_(platform), device_(device), block_of_(std::move(block_of)) {
  const std::size_t dot = watched.find('.');
  process_ = watched.substr(0, dot);
  buffer_ = dot == std::string::npos ? "" : watched.substr(dot + 1);
}

void Recorder::listen(Bus& bus) {
  bus.listen<InvalidateStart>([this](const InvalidateStart& start, const Stamp&) {
    ranges_[start.id] = {start.event, start.blockable};
  });
  bus.listen<InvalidateEnded>([this](const InvalidateEnded& end, const Stamp&) { ranges_.erase(end.id); });
  bus.listen<ChangePte>([this](const ChangePte& change, const Stamp&) { changed_to_writable_ = change.writable; });
  bus.listen<CallbackBegin>([this](const CallbackBegin& call, const Stamp&) { heard(call); });
  bus.listen<CallbackEnd>([this](const CallbackEnd& call, const Stamp&) { heard(call); });
  bus.listen<DeviceAccessEnd>([this](const DeviceAccessEnd& access, const Stamp&) { heard(access); });
  bus.listen<UnregisterBegin>([this](const UnregisterBegin& begin, const Stamp&) {
    if (begin.subscriber == device_) write("# unregister");
  });
  bus.listen<UnregisterEnd>([this](const UnregisterEnd& end, const Stamp&) {
    if (end.subscriber == device_) write("# unregistered");
  });
}

void Recorder::run_begins(const World& world) { world_ = &world; }

// The place is that of the moment at which somebody looks first: a buffer that is moved later is watched where it was.
bool Recorder::look_for_buffer() {
  if (watched_ || world_ == nullptr) return watched_.has_value();
  const auto process = world_->processes.find(process_);
  if (process == world_->processes.end()) return false;
  const auto buffer = process->second.buffers.find(buffer_);
  if (buffer == process->second.buffers.end()) return false;
  const Vpn first = buffer->second.at.page();
  watched_ = PageRange{first, first + buffer->second.pages};
  return true;
}

// What a task does that is in no step (a kernel thread, a device's driver) belongs to the operation that began last.
Recorder::Open& Recorder::open() {
  const auto own = at_work_.find(platform_.arbiter.current().id());
  if (own != at_work_.end()) return operations_[own->second];
  if (operations_.empty()) operations_.emplace_back().block = SIZE_MAX;  // before the first
  return operations_.back();
}

std::optional<std::string> Recorder::where(PageRange pages) {
  if (!look_for_buffer() || !watched_->overlaps(pages)) return std::nullopt;
  if (pages == kWholeSpace) return "all";
  const auto relative = [&](Vpn page) {
    return static_cast<std::int64_t>(page.value) - static_cast<std::int64_t>(watched_->first.value);
  };
  return fmt::format("{} {}", relative(pages.first), relative(pages.end));
}

std::string Recorder::pte_of(std::uint32_t mm_id, PageRange pages) {
  Mm* mm = platform_.mms->by_asid(mm_id);
  const Vpn page = std::max(pages.first, watched_->first);
  return fmt::format(" pte={}", mm == nullptr ? "none" : pte_state(*mm, page));
}

std::string Recorder::atomic() const {
  const Task::Context& context = platform_.arbiter.current().context();
  return context.preempt_off + context.interrupts_off + context.in_interrupt == 0 ? "" : " ATOMIC";
}

void Recorder::heard(const CallbackBegin& call) {
  const bool interval = call.callback == Callback::interval_invalidate;
  if (call.subscriber != device_ && !interval) return;
  const auto pages = where(call.pages);
  if (!pages) return;
  const auto announced = ranges_.find(call.range_id);
  // The end of an address space is told to intervals without an announcement.
  const Announced range = announced == ranges_.end() ? Announced{InvalidateEvent::release, true} : announced->second;
  const std::string reason = fmt::format("{} {}", invalidate_event_name(range.event), *pages);
  const std::string_view blockable = range.blockable ? "blockable" : "nonblock";
  switch (call.callback) {
    case Callback::interval_invalidate:
      return write(fmt::format("interval {} {}", reason, blockable));
    case Callback::start:
      return write(fmt::format("start {} {}{}{}", reason, blockable, atomic(), pte_of(call.mm_id, call.pages)));
    case Callback::end:
      return write(fmt::format("end {}{}{}", reason, atomic(), pte_of(call.mm_id, call.pages)));
    case Callback::invalidate_range:
      return write(fmt::format("invalidate_range {}{}", *pages, atomic()));
    case Callback::change_pte:
      return write(fmt::format("change_pte {} {}{}", pages->substr(0, pages->find(' ')),
                               changed_to_writable_ ? "rw" : "ro", atomic()));
    case Callback::release:
      return write("release");
    default:
      return;  // told when it has been answered
  }
}

// Linux asks all subscribers and joins what they say. The one that writes was registered first, so it is asked last;
// but test_young stops at the first yes, and may not come so far.
void Recorder::heard(const CallbackEnd& call) {
  const bool is_question = call.callback == Callback::clear_flush_young || call.callback == Callback::clear_young ||
                           call.callback == Callback::test_young;
  if (!is_question) return;
  const bool young = young_.value_or(false) || call.young;
  const bool was_last = call.subscriber == device_ || (call.callback == Callback::test_young && call.young);
  young_ = was_last ? std::nullopt : std::optional(young);
  const auto pages = where(call.pages);
  if (!was_last || !pages) return;
  const std::string asked = call.callback == Callback::test_young ? pages->substr(0, pages->find(' ')) : *pages;
  write(fmt::format("{} {}{} young={}", callback_name(call.callback), asked, atomic(), young ? 1 : 0));
}

// As long as it is where it was.
bool Recorder::names_watched(const ActorProgram& program, const Step& step) const {
  if (!watched_ || program.process == nullptr) return false;
  if (program.process->name != process_ || step.buffer != buffer_) return false;
  const auto buffer = program.process->buffers.find(buffer_);
  return buffer != program.process->buffers.end() && buffer->second.at.page() == watched_->first;
}

void Recorder::step_begins(const ActorProgram& program, const Step& step) {
  look_for_buffer();
  const std::size_t block = block_of_(program, step);
  const unsigned task = platform_.arbiter.current().id();
  const auto before = at_work_.find(task);
  if (before != at_work_.end() && operations_[before->second].block == block) {  // one more step of it
    if (step.verb == "exit") write("later");
    return;
  }
  at_work_[task] = operations_.size();
  Open& begun = operations_.emplace_back();
  begun.block = block;
  begun.is_access = step.verb == "read" || step.verb == "write" || step.verb == "access";
  begun.in_watched = names_watched(program, step);
}

void Recorder::step_ended(const ActorProgram&, const Step&, std::string_view result) {
  Open& operation = open();
  const bool did_something = !operation.values.empty() || !operation.events.empty();
  // How an access ended is said page by page.
  if (operation.is_access && did_something) return;
  if (operation.result == "ok") operation.result = result;
}

void Recorder::accessed(const ActorProgram& program, VirtAddr, bool, std::uint64_t value, std::string_view result) {
  if (program.device == nullptr) open().values += result == "ok" ? fmt::format(" {}", byte_of(value)) : " SIGBUS/SEGV";
}

void Recorder::heard(const DeviceAccessEnd& access) {
  if (!look_for_buffer()) return;
  const Vpn page = access.address.page();
  const bool past_its_end = open().in_watched && page >= watched_->end;
  if (!watched_->contains(page) && !past_its_end) return;
  const std::string line = fmt::format("d {} {}", page - watched_->first, access.write ? 'w' : 'r');
  if (access.result != Errno::ok)
    write(fmt::format("{} error -{}", line, errno_number(errno_name(access.result))));
  else
    write(fmt::format("{} {} {}", line, access.faulted ? "fault" : "hit", byte_of(access.value)));
}

void Recorder::answered(const ActorProgram&, std::string_view word) { open().values += fmt::format(" {}", word); }

std::vector<Recorder::Part> Recorder::finish() {
  std::vector<Part> parts;
  for (Open& operation : operations_) {
    Part& part = parts.emplace_back();
    part.block = operation.block;
    part.lines.push_back({"= " + operation.result});
    if (!operation.values.empty()) part.lines.push_back({"v" + operation.values});
    for (std::string& event : operation.events) part.lines.push_back({std::move(event)});
  }
  return parts;
}

}  // namespace secmmu::conform
