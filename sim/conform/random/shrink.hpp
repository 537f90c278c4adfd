// Makes a failing program small: leaves operations out, and makes what is left touch fewer pages, as long as it fails
// in the same way.
#pragma once

#include <cstddef>
#include <functional>

#include "sim/conform/recording.hpp"

namespace secmmu::conform {

// `fails` is asked for sound programs only (those that could be read), at most `tries` times.
Recording shrink(Recording program, const std::function<bool(const Recording&)>& fails, std::size_t tries = 3'000);

// Whether it can be read as a recording: every buffer is there, every device attached, every child forked.
bool is_readable(const Recording& program);

}  // namespace secmmu::conform
