// The lines of events, as a recording writes them: one form for who reads and who writes.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "sim/conform/words.hpp"

namespace secmmu::conform {

// What a page-table entry is, by its name in a recording.
const std::vector<std::string>& pte_states();

// Checks an event line (neither "=" nor "v"); every mistake is told through `words`.
void check_event(Words& words);
// The same of an answer "= ...", and of values "v ...".
void check_result(Words& words);
void check_values(Words& words);

}  // namespace secmmu::conform
