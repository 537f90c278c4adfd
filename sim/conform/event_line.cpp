#include "sim/conform/event_line.hpp"

#include <algorithm>

#include "notifier/range.hpp"

namespace secmmu::conform {
namespace {

constexpr std::uint64_t kMostPages = 1ULL << 35;  // user space

const std::vector<std::string>& reasons() {
  static const std::vector<std::string> words = [] {
    std::vector<std::string> all;
    for (int event = 0; event <= static_cast<int>(InvalidateEvent::exclusive); ++event)
      all.emplace_back(invalidate_event_name(static_cast<InvalidateEvent>(event)));
    return all;
  }();
  return words;
}

void range(Words& words) {
  if (words.maybe("all")) return;
  const auto first = words.number("the first page (or 'all')", 0, kMostPages);
  const auto end = words.number("the page after the last", 1, kMostPages);
  if (first && end && *end <= *first) words.fail_last("the range is empty", "a page after the first one");
}
void blockable(Words& words) { words.choice("way of waiting", {"blockable", "nonblock"}); }
void pte(Words& words) {
  std::vector<std::string> states;
  for (const std::string& state : pte_states()) states.push_back("pte=" + state);
  words.choice("state", states);
}

void start(Words& words) {
  words.choice("event", reasons());
  range(words);
  blockable(words);
  words.maybe("ATOMIC");
  pte(words);
}
void end(Words& words) {
  words.choice("event", reasons());
  range(words);
  words.maybe("ATOMIC");
  pte(words);
}
void interval(Words& words) {
  words.choice("event", reasons());
  range(words);
  blockable(words);
}
void invalidate_range(Words& words) {
  range(words);
  words.maybe("ATOMIC");
}
void young(Words& words) {
  range(words);
  words.maybe("ATOMIC");
  words.choice("answer", {"young=0", "young=1"});
}
void test_young(Words& words) {
  words.number("the page", 0, kMostPages);
  words.maybe("ATOMIC");
  words.choice("answer", {"young=0", "young=1"});
}
void change_pte(Words& words) {
  words.number("the page", 0, kMostPages);
  words.choice("right", {"ro", "rw"});
  words.maybe("ATOMIC");
}
void device_access(Words& words) {
  words.number("the page", 0, kMostPages);
  words.choice("access", {"r", "w"});
  const auto how = words.choice("outcome", {"hit", "fault", "error"});
  if (!how) return;
  if (*how != "error") {
    words.number("the byte it saw", 0, 255);
    return;
  }
  const std::string_view error = words.peek();
  const bool is_errno = error.size() > 1 && error[0] == '-' && error[1] != '0' &&
                        std::all_of(error.begin() + 1, error.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (is_errno)
    words.skip();
  else
    words.choice("error", {"-1", "-14"});
}
void nothing(Words&) {}
// A remark: any words.
void anything(Words& words) {
  while (!words.at_end()) words.skip();
}

struct EventForm {
  const char* word;
  void (*rest)(Words&);
};
constexpr EventForm kForms[] = {
    {"start", start},
    {"end", end},
    {"invalidate_range", invalidate_range},
    {"interval", interval},
    {"clear_flush_young", young},
    {"clear_young", young},
    {"test_young", test_young},
    {"change_pte", change_pte},
    {"release", nothing},
    {"d", device_access},
    {"later", nothing},
    {"#", anything},
};

// Of Linux on x86-64, those that a call on memory, files or processes could give; or a number that has no name.
bool is_error_name(std::string_view word) {
  static constexpr std::string_view kNames[] = {
      "EPERM",  "ENOENT",    "ESRCH",     "EINTR",   "EIO",        "ENXIO",     "E2BIG",        "ENOEXEC",
      "EBADF",  "ECHILD",    "EAGAIN",    "ENOMEM",  "EACCES",     "EFAULT",    "ENOTBLK",      "EBUSY",
      "EEXIST", "EXDEV",     "ENODEV",    "ENOTDIR", "EISDIR",     "EINVAL",    "ENFILE",       "EMFILE",
      "ENOTTY", "ETXTBSY",   "EFBIG",     "ENOSPC",  "ESPIPE",     "EROFS",     "EMLINK",       "EPIPE",
      "EDOM",   "ERANGE",    "EDEADLK",   "ENOLCK",  "ENOSYS",     "ENOTEMPTY", "ELOOP",        "ENODATA",
      "ETIME",  "EOVERFLOW", "EOPNOTSUPP", "ENOBUFS", "ETIMEDOUT", "EALREADY",  "EINPROGRESS",  "ESTALE",
      "EDQUOT", "ECANCELED", "EHWPOISON", "EREMOTEIO", "EKEYEXPIRED", "ENOTSUP"};
  if (std::find(std::begin(kNames), std::end(kNames), word) != std::end(kNames)) return true;
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  return word.size() > 1 && word[0] == 'E' && word[1] != '0' && std::all_of(word.begin() + 1, word.end(), is_digit);
}

}  // namespace

const std::vector<std::string>& pte_states() {
  static const std::vector<std::string> states = {"none",      "ro",       "rw",      "swap",
                                                  "migration", "protnone", "huge-ro", "huge-rw"};
  return states;
}

void check_event(Words& words) {
  std::vector<std::string> names = {"=", "v", ">", "setup"};  // what else may begin a line
  for (const EventForm& form : kForms) {
    if (words.maybe(form.word)) {
      form.rest(words);
      words.end();
      return;
    }
    names.emplace_back(form.word);
  }
  words.choice("line of a recording begins with", names);
}

void check_result(Words& words) {
  if (is_error_name(words.peek()))
    words.skip();
  else
    words.choice("result", {"ok", "EINVAL", "ENOMEM", "EFAULT", "EAGAIN", "EBUSY", "EACCES", "EPERM", "ESRCH", "EBADF", "ENOSYS"});
  words.end();
}

void check_values(Words& words) {
  do {
    if (!words.maybe("SIGBUS/SEGV") && !words.maybe("-"))
      words.number("the first byte of a page ('SIGBUS/SEGV' if the access faulted, '-' if none is there)", 0, 255);
  } while (!words.failed() && !words.at_end());
}

}  // namespace secmmu::conform
