#include "sim/scenario/lackey_reader.hpp"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <initializer_list>
#include <optional>
#include <system_error>
#include <utility>

namespace secmmu {

namespace {

constexpr std::size_t kBufferBytes = 256UL * 1024;     // also the longest line
constexpr std::size_t kLongestMemoryLine = 64;         // generous: mark, 16 digits, comma, size, line feed
constexpr std::uint64_t kLongestAccess = 64UL * 1024;  // xsave with every state that exists needs 11 KiB
constexpr std::size_t kLongestString = 64UL * 1024;    // among a call's arguments, once it has line feeds
constexpr std::size_t kShownCharacters = 80;

constexpr unsigned kNoDigit = 16;

constexpr std::array<std::uint8_t, 256> make_hex_digits() {
  std::array<std::uint8_t, 256> table{};
  for (auto& value : table) value = kNoDigit;
  for (unsigned digit = 0; digit < 10; ++digit) table['0' + digit] = static_cast<std::uint8_t>(digit);
  for (unsigned digit = 10; digit < 16; ++digit) {
    table['a' + digit - 10] = static_cast<std::uint8_t>(digit);
    table['A' + digit - 10] = static_cast<std::uint8_t>(digit);
  }
  return table;
}
constexpr auto kHexDigits = make_hex_digits();

unsigned hex_digit(char c) { return kHexDigits[static_cast<unsigned char>(c)]; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool take(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

void take_spaces(std::string_view& text) { text.remove_prefix(std::min(text.find_first_not_of(' '), text.size())); }

bool is_blank(std::string_view text) { return text.find_first_not_of(' ') == std::string_view::npos; }

std::optional<std::uint64_t> take_hex(std::string_view& text) {
  std::size_t digits = 0;
  std::uint64_t value = 0;
  for (; digits < text.size() && hex_digit(text[digits]) != kNoDigit; ++digits) {
    if (digits == 16) return std::nullopt;
    value = value << 4 | hex_digit(text[digits]);
  }
  if (digits == 0) return std::nullopt;
  text.remove_prefix(digits);
  return value;
}

std::optional<std::uint64_t> take_decimal(std::string_view& text) {
  std::size_t digits = 0;
  std::uint64_t value = 0;
  for (; digits < text.size() && is_digit(text[digits]); ++digits) {
    if (__builtin_mul_overflow(value, 10U, &value) ||
        __builtin_add_overflow(value, static_cast<unsigned>(text[digits] - '0'), &value))
      return std::nullopt;
  }
  if (digits == 0) return std::nullopt;
  text.remove_prefix(digits);
  return value;
}

// An argument as any version of valgrind prints it: 0x1f, 31 or -1.
std::optional<std::uint64_t> take_number(std::string_view& text) {
  if (take(text, "0x")) return take_hex(text);
  const bool negative = take(text, "-");
  const auto value = take_decimal(text);
  if (!value) return std::nullopt;
  return negative ? 0 - *value : *value;
}

// The mark that an access starts with: "I  " of "I  0401ab70,3".
std::optional<LackeyKind> take_mark(std::string_view& text) {
  if (take(text, "I  ")) return LackeyKind::fetch;
  if (take(text, " L ")) return LackeyKind::load;
  if (take(text, " S ")) return LackeyKind::store;
  if (take(text, " M ")) return LackeyKind::modify;
  return std::nullopt;
}

bool is_memory_line(std::string_view text) {
  return take_mark(text) && take_hex(text) && take(text, ",") && take_decimal(text) && text.empty();
}

// ==PID== TEXT, --PID-- TEXT, **PID** TEXT; with --time-stamp=yes "00:00:00:01.123 " stands before PID.
// Returns PID.
std::optional<std::uint64_t> message_process(std::string_view line) {
  if (line.size() < 5) return std::nullopt;
  const std::string_view frame = line.substr(0, 2);
  if (frame != "==" && frame != "--" && frame != "**") return std::nullopt;
  line.remove_prefix(2);
  line = line.substr(0, line.find(frame));
  const std::size_t start = line.find_last_not_of("0123456789");
  if (line.find_first_not_of("0123456789:. ") != std::string_view::npos) return std::nullopt;
  if (start != std::string_view::npos) line.remove_prefix(start + 1);
  return take_decimal(line);
}

// Calls whose text may go on in another thread's or process's line.
bool forks(std::string_view name) { return name == "clone" || name == "clone3" || name == "fork" || name == "vfork"; }

// True if the line ends within a string argument, which valgrind prints as 0x10a008(/tmp/a) followed by
// ", " or " )": the string holds a line feed.
bool ends_in_string(std::string_view line) {
  while (true) {
    const std::size_t start = line.find("0x");
    if (start == std::string_view::npos) return false;
    line.remove_prefix(start + 2);
    if (!take_hex(line) || !take(line, "(")) continue;
    std::size_t close = line.find(')');
    while (close != std::string_view::npos && close + 1 < line.size() && line[close + 1] != ',' &&
           line[close + 1] != ' ')
      close = line.find(')', close + 1);
    if (close == std::string_view::npos || close + 1 >= line.size()) return true;
    line.remove_prefix(close + 1);
  }
}

std::string shown(std::string_view line) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const char c : line.substr(0, kShownCharacters)) {
    if (c == '\t') {
      text += "\\t";
    } else if (c == '\\') {
      text += "\\\\";
    } else if (c >= ' ' && c <= '~') {
      text += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      text += {'\\', 'x', kDigits[byte >> 4], kDigits[byte & 15]};
    }
  }
  if (line.size() > kShownCharacters) text += "...";
  return text;
}

struct CallShape {
  std::string_view name;
  LackeyKind kind;
  const char* expected;
};
constexpr std::array<CallShape, 6> kCalls{{
    {"mmap", LackeyKind::mmap, "sys_mmap ( ADDRESS, LENGTH, PROT, FLAGS, FD, OFFSET )"},
    {"munmap", LackeyKind::munmap, "sys_munmap ( ADDRESS, LENGTH )"},
    {"mprotect", LackeyKind::mprotect, "sys_mprotect ( ADDRESS, LENGTH, PROT )"},
    {"mremap", LackeyKind::mremap, "sys_mremap ( ADDRESS, LENGTH, NEW_LENGTH, FLAGS ) or with a fifth, NEW_ADDRESS"},
    {"brk", LackeyKind::brk, "sys_brk ( ADDRESS )"},
    {"madvise", LackeyKind::madvise, "sys_madvise ( ADDRESS, LENGTH, ADVICE )"},
}};

const CallShape* shape_of(std::string_view name) {
  for (const CallShape& shape : kCalls)
    if (shape.name == name) return &shape;
  return nullptr;
}

const CallShape& shape_of(LackeyKind kind) { return kCalls[static_cast<std::size_t>(kind) - kFirstLackeyCall]; }

// " ( A, B, C )" into values; returns how many, or nothing if it is not such a list.
std::optional<std::size_t> take_arguments(std::string_view& text, std::array<std::uint64_t, 6>& values) {
  take_spaces(text);
  if (!take(text, "( ")) return std::nullopt;
  for (std::size_t count = 0; count < values.size();) {
    const auto value = take_number(text);
    if (!value) return std::nullopt;
    values[count++] = *value;
    if (take(text, " )")) return count;
    if (!take(text, ", ")) return std::nullopt;
  }
  return std::nullopt;
}

bool fill_in(LackeyRecord& record, const std::array<std::uint64_t, 6>& values, std::size_t count) {
  record.address = {values[0]};
  record.bytes = values[1];
  switch (record.kind) {
    case LackeyKind::mmap:
      record.protection = values[2];
      record.flags = values[3];
      record.file = static_cast<std::int32_t>(values[4]);  // printed as 4294967295 or wider: an int in the kernel
      record.offset = values[5];
      return count == 6;
    case LackeyKind::munmap:
      return count == 2;
    case LackeyKind::mprotect:
      record.protection = values[2];
      return count == 3;
    case LackeyKind::mremap:
      record.new_bytes = values[2];
      record.flags = values[3];
      record.new_address = {count == 5 ? values[4] : 0};
      return count == 4 || count == 5;
    case LackeyKind::brk:
      return count == 1;
    case LackeyKind::madvise:
      record.advice = values[2];
      return count == 3;
    default:
      return false;
  }
}

}  // namespace

struct LackeyReader::File {
  explicit File(const char* path) : handle(gzopen(path, "rb")) {}
  ~File() {
    if (handle != nullptr) gzclose_r(handle);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  gzFile handle;
};

// SYSCALL[PROCESS,THREAD](NUMBER) REST
struct LackeyReader::Call {
  std::uint64_t process = 0;
  std::uint64_t thread = 0;
  std::int64_t number = 0;
  std::string_view rest;

  static std::optional<Call> parse(std::string_view line) {
    Call call;
    if (!take(line, "SYSCALL[")) return std::nullopt;
    const auto process = take_decimal(line);
    if (!process || !take(line, ",")) return std::nullopt;
    const auto thread = take_decimal(line);
    if (!thread || !take(line, "](")) return std::nullopt;
    const auto number = take_number(line);
    if (!number || !take(line, ") ")) return std::nullopt;
    call.process = *process;
    call.thread = *thread;
    call.number = static_cast<std::int64_t>(*number);
    call.rest = line;
    return call;
  }

  // "openat" of "sys_openat ( ..."; a call that valgrind has no name for is known by its number.
  std::string name() const {
    std::string_view text = rest;
    take(text, "sys_");
    std::size_t length = 0;
    while (length < text.size() &&
           (is_digit(text[length]) || text[length] == '_' || (text[length] >= 'a' && text[length] <= 'z')))
      ++length;
    text = text.substr(0, length);
    if (text.empty() || text == "unimplemented") return "syscall_" + std::to_string(number);
    return std::string(text);
  }
};

// "[sync] --> Success(0x0) REST", " --> [pre-success] Success(0x0) ", " --> [pre-fail] Failure(0x16) ",
// " --> [async] ... ", " --> [pre-success] NoWriteResult "
struct LackeyReader::Result {
  enum class Outcome { success, failure, later };
  Outcome outcome = Outcome::success;
  std::uint64_t value = 0;
  std::string_view rest;

  static std::optional<Result> parse(std::string_view text) {
    take(text, "[sync]");
    take_spaces(text);
    if (!take(text, "--> ")) return std::nullopt;
    Result result;
    if (take(text, "[async] ...")) {
      result.outcome = Outcome::later;
      result.rest = text;
      return result;
    }
    if (!take(text, "[pre-success] ")) take(text, "[pre-fail] ");
    if (take(text, "NoWriteResult")) {
      result.rest = text;
      return result;
    }
    if (take(text, "Failure(0x"))
      result.outcome = Outcome::failure;
    else if (!take(text, "Success(0x"))
      return std::nullopt;
    const auto value = take_hex(text);
    if (!value || !take(text, ")")) return std::nullopt;
    result.value = *value;
    result.rest = text;
    return result;
  }

  // The last one in a line of any text.
  static std::optional<Result> find_last(std::string_view line) {
    const std::size_t arrow = line.rfind("--> ");
    if (arrow == std::string_view::npos) return std::nullopt;
    return parse(line.substr(arrow));
  }

  // A line that ends with a result ends its call, whatever stood in the arguments.
  static bool ends(std::string_view line) {
    const auto result = find_last(line);
    return result && is_blank(result->rest);
  }
};

LackeyError::LackeyError(const std::string& file, std::uint64_t line, const std::string& problem)
    : std::runtime_error(file + ':' + (line == 0 ? "" : std::to_string(line) + ':') + ' ' + problem),
      file_(file),
      line_(line) {}

LackeyReader::LackeyReader(const std::string& path) : path_(path), buffer_(kBufferBytes + 1) {
  errno = 0;
  file_ = std::make_unique<File>(path.c_str());
  if (file_->handle == nullptr)
    fail(0, "cannot be opened: " + std::generic_category().message(errno == 0 ? ENOMEM : errno));
  gzbuffer(file_->handle, 128 * 1024);
  std::error_code unknown;
  const auto bytes = std::filesystem::file_size(path, unknown);
  if (!unknown) bytes_total_ = bytes;
  at_ = end_ = buffer_.data();
}

LackeyReader::~LackeyReader() = default;

std::uint64_t LackeyReader::bytes_read() const {
  const auto offset = gzoffset(file_->handle);
  return offset < 0 ? 0 : static_cast<std::uint64_t>(offset);
}

// Makes room for a whole buffer behind what is unread and reads. False if there was nothing to gain.
bool LackeyReader::fill() {
  if (exhausted_) return false;
  const auto unread = static_cast<std::size_t>(end_ - at_);
  if (unread == kBufferBytes) return false;
  std::memmove(buffer_.data(), at_, unread);
  at_ = buffer_.data();
  end_ = at_ + unread;
  errno = 0;
  const auto wanted = static_cast<unsigned>(kBufferBytes - unread);
  const int got = gzread(file_->handle, end_, wanted);
  const int cause_number = errno;
  if (got > 0) end_ += got;
  *end_ = '\0';
  if (got == static_cast<int>(wanted)) return true;
  // A short read is the end of the file, or its damage: zlib hands out what it could unpack before either.
  exhausted_ = true;
  int status = Z_OK;
  const char* message = gzerror(file_->handle, &status);
  const auto unpacked = counts_.lines + static_cast<std::uint64_t>(std::count(at_, end_, '\n'));
  const std::string where = ", after line " + std::to_string(unpacked);
  if (status == Z_BUF_ERROR) fail(0, "truncated: the compressed data ends too early" + where);
  if (status == Z_ERRNO) fail(0, "cannot be read: " + std::generic_category().message(cause_number));
  if (got < 0 || (status != Z_OK && status != Z_STREAM_END))
    fail(0, "damaged: the compressed data cannot be unpacked" + where + " (" + message + ')');
  return got > 0;
}

bool LackeyReader::next(LackeyRecord& record) {
  while (true) {
    if (static_cast<std::size_t>(end_ - at_) < kLongestMemoryLine) fill();
    if (memory_line(record)) return true;
    std::string_view line;
    if (!take_line(line)) return finish();
    if (other_line(line, record)) return true;
  }
}

// Nearly every line comes through here. Loops stop at the NUL behind the buffer at the latest.
bool LackeyReader::memory_line(LackeyRecord& record) {
  const char* p = at_;
  LackeyKind kind = LackeyKind::fetch;
  if (*p == ' ') {
    switch (p[1]) {
      case 'L':
        kind = LackeyKind::load;
        break;
      case 'S':
        kind = LackeyKind::store;
        break;
      case 'M':
        kind = LackeyKind::modify;
        break;
      default:
        return false;
    }
  } else if (*p != 'I' || p[1] != ' ') {
    return false;
  }
  if (p[2] != ' ') return false;
  p += 3;

  const char* const digits = p;
  std::uint64_t address = 0;
  for (unsigned digit = hex_digit(*p); digit != kNoDigit; digit = hex_digit(*++p)) address = address << 4 | digit;
  if (p == digits || p - digits > 16 || *p != ',') return false;
  ++p;

  std::uint64_t bytes = 0;
  for (; is_digit(*p) && bytes <= kLongestAccess; ++p) bytes = bytes * 10 + static_cast<std::uint64_t>(*p - '0');
  if (bytes == 0 || bytes > kLongestAccess || address > UINT64_MAX - (bytes - 1)) return false;
  if (*p == '\n')
    at_ = buffer_.data() + (p + 1 - buffer_.data());
  else if (p == end_ && exhausted_)  // the last line, without a line feed
    at_ = end_;
  else
    return false;

  ++counts_.lines;
  ++counts_.delivered[static_cast<std::size_t>(kind)];
  record.kind = kind;
  record.address = {address};
  record.bytes = bytes;
  return true;
}

// The line is valid until the next one is taken.
bool LackeyReader::take_line(std::string_view& line) {
  auto* feed = static_cast<char*>(std::memchr(at_, '\n', static_cast<std::size_t>(end_ - at_)));
  if (feed == nullptr) {
    fill();
    feed = static_cast<char*>(std::memchr(at_, '\n', static_cast<std::size_t>(end_ - at_)));
  }
  if (feed == nullptr && at_ == end_) return false;
  ++counts_.lines;
  if (feed == nullptr && !exhausted_) {
    malformed({at_, static_cast<std::size_t>(end_ - at_)}, "a line of less than 256 KiB");
  }
  char* const stop = feed == nullptr ? end_ : feed;
  line = {at_, static_cast<std::size_t>(stop - at_)};
  at_ = feed == nullptr ? end_ : feed + 1;
  return true;
}

// The rest of the line just taken is read again as if it were a line.
void LackeyReader::give_back(std::string_view rest) {
  at_ = buffer_.data() + (rest.data() - buffer_.data());
  --counts_.lines;
}

bool LackeyReader::other_line(std::string_view line, LackeyRecord& record) {
  if (line.starts_with("SYSCALL[")) return call_line(line, record);
  if (message_process(line)) {
    message(line);
    return false;
  }
  // The second half of a call that a message or a new thread's first line came between. The first
  // half was skipped, or it would have waited for this.
  if (const auto result = Result::parse(line)) {
    if (result->outcome == Result::Outcome::failure) ++counts_.skipped_failed;
    give_back_if_event(result->rest);
    return false;
  }
  if (is_blank(line)) return false;                              // what is left of such a half line
  if (skipped_at_ + 1 == counts_.lines && Result::ends(line)) {  // "), 0 )[sync] --> ...": a string's last line
    skipped_at_ = counts_.lines;
    return false;
  }
  if (forked_ && line.front() == ' ' && is_memory_line(line.substr(1))) {  // another's half line was " "
    give_back(line.substr(1));
    return false;
  }
  check_crash(line);

  std::string_view text = line;
  if (take_mark(text)) {
    if (!take_hex(text) || !text.starts_with(','))
      malformed(line,
                "an address of up to 16 hexadecimal digits and a comma after '" + std::string(line.substr(0, 3)) + "'");
    malformed(line, "a size of 1 to " + std::to_string(kLongestAccess) +
                        " in decimal after the address, within the address space, and the end of the line");
  }
  malformed(
      line,
      "'I  ADDRESS,SIZE', ' L ADDRESS,SIZE', ' S ADDRESS,SIZE', ' M ADDRESS,SIZE', 'SYSCALL[PID,THREAD](NUMBER) ...' "
      "or a message of valgrind, '==PID== ...'; if this is output of the recorded program, record again with "
      "--log-file=FILE");
}

bool LackeyReader::call_line(std::string_view line, LackeyRecord& record) {
  const auto call = Call::parse(line);
  if (!call) malformed(line, "'SYSCALL[PID,THREAD](NUMBER) ' and the call");
  if (process_ == 0) process_ = call->process;
  if (call->process != process_) {
    ++counts_.other_processes;
    forked_ = children_ = true;
    // A child that becomes another program leaves its line open, and the next call of ours goes on there.
    const std::size_t ours = line.rfind("SYSCALL[" + std::to_string(process_) + ',');
    if (ours != std::string_view::npos && Call::parse(line.substr(ours))) {
      give_back(line.substr(ours));
      return false;
    }
    skipped_at_ = counts_.lines;
    if (const auto result = Result::find_last(line)) give_back_if_event(result->rest);
    if (ends_in_string(line) && !Result::ends(line)) skip_rest_of_string(call->name());
    return false;
  }

  std::string_view rest = call->rest;
  if (take(rest, "... [async]")) {
    const auto waiting = waiting_.find(call->thread);
    const auto result = Result::parse(rest);
    if (waiting != waiting_.end() && waiting->second.first == call->number) {
      if (!result || result->outcome == Result::Outcome::later)
        malformed(line, "' --> Success(0x...) ' or ' --> Failure(0x...) '");
      const LackeyRecord first = waiting->second.second;
      waiting_.erase(waiting);
      record = first;
      return finish_call(first.kind, *result, record);
    }
    skipped_at_ = counts_.lines;
    if (result) {
      if (result->outcome == Result::Outcome::failure) ++counts_.skipped_failed;
      give_back_if_event(result->rest);
    }
    return false;
  }

  if (waiting_.erase(call->thread) != 0) ++counts_.unfinished;
  const std::string name = call->name();
  if (const CallShape* shape = shape_of(name)) return address_space_call(*call, shape->kind, line, record);
  skip_call(*call, line);
  return false;
}

bool LackeyReader::address_space_call(const Call& call, LackeyKind kind, std::string_view line, LackeyRecord& record) {
  std::string_view text = call.rest;
  LackeyRecord parsed;
  parsed.kind = kind;
  parsed.thread = call.thread;
  std::array<std::uint64_t, 6> values{};
  text.remove_prefix(text.find(shape_of(kind).name) + shape_of(kind).name.size());
  const auto count = take_arguments(text, values);
  if (!count || !fill_in(parsed, values, *count)) malformed(line, shape_of(kind).expected);

  record = parsed;
  if (const auto result = Result::parse(text)) {
    if (result->outcome != Result::Outcome::later) return finish_call(kind, *result, record);
    waiting_[call.thread] = {call.number, parsed};
    give_back_if_event(result->rest);
    return false;
  }
  // valgrind had something to say in mid-line; the result follows its message.
  take_spaces(text);
  check_crash(text);
  const std::uint64_t head = counts_.lines;
  const std::string head_text = shown(line);
  const bool interrupted = is_blank(text) || message_process(text);
  while (interrupted && take_line(text)) {
    if (message_process(text)) {
      message(text);
      continue;
    }
    const auto result = Result::parse(text);
    if (!result) break;
    if (result->outcome != Result::Outcome::later) return finish_call(kind, *result, record);
    waiting_[call.thread] = {call.number, parsed};
    return false;
  }
  fail(head, "malformed line '" + head_text +
                 "': expected the call's result, such as '[sync] --> Success(0x0)' or ' --> [pre-fail] Failure(0x16)'");
}

bool LackeyReader::finish_call(LackeyKind kind, const Result& result, LackeyRecord& record) {
  give_back_if_event(result.rest);
  if (result.outcome == Result::Outcome::failure) {
    ++counts_.failed[static_cast<std::size_t>(kind)];
    return false;
  }
  record.result = {result.value};
  ++counts_.delivered[static_cast<std::size_t>(kind)];
  return true;
}

// Whatever the text is: nothing in here is an error.
void LackeyReader::skip_call(const Call& call, std::string_view line) {
  const std::string name = call.name();
  ++counts_.skipped[name];
  skipped_at_ = counts_.lines;
  if (forks(name)) forked_ = true;
  if (name == "fork" || name == "vfork" || line.find("clone(fork)") != std::string_view::npos) children_ = true;
  const auto result = Result::find_last(line);
  if (result && is_blank(result->rest)) {
    if (result->outcome == Result::Outcome::failure) ++counts_.skipped_failed;
  } else if (ends_in_string(line)) {
    skip_rest_of_string(name);
  } else if (result && forks(name)) {
    give_back_if_event(result->rest);  // the new thread's first access, before our line feed
  }
}

// The lines of a string argument are anything at all; the call ends where a line ends with a result.
void LackeyReader::skip_rest_of_string(std::string_view name) {
  const std::string call{name};
  const std::uint64_t head = counts_.lines;
  std::size_t length = 0;
  std::string_view line;
  while (length <= kLongestString && take_line(line)) {
    length += line.size() + 1;
    skipped_at_ = counts_.lines;
    const auto result = Result::find_last(line);
    if (!result || !is_blank(result->rest)) continue;
    if (result->outcome == Result::Outcome::failure) ++counts_.skipped_failed;
    return;
  }
  fail(head, "the call of " + call +
                 " has no end: expected a line that ends with its result, such as '[sync] --> Success(0x0)'");
}

// What follows a result on its line is a record of another thread or process, or nothing.
void LackeyReader::give_back_if_event(std::string_view rest) {
  for (int spaces = 0; spaces < 3 && !rest.empty(); ++spaces) {
    if (is_memory_line(rest) || rest.starts_with("SYSCALL[")) {
      forked_ = true;
      give_back(rest);
      return;
    }
    if (rest.front() != ' ') return;
    rest.remove_prefix(1);
  }
}

void LackeyReader::message(std::string_view line) {
  ++counts_.messages;
  if (process_ == 0) process_ = *message_process(line);
  check_crash(line);
}

void LackeyReader::check_crash(std::string_view line) const {
  if (line.starts_with("valgrind: ") || line.find("VALGRIND INTERNAL ERROR") != std::string_view::npos)
    fail(counts_.lines, "valgrind itself gave up here, so the recording is not complete: '" + shown(line) + "'");
}

bool LackeyReader::finish() {
  if (counts_.lines == 0) fail(0, "is empty: expected a recording by valgrind --tool=lackey");
  counts_.unfinished += waiting_.size();
  waiting_.clear();
  return false;
}

void LackeyReader::malformed(std::string_view line, const std::string& expected) const {
  fail(counts_.lines, "malformed line '" + shown(line) + "': expected " + expected);
}

void LackeyReader::fail(std::uint64_t line, const std::string& problem) const {
  // With children in the recording, halves of lines can mix in ways that nobody can take apart again.
  const char* hint =
      children_ && line != 0
          ? "; the recorded program has children: --child-silent-after-fork=yes keeps them out of a recording"
          : "";
  throw LackeyError(path_, line, problem + hint);
}

}  // namespace secmmu
