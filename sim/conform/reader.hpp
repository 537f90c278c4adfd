// Reads recordings: strictly, for a line that is read wrongly would be compared wrongly.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sim/conform/recording.hpp"
#include "sim/scenario/diagnostic.hpp"

namespace secmmu::conform {

struct ReadRecording {
  std::optional<Recording> recording;  // if there is no mistake
  std::vector<Diagnostic> errors;
};

ReadRecording read_recording(std::string_view text, const std::string& path);
ReadRecording read_recording_file(const std::string& path);

}  // namespace secmmu::conform
