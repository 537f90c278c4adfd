#include "sim/output/gtkw_writer.hpp"

#include <algorithm>
#include <array>
#include <set>
#include <stdexcept>

namespace secmmu {
namespace {

// How a line is shown: a word of these bits, in hexadecimal, that holds until the next such word.
enum Flag : std::uint32_t {
  hexadecimal_digits = 0x2,
  decimal_digits = 0x4,
  binary_digits = 0x8,
  right_aligned = 0x20,
  text_only = 0x200,
  translated = 0x2000,
  curve = 0x8000,
  taller = 0x20000,
  folded_group = 0x400000,
  group_begin = 0x800000,
  group_end = 0x1000000,
};

constexpr std::size_t kLetters = 26;
constexpr int kWindowWidth = 1400;
constexpr int kWindowHeight = 800;
constexpr int kScopesWidth = 180;
constexpr int kNamesWidth = 260;
constexpr std::uint64_t kWavePixels = 800;  // what is left for the waves, with a margin

std::string hexadecimal(std::uint64_t value, unsigned digits = 1) {
  std::string text;
  for (; value != 0 || text.size() < digits; value /= 16) text.insert(0, 1, "0123456789abcdef"[value % 16]);
  return text;
}

// A save file is read line by line; a name must stay on its own.
std::string one_line(std::string_view text) {
  std::string result;
  for (const char c : text) result += c >= ' ' && c <= '~' ? c : '_';
  return result;
}

// GTKWave's zoom is the negative binary logarithm of the time that a frame of 200 pixels shows. Rounded up to quarters,
// by an integer table: the bytes of a file may not depend on a machine's floating point.
std::string zoom_to_show(Time span) {
  constexpr std::array<std::uint64_t, 4> kQuarterPowers{1'000, 1'189, 1'414, 1'682};
  constexpr std::array<const char*, 4> kQuarterTexts{".00", ".25", ".50", ".75"};
  constexpr std::uint64_t kFramePixels = 200;
  constexpr unsigned kFarthest = 62;
  const std::uint64_t per_frame =
      span.ps / kWavePixels * kFramePixels + span.ps % kWavePixels * kFramePixels / kWavePixels + 1;
  for (unsigned whole = 0; whole < kFarthest; ++whole)
    for (std::size_t quarter = 0; quarter < kQuarterPowers.size(); ++quarter) {
      const std::uint64_t power = std::uint64_t{1} << whole;
      const std::uint64_t reach =
          power / 1'000 * kQuarterPowers[quarter] + power % 1'000 * kQuarterPowers[quarter] / 1'000;
      if (reach >= per_frame) return "-" + std::to_string(whole) + kQuarterTexts[quarter];
    }
  return "-" + std::to_string(kFarthest) + ".00";
}

std::uint32_t flags_of(GtkwRadix radix, const VcdWriter::Code* code, unsigned width) {
  switch (radix) {
    case GtkwRadix::binary:
      return binary_digits | right_aligned;
    case GtkwRadix::decimal:
      return decimal_digits | right_aligned;
    case GtkwRadix::hex:
      return hexadecimal_digits | right_aligned;
    case GtkwRadix::steps:
      return decimal_digits | right_aligned | curve;
    case GtkwRadix::automatic:
      break;
  }
  if (code != nullptr) return hexadecimal_digits | right_aligned | translated;
  return (width == 1 ? binary_digits : decimal_digits) | right_aligned;
}

}  // namespace

void GtkwWriter::open_group(std::string_view name, bool folded) {
  lines_.push_back({folded ? Line::Kind::open_folded : Line::Kind::open, one_line(name)});
  open_groups_.emplace_back(lines_.back().text);
}

void GtkwWriter::close_group() {
  if (open_groups_.empty()) throw std::logic_error("no group of waves is open");
  lines_.push_back({Line::Kind::close, open_groups_.back()});
  open_groups_.pop_back();
}

void GtkwWriter::heading(std::string_view text) { lines_.push_back({Line::Kind::heading, one_line(text)}); }

void GtkwWriter::trace(VcdSignal signal, GtkwColour colour, GtkwRadix radix) {
  const VcdWriter::Code* code = radix == GtkwRadix::automatic ? dump_.code_of(signal) : nullptr;
  lines_.push_back({Line::Kind::trace, dump_.full_name(signal), colour, radix, code, dump_.width(signal)});
}

void GtkwWriter::marker(Time at, std::string_view name) {
  if (markers_.size() < kLetters) markers_.push_back({at, one_line(name)});
}

void GtkwWriter::show(Time from, Time to) {
  if (to <= from) throw std::invalid_argument("the waves that are to be shown have no length");
  shown_ = {from, to};
}

std::string GtkwWriter::translate_file(std::string_view stem, const VcdWriter::Code& code) const {
  return std::string(stem) + "." + code.name + ".txt";
}

std::string GtkwWriter::header(std::string_view name, std::string_view dump_name) const {
  const auto [from, to] = shown_.value_or(std::pair(dump_.first(), dump_.last()));
  std::string text =
      "[*] written by secmmu\n"
      "[dumpfile] \"" +
      std::string(dump_name) +
      "\"\n"
      "[savefile] \"" +
      std::string(name) +
      "\"\n"
      "[timestart] " +
      std::to_string(from.ps) +
      "\n"
      "[size] " +
      std::to_string(kWindowWidth) + " " + std::to_string(kWindowHeight) +
      "\n"
      "[pos] -1 -1\n"
      "*" +
      zoom_to_show(to - from) + " ";
  text += markers_.empty() ? "-1" : std::to_string(markers_.front().at.ps);
  for (std::size_t letter = 0; letter < kLetters; ++letter)
    text += letter < markers_.size() ? " " + std::to_string(markers_[letter].at.ps) : " -1";
  text += "\n";
  for (std::size_t letter = 0; letter < markers_.size(); ++letter)
    text += "[markername] " + std::string(1, static_cast<char>('A' + letter)) + markers_[letter].name + "\n";
  text +=
      "[treeopen] secmmu.\n"
      "[sst_width] " +
      std::to_string(kScopesWidth) +
      "\n"
      "[signals_width] " +
      std::to_string(kNamesWidth) +
      "\n"
      "[sst_expanded] 1\n";
  return text;
}

void GtkwWriter::write(const FileSet& files, std::string_view name, std::string_view dump_name) const {
  if (!open_groups_.empty()) throw std::logic_error("the group " + open_groups_.back() + " was not closed");
  const std::string_view stem = name.substr(0, name.rfind('.'));
  std::set<std::string> tables;
  std::string text = header(name, dump_name);
  for (const Line& line : lines_) {
    switch (line.kind) {
      case Line::Kind::open:
        text += "@" + hexadecimal(group_begin | text_only) + "\n-" + line.text + "\n";
        break;
      case Line::Kind::open_folded:
        text += "@" + hexadecimal(group_begin | text_only | folded_group) + "\n-" + line.text + "\n";
        break;
      case Line::Kind::close:
        text += "@" + hexadecimal(group_end | text_only) + "\n-" + line.text + "\n";
        break;
      case Line::Kind::heading:
        text += "@" + hexadecimal(text_only) + "\n-" + line.text + "\n";
        break;
      case Line::Kind::trace: {
        text += "@" + hexadecimal(flags_of(line.radix, line.code, line.width)) + "\n";
        if (line.colour != GtkwColour::plain)
          text += "[color] " + std::to_string(static_cast<unsigned>(line.colour)) + "\n";
        if (line.code != nullptr) {
          const std::string file = translate_file(stem, *line.code);
          text += "^1 " + file + "\n";
          if (tables.insert(file).second) {
            std::string table;
            for (std::size_t value = 0; value < line.code->values.size(); ++value)
              table += hexadecimal(value, (line.code->width + 3) / 4) + " " + one_line(line.code->values[value]) + "\n";
            files.write(file, table);
          }
        }
        text += line.text + "\n";
        // Room for the curve: a blank line that belongs to it.
        if (line.radix == GtkwRadix::steps) text += "@" + hexadecimal(taller) + "\n-\n";
        break;
      }
    }
  }
  files.write(name, text);
}

}  // namespace secmmu
