// userfaultfd's write protection: what is said, and that its bit goes where the pages go.
#include <doctest/doctest.h>

#include "models/mm/test_stage.hpp"
#include "models/mm/user_fault.hpp"

using namespace secmmu;
using namespace secmmu::literals;
using namespace secmmu::testing;

namespace {

void register_and_touch(Stage& stage) {
  touch_four(stage);
  CHECK(user_fault_register(*stage.mm, stage.pages(0, 8)) == Errno::ok);
}

bool is_protected(Mm& mm, Stage& stage, std::uint64_t page) {
  return (mm.peek(stage.pages(page, page + 1).first).bits & Pte::kWriteProtected) != 0;
}

}  // namespace

TEST_CASE("protection is announced as mprotect, and the write bit comes back with the next fault in v6.1, at once later") {
  const auto run = [](std::string_view kernel) {
    return play(kernel, register_and_touch, [](Stage& stage) {
      CHECK(user_fault_protect(*stage.mm, stage.pages(1, 3), true) == Errno::ok);
      CHECK(user_fault_protect(*stage.mm, stage.pages(1, 3), false) == Errno::ok);
      CHECK(stage.write(1, 5));
      CHECK(stage.mm->counters.protected_writes == 0);
    });
  };
  CHECK(run("v6.1") == "S PROTECTION_VMA 1-3, 1:rw>ro, 2:rw>ro, E 1-3, F 1-3, S PROTECTION_VMA 1-3, E 1-3, 1:ro>rw");
  CHECK(run("v6.10") ==
        "S PROTECTION_VMA 1-3, 1:rw>ro, 2:rw>ro, E 1-3, F 1-3, T 1-3, S PROTECTION_VMA 1-3, 1:ro>rw, 2:ro>rw, E 1-3, "
        "F 1-3, T 1-3");
}

TEST_CASE("who holds mmap_lock gets no protected page to write, but to read") {
  play("v6.1", register_and_touch, [](Stage& stage) {
    CHECK(user_fault_protect(*stage.mm, stage.pages(1, 2), true) == Errno::ok);
    Pfn frame{};
    Pte entry;
    const Vpn page = stage.pages(1, 2).first;
    stage.mm->mmap_lock().lock_read();
    CHECK(get_user_page_locked(*stage.mm, page, true, frame, entry) == Errno::efault);
    CHECK(get_user_page_locked(*stage.mm, page, false, frame, entry) == Errno::ok);
    stage.mm->mmap_lock().unlock_read();
    stage.mm->system.memory.put(frame);
  });
}

TEST_CASE("the protection survives mprotect, swap and a move, and a child does not have it") {
  play("v6.1", register_and_touch, [](Stage& stage) {
    Mm& mm = *stage.mm;
    CHECK(user_fault_protect(mm, stage.pages(1, 3), true) == Errno::ok);
    CHECK(mprotect(mm, stage.pages(0, 8), kRead) == Errno::ok);
    CHECK(mprotect(mm, stage.pages(0, 8), kReadWrite) == Errno::ok);
    CHECK_FALSE(mm.peek(stage.pages(1, 2).first).writable());
    CHECK(madvise_pageout(mm, stage.pages(1, 2)) == Errno::ok);
    CHECK(mm.counters.swapped == 1);
    CHECK(is_protected(mm, stage, 1));
    CHECK(stage.read(1) == 1);
    CHECK(madvise_soft_offline(mm, stage.pages(2, 3)) == Errno::ok);
    for (const std::uint64_t page : {1, 2}) CHECK(is_protected(mm, stage, page));
    stage.fork_child();
    for (const std::uint64_t page : {1, 2}) CHECK_FALSE(is_protected(*stage.child, stage, page));
    load_on(*stage.child, stage.core());
    CHECK(stage.write(1, 9));
    load_on(mm, stage.core());
    CHECK(is_protected(mm, stage, 1));
    CHECK(user_fault_protect(mm, stage.pages(1, 3), false) == Errno::ok);
    CHECK(stage.write(1, 8));
    CHECK(stage.read(2) == 2);
  });
}

TEST_CASE("what is not registered, shared, or of two VMAs is refused, as far as the kernel does so") {
  const auto two_vmas = [](std::string_view kernel) {
    Errno answer = Errno::ok;
    play(kernel, register_and_touch, [&](Stage& stage) {
      CHECK(mprotect(*stage.mm, stage.pages(2, 4), kRead) == Errno::ok);
      answer = user_fault_protect(*stage.mm, stage.pages(0, 4), true);
    });
    return answer;
  };
  CHECK(two_vmas("v6.1") == Errno::enoent);
  CHECK(two_vmas("v6.10") == Errno::ok);
  play("v6.1", touch_four, [](Stage& stage) {
    CHECK(user_fault_protect(*stage.mm, stage.pages(0, 4), true) == Errno::enoent);
    CHECK(stage.map(20, 4, kReadWrite, true) == Errno::ok);
    CHECK(user_fault_register(*stage.mm, stage.pages(20, 24)) == Errno::einval);
    CHECK(user_fault_register(*stage.mm, stage.pages(30, 34)) == Errno::einval);
  });
}
