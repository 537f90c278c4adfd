// Plays a recording of valgrind's lackey tool: a real program's accesses and the system calls that shape
// its address space, in the recording's order.
//
// What the recording does not hold is made up, counted, and said in docs/workloads.md: stored values, the
// contents of files (a file mapping becomes private anonymous memory), and what exec had mapped before the
// first instruction (mapped on first touch).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "notifier/substrate/sync/wait_queue.hpp"
#include "sim/run/world.hpp"

namespace secmmu {

class ActorProgram;

// The way of a recording's data accesses to the device that repeats them: batches, so that two engines do
// not change places at every access. The batch is empty whenever the program calls the kernel.
class MirrorFeed {
 public:
  explicit MirrorFeed(Arbiter& arbiter);

  // --- the program's side ---
  void push(VirtAddr address, unsigned bytes, bool write, std::uint64_t value);
  void drain();  // waits until the device has repeated everything
  void close();  // no more will come

  // --- the device's side: repeats until closed ---
  void repeat(Device& device, unsigned context, Mm& mm);
  std::uint64_t failed() const { return failed_; }

 private:
  struct Access {
    VirtAddr address;
    std::uint64_t value;
    std::uint32_t bytes;
    bool write;
  };
  static constexpr std::size_t kBatch = 4096;
  std::vector<Access> batch_;
  std::vector<Access> working_;
  bool busy_ = false;
  bool closed_ = false;
  std::uint64_t failed_ = 0;
  WaitQueue changed_;
};

// Runs the recording that the actor names. A malformed line stops the run: World::input_error says why.
void play_lackey(ActorProgram& program);

}  // namespace secmmu
