// A sink that writes down what a run told a secondary MMU, in the form of a recording: for each operation its result,
// the values that it saw, and every event that overlaps the watched buffer.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "models/devices/events.hpp"
#include "models/platform.hpp"
#include "notifier/events.hpp"
#include "sim/conform/recording.hpp"
#include "sim/run/program.hpp"

namespace secmmu::conform {

class Recorder final : public ProgramListener {
 public:
  struct Part {
    std::size_t block = 0;  // of which block the step is a part
    std::vector<Line> lines;
  };
  // How a run is cut into operations: the block that a step belongs to.
  using BlockOf = std::function<std::size_t(const ActorProgram&, const Step&)>;

  // Watches `watched` ("process.buffer"), and listens to the callbacks of the device `device`.
  Recorder(Platform& platform, std::string watched, std::string_view device, BlockOf block_of);

  void listen(Bus& bus);
  // What was written, in the order in which the operations began.
  std::vector<Part> finish();

  void run_begins(const World& world) override;
  void step_begins(const ActorProgram& program, const Step& step) override;
  void step_ended(const ActorProgram& program, const Step& step, std::string_view result) override;
  void accessed(const ActorProgram& program, VirtAddr address, bool write, std::uint64_t value,
                std::string_view result) override;
  void answered(const ActorProgram& program, std::string_view word) override;

 private:
  struct Open {  // an operation, while it is written
    std::size_t block = 0;
    bool is_access = false;
    bool in_watched = false;  // of pages of the watched buffer, or behind its end
    std::string result = "ok";
    std::string values;
    std::vector<std::string> events;
  };
  struct Announced {
    InvalidateEvent event;
    bool blockable;
  };

  void heard(const CallbackBegin& call);
  void heard(const CallbackEnd& call);
  void heard(const DeviceAccessEnd& access);
  std::optional<std::string> where(PageRange pages);  // "0 16", "all"; none: outside of the watched buffer
  std::string pte_of(std::uint32_t mm_id, PageRange pages);
  std::string atomic() const;
  bool look_for_buffer();
  bool names_watched(const ActorProgram& program, const Step& step) const;
  Open& open();
  void write(std::string line) { open().events.push_back(std::move(line)); }

  Platform& platform_;
  std::string process_;
  std::string buffer_;
  std::string device_;
  BlockOf block_of_;
  const World* world_ = nullptr;
  std::optional<PageRange> watched_;
  std::vector<Open> operations_;
  std::map<unsigned, std::size_t> at_work_;  // task, the operation that it is in
  std::map<std::uint64_t, Announced> ranges_;
  bool changed_to_writable_ = false;  // by the change_pte that is being told
  std::optional<bool> young_;         // what the subscribers before this one answered
};

}  // namespace secmmu::conform
