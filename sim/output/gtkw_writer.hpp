// Writes the save file with which GTKWave opens a dump of VcdWriter: groups, colours, names for coded
// values, markers and a zoom that shows the window. Made after the dump is finished.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "notifier/substrate/time.hpp"
#include "sim/output/file_set.hpp"
#include "sim/output/vcd_writer.hpp"

namespace secmmu {

enum class GtkwColour : std::uint8_t { plain, red, orange, yellow, green, blue, indigo, violet };
enum class GtkwRadix : std::uint8_t { automatic, binary, decimal, hex, steps };  // steps: drawn as a curve

class GtkwWriter {
 public:
  explicit GtkwWriter(const VcdWriter& dump) : dump_(dump) {}

  void open_group(std::string_view name, bool folded = false);
  void close_group();
  void heading(std::string_view text);
  // automatic: names for a coded signal, binary for one bit, decimal for the rest.
  void trace(VcdSignal signal, GtkwColour colour = GtkwColour::plain, GtkwRadix radix = GtkwRadix::automatic);
  // Lettered from A in the order of the calls; the first is also where the cursor stands. 26 at most, the
  // rest is left out.
  void marker(Time at, std::string_view name);

  // What the waves show when they are opened; without it everything that was dumped.
  void show(Time from, Time to);

  // NAME and, for the codes in use, their tables beside it as STEM.CODE.txt.
  void write(const FileSet& files, std::string_view name, std::string_view dump_name) const;

 private:
  struct Marker {
    Time at;
    std::string name;
  };
  std::string translate_file(std::string_view stem, const VcdWriter::Code& code) const;
  std::string header(std::string_view name, std::string_view dump_name) const;

  struct Line {
    enum class Kind : std::uint8_t { open, open_folded, close, heading, trace } kind;
    std::string text;
    GtkwColour colour = GtkwColour::plain;
    GtkwRadix radix = GtkwRadix::automatic;
    const VcdWriter::Code* code = nullptr;
    unsigned width = 1;
  };

  const VcdWriter& dump_;
  std::vector<Line> lines_;
  std::vector<std::string> open_groups_;
  std::vector<Marker> markers_;
  std::optional<std::pair<Time, Time>> shown_;
};

}  // namespace secmmu
