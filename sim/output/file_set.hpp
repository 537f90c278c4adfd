// The files of one output directory. A reader never meets half a file: each is written under a name of
// its own and renamed when complete, and a file that is given up is removed.
#pragma once

#include <filesystem>
#include <stdexcept>
#include <string>
#include <string_view>

#include "sim/output/byte_sink.hpp"

namespace secmmu {

// What the operating system refused, with the path: "cannot write out/waves.vcd: No space left on device".
struct OutputError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// One file while it is being written. Destroyed before commit(): as if it had never been opened.
class OutputFile final : public ByteSink {
 public:
  explicit OutputFile(std::filesystem::path path);
  ~OutputFile() override;
  OutputFile(OutputFile&& other) noexcept;
  OutputFile& operator=(OutputFile&&) = delete;

  void write(std::string_view bytes) override;
  // Everything is written: the file takes its real name, replacing an older one.
  void commit();

  const std::filesystem::path& path() const { return path_; }

 private:
  void flush();
  void discard() noexcept;

  std::filesystem::path path_;
  std::filesystem::path temporary_;
  std::string buffer_;
  int descriptor_ = -1;
};

class FileSet {
 public:
  // Makes the directory and its parents, and removes what a process that was killed left in it.
  explicit FileSet(std::filesystem::path directory);

  // A name, not a path: a file set is one directory.
  OutputFile open(std::string_view name) const;
  void write(std::string_view name, std::string_view bytes) const;

  const std::filesystem::path& directory() const { return directory_; }

  // For the parent of a worker that crashed: it cannot have cleaned up after itself.
  static void remove_leftovers(const std::filesystem::path& directory);

 private:
  std::filesystem::path directory_;
};

}  // namespace secmmu
