#include "sim/output/file_set.hpp"

#include <doctest/doctest.h>

#include <fstream>
#include <iterator>
#include <set>

#include "sim/output/scratch_directory.hpp"

using namespace secmmu;

namespace {

std::set<std::string> names_in(const std::filesystem::path& directory) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(directory))
    names.insert(entry.path().filename().string());
  return names;
}

std::string message_of(const auto& action) {
  try {
    action();
  } catch (const OutputError& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace

TEST_CASE("a file appears under its name only when it is complete") {
  const ScratchDirectory scratch;
  const FileSet files(scratch.path() / "scenario" / "v6.10");
  OutputFile file = files.open("stats.json");
  file.write("{}");
  CHECK_FALSE(std::filesystem::exists(files.directory() / "stats.json"));
  file.commit();
  CHECK(names_in(files.directory()) == std::set<std::string>{"stats.json"});
  CHECK(contents_of(files.directory() / "stats.json") == "{}");
}

TEST_CASE("a file larger than the buffer arrives whole and replaces an older one") {
  const ScratchDirectory scratch;
  const FileSet files(scratch.path());
  files.write("trace.txt", "old");
  std::string expected;
  OutputFile file = files.open("trace.txt");
  for (int line = 0; line < 50'000; ++line) {
    const std::string text = std::to_string(line) + "\n";
    file.write(text);
    expected += text;
  }
  file.commit();
  CHECK(contents_of(files.directory() / "trace.txt") == expected);
}

TEST_CASE("a file that is given up leaves nothing, and an older one stays") {
  const ScratchDirectory scratch;
  const FileSet files(scratch.path());
  files.write("trace.txt", "old");
  {
    OutputFile file = files.open("trace.txt");
    file.write("new");
    OutputFile moved = std::move(file);
    moved.write("er");
  }
  CHECK(names_in(files.directory()) == std::set<std::string>{"trace.txt"});
  CHECK(contents_of(files.directory() / "trace.txt") == "old");
}

TEST_CASE("what a killed process left is removed by the next one, other files are not") {
  const ScratchDirectory scratch;
  std::ofstream(scratch.path() / ".secmmu-partial.waves.vcd") << "half";
  std::ofstream(scratch.path() / "notes.partial") << "mine";
  const FileSet files(scratch.path());
  CHECK(names_in(files.directory()) == std::set<std::string>{"notes.partial"});
}

TEST_CASE("errors name the path and the reason") {
  const ScratchDirectory scratch;
  const std::filesystem::path in_the_way = scratch.path() / "file";
  std::ofstream(in_the_way) << "x";
  const std::string path = in_the_way.string();
  CHECK(message_of([&] { FileSet{in_the_way}; }) == "cannot create directory " + path + ": Not a directory");
  CHECK(message_of([&] { FileSet{in_the_way / "below"}; }) ==
        "cannot create directory " + path + "/below: Not a directory");
  CHECK(message_of([&] { OutputFile{scratch.path() / "gone" / "x"}; }) ==
        "cannot create " + (scratch.path() / "gone" / "x").string() + ": No such file or directory");
  CHECK_THROWS_AS(FileSet{scratch.path()}.open("a/b"), std::logic_error);
}

TEST_CASE("a full disk is reported, and nothing remains") {
  const ScratchDirectory scratch;
  const FileSet files(scratch.path());
  std::filesystem::create_symlink("/dev/full", scratch.path() / ".secmmu-partial.waves.vcd");
  OutputFile file = files.open("waves.vcd");
  CHECK(message_of([&] {
          file.write("x");
          file.commit();
        }) == "cannot write " + (scratch.path() / "waves.vcd").string() + ": No space left on device");
  CHECK(names_in(files.directory()).empty());
}
