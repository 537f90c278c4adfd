#include "sim/output/file_set.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

namespace secmmu {
namespace {

constexpr std::size_t kBufferBytes = std::size_t{64} * 1024;
// Long enough never to be the start of a file that a user keeps beside our results.
constexpr std::string_view kTemporaryPrefix = ".secmmu-partial.";

[[noreturn]] void fail(std::string_view what, const std::filesystem::path& path, int error) {
  throw OutputError("cannot " + std::string(what) + " " + path.string() + ": " + std::strerror(error));
}

}  // namespace

OutputFile::OutputFile(std::filesystem::path path) : path_(std::move(path)) {
  temporary_ = path_.parent_path() / (std::string(kTemporaryPrefix) + path_.filename().string());
  descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail("create", path_, errno);
  buffer_.reserve(kBufferBytes);
}

OutputFile::OutputFile(OutputFile&& other) noexcept
    : path_(std::move(other.path_)),
      temporary_(std::move(other.temporary_)),
      buffer_(std::move(other.buffer_)),
      descriptor_(std::exchange(other.descriptor_, -1)) {}

OutputFile::~OutputFile() { discard(); }

void OutputFile::discard() noexcept {
  if (descriptor_ < 0) return;
  ::close(std::exchange(descriptor_, -1));
  ::unlink(temporary_.c_str());
}

void OutputFile::write(std::string_view bytes) {
  if (descriptor_ < 0) throw std::logic_error("write to " + path_.string() + " after it was closed");
  buffer_.append(bytes);
  if (buffer_.size() >= kBufferBytes) flush();
}

void OutputFile::flush() {
  std::string_view rest = buffer_;
  while (!rest.empty()) {
    const ssize_t written = ::write(descriptor_, rest.data(), rest.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {
      const int error = errno;
      discard();
      fail("write", path_, error);
    }
    rest.remove_prefix(static_cast<std::size_t>(written));
  }
  buffer_.clear();
}

void OutputFile::commit() {
  if (descriptor_ < 0) throw std::logic_error("commit of " + path_.string() + " after it was closed");
  flush();
  // Some file systems tell only here that there was no room.
  const int closed = ::close(std::exchange(descriptor_, -1));
  if (closed < 0 || ::rename(temporary_.c_str(), path_.c_str()) < 0) {
    const int error = errno;
    ::unlink(temporary_.c_str());
    fail("write", path_, error);
  }
}

FileSet::FileSet(std::filesystem::path directory) : directory_(std::move(directory)) {
  std::error_code error;
  std::filesystem::create_directories(directory_, error);
  // A file of that name is an error that create_directories does not always report.
  if (!error && !std::filesystem::is_directory(directory_, error) && !error)
    error = std::make_error_code(std::errc::not_a_directory);
  if (error) fail("create directory", directory_, error.value());
  remove_leftovers(directory_);
}

OutputFile FileSet::open(std::string_view name) const {
  if (name.empty() || name.find('/') != std::string_view::npos)
    throw std::logic_error("'" + std::string(name) + "' is not the name of a file in " + directory_.string());
  return OutputFile(directory_ / name);
}

void FileSet::write(std::string_view name, std::string_view bytes) const {
  OutputFile file = open(name);
  file.write(bytes);
  file.commit();
}

void FileSet::remove_leftovers(const std::filesystem::path& directory) {
  std::error_code error;
  std::vector<std::filesystem::path> leftovers;
  for (std::filesystem::directory_iterator entry(directory, error), end; !error && entry != end; entry.increment(error))
    if (entry->path().filename().string().starts_with(kTemporaryPrefix)) leftovers.push_back(entry->path());
  for (const std::filesystem::path& path : leftovers)
    if (!std::filesystem::remove(path, error) && error) fail("remove", path, error.value());
}

}  // namespace secmmu
