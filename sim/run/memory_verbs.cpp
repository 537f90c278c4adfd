#include "sim/run/memory_verbs.hpp"

#include <fmt/format.h>

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
  std::optional<std::uint64_t> want = step.want;
  if (const auto it = step.want_by_kernel.find(program.world.kernel); it != step.want_by_kernel.end())
    want = it->second;
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
  };
  return table;
}

}  // namespace secmmu
