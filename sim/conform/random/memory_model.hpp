// What each byte is: a second, small idea of what the operations of recordings mean. It knows processes, pages and the
// first byte of each, and nothing of page tables, frames, notifiers or time, so that a run can be held against it.
// Operations must be told one at a time, in the order in which they were done.
#pragma once

#include <bitset>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sim/conform/operation.hpp"

namespace secmmu::conform {

// The bytes that a page may have. Usually one; more where Linux leaves it open, until somebody looks.
struct Content {
  std::bitset<256> values;
  bool may_go = false;  // MADV_FREE: until the next write it may become zero at any time

  static Content of(std::uint64_t value);
  static Content any();
  bool allows(std::uint8_t value) const { return values[value] || (may_go && value == 0); }
};

// Where buffers begin, in pages.
using Places = std::map<std::string, std::uint64_t>;

class MemoryModel {
 public:
  MemoryModel();

  // Whether it knows what the operation of that name does.
  static bool knows(std::string_view operation);

  // An operation that is no access has ended with `result` ("ok", "ENOMEM"), and the kernel has put the buffers there.
  // What is wrong with that; empty: nothing.
  std::string done(const Operation& operation, std::string_view result, const Places& places);
  // The same, as if it had succeeded, each buffer at a place of its own.
  void assume(const Operation& operation);

  // Other private memory was mapped in the recorded process: none of the program's, but it may lie in holes of its own.
  void mapped_beside(std::uint64_t first, std::uint64_t pages);

  // `who` (a process; `device` names the kind of the device that acts for it, or is empty) accessed a page. What is
  // wrong with what came of it; empty: nothing.
  struct Access {
    std::string process;
    std::string device;
    std::string buffer;
    std::uint64_t page = 0;  // of the buffer
    std::uint64_t at = 0;    // where that is, in pages
    bool write = false;
    std::uint64_t value = 0;  // what was written, or seen
    std::string result;
  };
  std::string accessed(const Access& access);
  // What that access must see, as a recording writes it: "7", "SIGBUS/SEGV", or for a device "error -14". What was
  // seen, where that is right.
  std::string expected(const Access& access) const;

  // --- what a generator asks ---

  struct Buffer {
    std::string name;
    std::uint64_t at = 0;
    std::uint64_t pages = 0;
    bool is_private = false;
    bool has_file = false;
    bool moved = false;  // some of its pages were taken elsewhere, or others came
  };
  const std::vector<Buffer>& buffers() const { return buffers_; }
  bool ended() const;         // the process that was recorded
  std::string child() const;  // the latest that lives; empty: none
  // It would wait for somebody who answers userfaultfd, or asks for what has no meaning (the file of memory without
  // one), or it comes after the end.
  bool sensible(const Operation& operation) const;

 private:
  enum class Right { none, r, rw };
  struct Object {  // what shared mappings and files have in common
    std::vector<Content> pages;
    std::uint64_t size = 0;
  };
  struct Page {
    Right right = Right::rw;
    std::shared_ptr<Object> object;  // none: anonymous
    std::uint64_t index = 0;         // in the object
    bool shared = false;
    std::optional<Content> own;  // of a private page, once it was written
    bool locked = false;
    bool stays_here = false;       // MADV_DONTFORK
    bool wiped_in_child = false;   // MADV_WIPEONFORK
    bool waits_for_write = false;  // userfaultfd
  };
  using Pages = std::map<std::uint64_t, Page>;
  struct Process {
    Pages pages;  // by number
    bool ended = false;
  };
  using Effect = std::string (MemoryModel::*)(const Operation&, bool ok);
  static const std::map<std::string_view, Effect>& effects();

  Process& main() { return processes_.at(0); }
  const Process* process(std::string_view name) const;
  Process* process(std::string_view name);
  const Page* find(const Access& access) const;
  static bool allowed(const Page& page, bool write);
  static Content content(const Page& page);
  static void set(Page& page, Content content);
  template <class Visit>
  void each(const Operation& operation, Visit visit);  // pages of the range that are mapped, ascending
  bool has_hole(const Operation& operation) const;
  template <class Test>
  bool all(const Operation& operation, Test test) const;  // of the pages that are mapped
  Buffer& buffer(const std::string& name);
  std::uint64_t place_of(const std::string& buffer) const;
  static void erase(Pages& pages, std::uint64_t first, std::uint64_t count);
  void bring_in(const Operation& operation, bool is_private, bool file, const Content& content);
  std::string take_along(const Operation& operation, std::uint64_t to);
  static void vanish(Page& page, bool certain);

  std::string nothing(const Operation&, bool ok);
  std::string only_marks(const Operation&, bool ok);
  std::string anon(const Operation&, bool ok);
  std::string shared(const Operation&, bool ok);
  std::string file(const Operation&, bool ok);
  std::string filepriv(const Operation&, bool ok);
  std::string unmap(const Operation&, bool ok);
  std::string protect(const Operation&, bool ok);
  std::string map_over(const Operation&, bool ok);
  std::string dontneed(const Operation&, bool ok);
  std::string lazyfree(const Operation&, bool ok);
  std::string touch_to_write(const Operation&, bool ok);
  std::string remove(const Operation&, bool ok);
  std::string punch(const Operation&, bool ok);
  std::string truncate(const Operation&, bool ok);
  std::string write_file(const Operation&, bool ok);
  std::string dontfork(const Operation&, bool ok);
  std::string wipeonfork(const Operation&, bool ok);
  std::string lock(const Operation&, bool ok);
  std::string unlock(const Operation&, bool ok);
  std::string write_protect(const Operation&, bool ok);
  std::string write_allow(const Operation&, bool ok);
  std::string move_to(const Operation&, bool ok);
  std::string move_onto(const Operation&, bool ok);
  std::string resize(const Operation&, bool ok);
  std::string make_child(const Operation&, bool ok);
  std::string end_child(const Operation&, bool ok);
  std::string end(const Operation&, bool ok);
  std::string end_by_helper(const Operation&, bool ok);

  const Places* places_ = nullptr;  // while an operation is told
  std::vector<Process> processes_;  // the one that was recorded, then its children in order
  std::vector<Buffer> buffers_;
  std::map<std::string, std::shared_ptr<Object>> objects_;  // of buffers with a file
};

}  // namespace secmmu::conform
