// Runs the steps of an actor or of a probe's script against the machine. One function per verb; the verb
// table of the language and the table here are checked against each other by a test.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "models/devices/probe/probe.hpp"
#include "notifier/substrate/sync/mutex.hpp"
#include "notifier/substrate/sync/spinlock.hpp"
#include "sim/run/world.hpp"

namespace secmmu {

// Who executes a program: through which translations it accesses memory, and as whom it calls the kernel.
class ActorProgram {
 public:
  ActorProgram(World& world, const ActorSpec& actor, Process* process, Core* core, Device* device);

  void run();

  // One access of 8 bytes through the core's or the device's translations: "ok", "SIGSEGV", "SIGBUS",
  // "ENOMEM", "EFAULT", "ESRCH".
  std::string_view access(VirtAddr address, bool write, std::uint64_t& value);
  // It is a thread of a process that has ended: it finishes what it does in the kernel, and ends.
  bool told_to_end() const { return thread() && process->exited && !has_exited; }

  World& world;
  const ActorSpec& actor;
  Process* process;
  Core* core;      // nullptr: a device program
  Device* device;  // nullptr: a CPU program
  RandomStream random;
  bool has_exited = false;  // this thread has called exit

  using Verb = std::string_view (*)(ActorProgram&, const Step&);  // answers "ok" or the name of an error

 private:
  std::string_view access_memory(VirtAddr address, bool write, std::uint64_t& value);
  std::string_view perform(const Step& step, Verb verb);
  bool thread() const { return device == nullptr && process != nullptr && !actor.worker; }
  bool steps(const std::vector<Step>& list);  // false: it has been told to end
  bool step(const Step& step);
  bool once(const Step& step);
  void pass(const std::vector<Step>& list);
  void judge(const Step& step, std::string_view result);
};

// Hears what programs do, step by step and access by access, in the task that does it. It never changes the run.
class ProgramListener {
 public:
  virtual void run_begins(const World&) {}  // nothing of it has happened yet
  virtual void step_begins(const ActorProgram&, const Step&) {}  // what it waits for has come
  virtual void step_ended(const ActorProgram&, const Step&, std::string_view /*result*/) {}
  virtual void accessed(const ActorProgram&, VirtAddr, bool /*write*/, std::uint64_t /*value*/,
                        std::string_view /*result*/) {}
  // A step that is a question answers with values: one word for each page.
  virtual void answered(const ActorProgram&, std::string_view /*word*/) {}

 protected:
  ~ProgramListener() = default;
};

// The buffer that a step names, nullptr if it does not exist (yet, or any more); and the pages that the step means.
BufferPlace* buffer_of(ActorProgram& program, const std::string& name);
PageRange pages_of_step(const BufferPlace& buffer, const Step& step);

// The verbs that programs and scripts can execute; the result is "ok" or the name of an error.
std::vector<std::string_view> program_verbs();
std::vector<std::string_view> script_verbs();

// A probe's script for one callback. Its locks are shared by all scripts of the device.
class ScriptLocks {
 public:
  explicit ScriptLocks(Arbiter& arbiter) : arbiter_(arbiter) {}
  void lock(const std::string& name, const std::string& kind);
  void unlock(const std::string& name);
  void reset();

 private:
  Arbiter& arbiter_;
  std::map<std::string, std::unique_ptr<Mutex>> mutexes_;
  std::map<std::string, std::unique_ptr<SpinLock>> spinlocks_;
};
void run_script(World& world, const std::string& device, const CallbackScript& script,
                ProbeDevice::CallbackContext& context, ScriptLocks& locks);

}  // namespace secmmu
