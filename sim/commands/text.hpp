// Lists and sentences for a terminal.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "sim/scenario/catalogue.hpp"

namespace secmmu {

// `text` broken between words so that no line is longer than a terminal is wide; each line begins in column
// `indent`, the first one too. Ends with a newline.
std::string paragraph(std::string_view text, std::size_t indent);

// A name and its sentence per row, the sentences in one column.
void print_rows(const std::vector<NamedSentence>& rows, std::string_view prefix = "");

}  // namespace secmmu
