// Holds a run of a program against the model of what each byte is: every access of a process or a device, and how every
// operation ends. Only for programs that are played as they are written, one operation after the other.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "sim/conform/random/memory_model.hpp"
#include "sim/conform/recorder.hpp"
#include "sim/conform/recording.hpp"

namespace secmmu::conform {

class Judge final : public ProgramListener {
 public:
  // What it hears it passes on to the recorder.
  Judge(const Recording& program, Recorder& recorder) : program_(program), recorder_(recorder) {}

  void finish() { close(); }
  // The first thing that was wrong, with the operation; empty: nothing.
  const std::string& wrong() const { return wrong_; }
  // The lines of the run as they should have been: what was seen replaced by what is there.
  std::vector<std::vector<Line>> expected(const std::vector<Recorder::Part>& parts) const;

  void run_begins(const World& world) override;
  void step_begins(const ActorProgram& program, const Step& step) override;
  void step_ended(const ActorProgram& program, const Step& step, std::string_view result) override;
  void accessed(const ActorProgram& program, VirtAddr address, bool write, std::uint64_t value,
                std::string_view result) override;
  void answered(const ActorProgram& program, std::string_view word) override;

 private:
  void say(const std::string& what);
  void close();

  const Recording& program_;
  Recorder& recorder_;
  const World* world_ = nullptr;
  MemoryModel model_;
  Places places_;
  std::string wrong_;
  std::size_t block_ = SIZE_MAX;  // that is under way
  const Step* step_ = nullptr;
  std::string result_ = "ok";
  std::map<std::size_t, std::vector<std::string>> seen_;  // by block: what each access should have seen
};

}  // namespace secmmu::conform
