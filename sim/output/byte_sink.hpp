// Where a format writer puts its bytes: a file of a FileSet, or a string in a test.
#pragma once

#include <string>
#include <string_view>

namespace secmmu {

class ByteSink {
 public:
  virtual ~ByteSink() = default;
  virtual void write(std::string_view bytes) = 0;
};

class StringSink final : public ByteSink {
 public:
  void write(std::string_view bytes) override { text.append(bytes); }
  std::string text;
};

}  // namespace secmmu
