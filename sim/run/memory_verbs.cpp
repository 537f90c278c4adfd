#include "sim/run/memory_verbs.hpp"

#include <algorithm>
#include <vector>

#include <fmt/format.h>

#include "models/mm/user_fault.hpp"

namespace secmmu {
namespace {

// One call over the pages that the step names.
template <auto Call>
std::string_view on_pages(ActorProgram& program, const Step& step) {
  const BufferPlace* buffer = buffer_of(program, step.buffer);
  if (buffer == nullptr) return "EINVAL";
  return errno_name(Call(*program.process->mm, pages_of_step(*buffer, step)));
}

template <auto Call>
std::string_view on_process(ActorProgram& program, const Step&) {
  return errno_name(Call(*program.process->mm));
}

template <bool Write>
Errno populate(Mm& mm, PageRange pages) {
  return madvise_populate(mm, pages, Write);
}

Errno mark(Mm& mm, PageRange pages) {
  mark_idle(mm, pages);
  return Errno::ok;
}

template <ForkAdvice Advice>
Errno advise_fork(Mm& mm, PageRange pages) {
  return madvise_fork(mm, pages, Advice);
}

template <bool Protect>
Errno protect(Mm& mm, PageRange pages) {
  return user_fault_protect(mm, pages, Protect);
}

template <bool Mergeable>
Errno merge(Mm& mm, PageRange pages) {
  return madvise_merge(mm, pages, Mergeable);
}

std::string_view do_ksm(ActorProgram& program, const Step&) {
  ksmd_run(*program.world.platform.mms);
  return "ok";
}

// What the step wants to find, in this kernel.
std::optional<std::uint64_t> wanted(const ActorProgram& program, const Step& step) {
  const auto it = step.want_by_kernel.find(program.world.kernel);
  return it == step.want_by_kernel.end() ? step.want : it->second;
}

std::string_view do_move_pages(ActorProgram& program, const Step& step) {
  const BufferPlace* buffer = buffer_of(program, step.buffer);
  if (buffer == nullptr) return "EFAULT";
  std::vector<Errno> status;
  const unsigned node = static_cast<unsigned>(step.value.value_or(1));
  const Errno result = move_pages(*program.process->mm, pages_of_step(*buffer, step), node, step.count_up, &status);
  const std::optional<std::uint64_t> want = wanted(program, step);
  const auto there = static_cast<std::uint64_t>(std::ranges::count(status, Errno::ok));
  if (want && there != *want)
    program.world.fail(step.mark,
                       fmt::format("{} finds {} pages of {} on node {}", program.actor.name, *want, step.buffer, node),
                       fmt::format("{}", there));
  return errno_name(result);
}

std::string_view do_count_idle(ActorProgram& program, const Step& step) {
  const BufferPlace* buffer = buffer_of(program, step.buffer);
  if (buffer == nullptr) return "EINVAL";
  std::uint64_t idle = 0;
  const PageRange pages = pages_of_step(*buffer, step);
  for (Vpn page = pages.first; page < pages.end; page = page + 1) {
    const Idleness state = idleness(*program.process->mm, page);
    if (state == Idleness::idle) ++idle;
    if (program.world.listener != nullptr)
      program.world.listener->answered(program, state == Idleness::absent ? "-" : state == Idleness::idle ? "1" : "0");
  }
  const std::optional<std::uint64_t> want = wanted(program, step);
  if (want && idle != *want)
    program.world.fail(step.mark, fmt::format("{} finds {} idle pages in {}", program.actor.name, *want, step.buffer),
                       fmt::format("{}", idle));
  return "ok";
}

}  // namespace

const std::vector<std::pair<std::string_view, ProgramVerb>>& memory_verbs() {
  static const std::vector<std::pair<std::string_view, ProgramVerb>> table = {
      {"lazyfree", on_pages<madvise_free>},
      {"cold", on_pages<madvise_cold>},
      {"pageout", on_pages<madvise_pageout>},
      {"populate_read", on_pages<populate<false>>},
      {"populate_write", on_pages<populate<true>>},
      {"clear_referenced", on_process<clear_referenced>},
      {"clear_soft_dirty", on_process<clear_soft_dirty>},
      {"mark_idle", on_pages<mark>},
      {"count_idle", do_count_idle},
      {"move_pages", do_move_pages},
      {"soft_offline", on_pages<madvise_soft_offline>},
      {"mlock", on_pages<mlock>},
      {"munlock", on_pages<munlock>},
      {"dontfork", on_pages<advise_fork<ForkAdvice::dont_fork>>},
      {"dofork", on_pages<advise_fork<ForkAdvice::do_fork>>},
      {"wipeonfork", on_pages<advise_fork<ForkAdvice::wipe>>},
      {"keeponfork", on_pages<advise_fork<ForkAdvice::keep>>},
      {"uffd_register", on_pages<user_fault_register>},
      {"uffd_protect", on_pages<protect<true>>},
      {"uffd_unprotect", on_pages<protect<false>>},
      {"uffd_answer", on_process<user_fault_answer>},
      {"mergeable", on_pages<merge<true>>},
      {"unmergeable", on_pages<merge<false>>},
      {"ksm", do_ksm},
  };
  return table;
}

}  // namespace secmmu
