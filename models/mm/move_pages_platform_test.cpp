// move_pages on a machine with two memory nodes: what it says of each page, and where the pages are then.
#include <doctest/doctest.h>

#include <functional>
#include <string>
#include <vector>

#include "models/platform.hpp"
#include "models/test_platform.hpp"

using namespace secmmu;
using namespace secmmu::literals;
using namespace secmmu::testing;

namespace {

constexpr VirtAddr kBuffer{0x7f00'0000'0000};

class Stage {
 public:
  Stage(Platform& platform, const char* kernel) : platform_(platform) {
    platform_.set_kernel(*parse_kernel_version(kernel), {});
    platform_.reset();
    app = &platform_.mms->create("app");
    child = &platform_.mms->create("child");
  }
  void run(const std::function<void()>& act) {
    bool done = false;
    Task& task = platform_.task("actor");
    task.user = app;
    platform_.arbiter.start(
        task,
        [&] {
          load_on(*app, *platform_.cores[0]);
          act();
          done = true;
        },
        platform_.arbiter.now());
    const RunEnd end = platform_.arbiter.run({});
    CHECK(end == RunEnd::quiet);
    CHECK(done);
    CHECK(audit(*platform_.mms) == "");
    platform_.reset();
  }
  Errno map(std::uint64_t first, std::uint64_t count) {
    VirtAddr at;
    return mmap(*app, {kBuffer + first * kPageSize, true, count, {true, true, false}}, at);
  }
  static PageRange pages(std::uint64_t first, std::uint64_t end) {
    return {kBuffer.page() + first, kBuffer.page() + end};
  }
  bool write(std::uint64_t page, std::uint64_t value) {
    return platform_.cores[0]->write(kBuffer + page * kPageSize, 8, value) == AccessResult::ok;
  }
  std::uint64_t read(std::uint64_t page) {
    std::uint64_t value = 0;
    return platform_.cores[0]->read(kBuffer + page * kPageSize, 8, value) == AccessResult::ok ? value : 0xfa17;
  }
  unsigned node(std::uint64_t page) { return platform_.memory.node_of(app->peek(pages(page, page + 1).first).frame()); }
  std::vector<Errno> move(std::uint64_t first, std::uint64_t end, unsigned to, bool shared_too = false) {
    std::vector<Errno> status;
    CHECK(move_pages(*app, pages(first, end), to, shared_too, &status) == Errno::ok);
    return status;
  }

  Mm* app = nullptr;
  Mm* child = nullptr;

 private:
  Platform& platform_;
};

void on_two_nodes(const char* kernel, std::uint64_t frames, const std::function<void(Platform&, Stage&)>& act) {
  CAPTURE(kernel);
  in_child([&] {
    PlatformConfig config;
    config.machine.cpus = 1;
    config.memory = {.frames = frames, .nodes = 2};
    config.tasks.push_back({"actor", 0, TaskKind::actor});
    Platform platform(config);
    direct(platform, [&] {
      Stage stage(platform, kernel);
      stage.run([&] { act(platform, stage); });
    });
  });
}

}  // namespace

TEST_CASE("move_pages: each page is moved, is there already, or says why it stays, in every generation of kernels") {
  for (const char* kernel : {"v2.6.27", "v3.15", "v4.14", "v5.5", "v6.1", "v6.10"})
    on_two_nodes(kernel, 1024, [](Platform& platform, Stage& stage) {
      CHECK(stage.map(0, 6) == Errno::ok);
      CHECK(stage.write(0, 10));
      CHECK(stage.write(4, 14));
      CHECK(fork(*stage.app, *stage.child) == Errno::ok);
      CHECK(stage.write(0, 20));
      CHECK(stage.write(1, 21));
      CHECK(stage.read(2) == 0);
      const std::vector<Errno> expected = {Errno::ok,     Errno::ok,     Errno::efault, Errno::efault,
                                           Errno::eacces, Errno::efault, Errno::efault};
      CHECK(stage.move(0, 7, 1) == expected);
      CHECK(stage.node(0) == 1);
      CHECK(stage.node(1) == 1);
      CHECK(stage.node(4) == 0);
      CHECK(stage.move(4, 5, 1, true) == std::vector<Errno>{Errno::ok});
      CHECK(stage.node(4) == 1);
      CHECK(stage.app->counters.migrated == 3);
      CHECK(stage.child->counters.migrated == 1);
      CHECK(stage.move(0, 2, 1) == std::vector<Errno>{Errno::ok, Errno::ok});  // there already
      CHECK(stage.app->counters.migrated == 3);
      CHECK(stage.read(0) == 20);
      CHECK(stage.read(4) == 14);
      load_on(*stage.child, *platform.cores[0]);
      CHECK(stage.read(0) == 10);
      CHECK(stage.read(4) == 14);
      load_on(*stage.app, *platform.cores[0]);
    });
}

TEST_CASE("move_pages: pages that are swapped out, held, or without room on the other node stay") {
  for (const char* kernel : {"v6.1", "v6.10"})
    on_two_nodes(kernel, 64, [](Platform& platform, Stage& stage) {
      CHECK(stage.map(0, 8) == Errno::ok);
      for (std::uint64_t page = 0; page < 4; ++page) CHECK(stage.write(page, page));
      CHECK(madvise_pageout(*stage.app, stage.pages(0, 1)) == Errno::ok);
      CHECK(stage.move(0, 1, 1) == std::vector<Errno>{Errno::enoent});
      Pfn held{};
      Pte entry;
      CHECK(get_user_page(*stage.app, stage.pages(1, 2).first, true, held, entry) == Errno::ok);
      CHECK(stage.move(1, 3, 1) == std::vector<Errno>{Errno::eagain, Errno::ok});
      platform.memory.put(held);
      std::vector<Pfn> rest;
      for (Pfn frame{}; (frame = platform.memory.allocate_on(1, FrameUse::kernel, "test")) != kNoPfn;)
        rest.push_back(frame);
      CHECK(stage.move(1, 2, 1) == std::vector<Errno>{Errno::enomem});
      for (const Pfn frame : rest) platform.memory.put(frame);
      CHECK(stage.move(1, 2, 1) == std::vector<Errno>{Errno::ok});
      CHECK(stage.read(1) == 1);
    });
}

TEST_CASE("move_pages: a huge page moves whole where the kernel can do it, and page by page where it cannot") {
  on_two_nodes("v6.1", 4096, [](Platform& platform, Stage& stage) {
    CHECK(stage.map(0, 1024) == Errno::ok);
    CHECK(madvise_huge(*stage.app, stage.pages(0, 1024), HugeAdvice::always) == Errno::ok);
    for (std::uint64_t page = 0; page < 1024; page += 100) CHECK(stage.write(page, page + 1));
    // The second page finds it taken; then all of it moves, and the third is there already.
    CHECK(stage.move(0, 3, 1) == std::vector<Errno>{Errno::ok, Errno::ebusy, Errno::ok});
    CHECK(stage.app->counters.migrated == 512);
    CHECK(stage.app->peek(stage.pages(0, 1).first).huge());
    CHECK(stage.node(511) == 1);
    CHECK(stage.node(512) == 0);
    CHECK(stage.read(500) == 501);
    // Split entries of a folio, and those that a child has: moved all the same.
    CHECK(fork(*stage.app, *stage.child) == Errno::ok);
    CHECK(mprotect(*stage.app, stage.pages(700, 701), {true, false, false}) == Errno::ok);
    CHECK(stage.move(800, 801, 1, true) == std::vector<Errno>{Errno::ok});
    CHECK(stage.child->counters.migrated == 512);
    CHECK(stage.node(512) == 1);
    CHECK(stage.read(900) == 901);
    load_on(*stage.child, *platform.cores[0]);
    CHECK(stage.read(900) == 901);
    CHECK(stage.write(900, 1));
    load_on(*stage.app, *platform.cores[0]);
    CHECK(stage.read(900) == 901);
  });
  on_two_nodes("v4.13-rc", 4096, [](Platform&, Stage& stage) {
    CHECK(stage.map(0, 512) == Errno::ok);
    CHECK(madvise_huge(*stage.app, stage.pages(0, 512), HugeAdvice::always) == Errno::ok);
    CHECK(stage.write(0, 7));
    CHECK(stage.move(0, 2, 1) == std::vector<Errno>{Errno::ok, Errno::ok});
    CHECK(stage.app->counters.migrated == 2);
    CHECK(stage.node(1) == 1);
    CHECK(stage.node(2) == 0);
  });
}
