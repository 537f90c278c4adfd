#include "sim/run/file_verbs.hpp"

namespace secmmu {

void set_backing(MmapRequest& request, Backing backing) {
  request.shared = backing == Backing::shared || backing == Backing::file;
  request.copies = backing == Backing::memfd_private || backing == Backing::file_private;
  request.file = backing == Backing::file || backing == Backing::file_private;
}

BufferPlace place_of(Mm& mm, VirtAddr at, std::uint64_t pages) {
  BufferPlace place{at, pages};
  const Vma vma = mm.vma_at(at.page());
  if (vma.attributes.object == nullptr) return place;
  place.file = vma.attributes.object->id();
  place.file_page = vma.offset_of(at.page());
  return place;
}

namespace {

// The pages of the file that the step means, whatever is mapped at the buffer's place by now.
struct FilePages {
  std::uint64_t file = 0;
  std::uint64_t first = 0;
  std::uint64_t pages = 0;
};
FilePages file_pages(ActorProgram& program, const Step& step) {
  const BufferPlace* buffer = buffer_of(program, step.buffer);
  if (buffer == nullptr) return {};
  const PageRange pages = pages_of_step(*buffer, step);
  return {buffer->file, buffer->file_page + (pages.first - buffer->at.page()), pages.pages()};
}

std::string_view do_truncate(ActorProgram& program, const Step& step) {
  const BufferPlace* buffer = buffer_of(program, step.buffer);
  return errno_name(truncate_file(*program.process->mm, buffer == nullptr ? 0 : buffer->file, step.pages));
}

std::string_view do_punch(ActorProgram& program, const Step& step) {
  const FilePages what = file_pages(program, step);
  return errno_name(punch_hole(*program.process->mm, what.file, what.first, what.pages));
}

// A call for each page.
std::string_view do_pwrite(ActorProgram& program, const Step& step) {
  const FilePages what = file_pages(program, step);
  if (what.file == 0) return "EBADF";
  std::uint64_t value = step.value ? *step.value : program.random.next();
  for (std::uint64_t page = what.first; page < what.first + what.pages; ++page) {
    const Errno result = write_file(*program.process->mm, what.file, page * kPageSize + step.offset, value);
    if (result != Errno::ok) return errno_name(result);
    if (step.count_up) ++value;
  }
  return "ok";
}

}  // namespace

const std::vector<std::pair<std::string_view, ActorProgram::Verb>>& file_verbs() {
  static const std::vector<std::pair<std::string_view, ActorProgram::Verb>> table = {
      {"truncate", do_truncate},
      {"punch", do_punch},
      {"pwrite", do_pwrite},
  };
  return table;
}

}  // namespace secmmu
