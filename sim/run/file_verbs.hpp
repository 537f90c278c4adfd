// The verbs that work on the file behind a buffer, and what a buffer says of its file.
#pragma once

#include <string_view>
#include <utility>
#include <vector>

#include "sim/run/program.hpp"

namespace secmmu {

// What a mapping with that backing asks the kernel for.
void set_backing(MmapRequest& request, Backing backing);
// Where something was just mapped, and of which file.
BufferPlace place_of(Mm& mm, VirtAddr at, std::uint64_t pages);

const std::vector<std::pair<std::string_view, ActorProgram::Verb>>& file_verbs();

}  // namespace secmmu
