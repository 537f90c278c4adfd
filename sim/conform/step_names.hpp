// The operations of a scenario's run, by the names that recordings have for them.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "sim/conform/recording.hpp"
#include "sim/run/program.hpp"

namespace secmmu::conform {

struct NamedStep {
  std::string text;        // "munmap a 0 16"; empty: recordings have no name for it
  std::vector<Step> rest;  // the steps after it that belong to the operation as well
};
// `buffer`: that an operation names if the step needs none.
NamedStep operation_of(const Step& step, Player player, const std::string& buffer);

// Numbers the steps of a run: one block for each operation. Another run of the same scenario gets the same numbers.
class StepNames {
 public:
  StepNames(std::string process, std::string buffer, bool recording)
      : process_(std::move(process)), buffer_(std::move(buffer)), recording_at_first_(recording) {}

  void run_begins();
  std::size_t block_of(const ActorProgram& program, const Step& step);
  // Blocks without lines; a block without a name is a remark.
  const std::vector<Block>& blocks() const { return blocks_; }
  std::size_t add(std::string text, bool setup);

 private:
  struct Progress {  // of an actor
    std::uint64_t steps = 0;
    std::size_t block = 0;
    std::vector<Step> rest;  // steps that belong to the operation as well
  };

  std::string process_;
  std::string buffer_;
  bool recording_at_first_;
  bool recording_ = false;
  std::map<std::string, Progress> progress_;
  std::map<std::pair<std::string, std::uint64_t>, std::size_t> known_;
  std::vector<Block> blocks_;
};

}  // namespace secmmu::conform
