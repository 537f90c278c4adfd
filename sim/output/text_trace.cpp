#include "sim/output/text_trace.hpp"

#include <fmt/format.h>

#include <array>
#include <iterator>
#include <set>

#include "notifier/substrate/sync/events.hpp"
#include "sim/output/event_filter.hpp"

namespace secmmu {
namespace {

// As in kernel/trace/trace.c, and a line on what is special here.
constexpr std::string_view kColumns =
    "#                                _-----=> irqs-off/BH-disabled\n"
    "#                               / _----=> need-resched\n"
    "#                              | / _---=> hardirq/softirq\n"
    "#                              || / _--=> preempt-depth\n"
    "#                              ||| / _-=> migrate-disable\n"
    "#                              |||| /     delay\n"
    "#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION\n"
    "#              | |         |   |||||     |         |\n";
constexpr std::uint64_t kPicosecondsPerSecond = 1'000'000'000'000;
constexpr std::string_view kIdlePrefix = "idle/";

bool is_plain(std::string_view text) {
  for (const char c : text)
    if (c <= ' ' || c > '~' || c == '"' || c == '\\') return false;
  return !text.empty();
}

// One word, or a quoted text on one line: a reader can split fields without knowing them.
void append_text(std::string& line, std::string_view text) {
  if (is_plain(text)) {
    line += text;
    return;
  }
  line += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      line += '\\';
      line += c;
    } else if (c >= ' ' && c <= '~') {
      line += c;
    } else if (c == '\n') {
      line += "\\n";
    } else {
      fmt::format_to(std::back_inserter(line), "\\x{:02x}", static_cast<unsigned char>(c));
    }
  }
  line += '"';
}

class TraceFields final : public FieldVisitor {
 public:
  explicit TraceFields(std::string& line) : line_(line) {}

  void integer(std::string_view field, std::int64_t value) override { add(field, "{}", value); }
  void address(std::string_view field, VirtAddr value) override { add(field, "{:#x}", value.value); }
  void frame(std::string_view field, Pfn value) override {
    if (value == kNoPfn)
      add(field, "{}", "none");
    else
      add(field, "{:#x}", value.value);
  }
  void range(std::string_view field, PageRange value) override { add(field, "{}", to_text(value)); }
  void time(std::string_view field, Time value) override { add(field, "{}", to_text(value)); }
  void flag(std::string_view field, bool value) override { add(field, "{}", value ? 1 : 0); }
  void text(std::string_view field, std::string_view value) override {
    add(field, "{}", "");
    append_text(line_, value);
  }

 private:
  template <class Value>
  void add(std::string_view field, const char* format, const Value& value) {
    line_ += ' ';
    line_ += field;
    line_ += '=';
    fmt::format_to(std::back_inserter(line_), fmt::runtime(format), value);
  }

  std::string& line_;
};

// A comm has no blanks, for readers split the line at them.
std::string comm_of(std::string_view name) {
  if (name.starts_with(kIdlePrefix)) return "<idle>";
  std::string comm;
  for (const char c : name) comm += c > ' ' && c <= '~' ? c : '_';
  return comm.empty() ? "<...>" : comm;
}

}  // namespace

struct TextTrace::Impl {
  struct TaskColumns {
    std::string comm_pid;
    unsigned core = 0;                        // for an engine: the number that it has here
    std::array<unsigned, 2> preempt_depth{};  // of the task, and of the interrupt on top of it
  };

  Impl(ByteSink& sink, const RunDescription& description, SinkOptions options)
      : out(sink), run(description), filter(run, std::move(options)) {}

  void header() {
    unsigned cores = run.cores;
    std::string engines;
    for (std::size_t id = 0; id < run.tasks.size(); ++id) {
      const RunDescription::TaskInfo& task = run.tasks[id];
      const std::string comm = comm_of(task.name);
      TaskColumns columns;
      columns.comm_pid = fmt::format("{:>16}-{:<7}", comm, comm == "<idle>" ? 0 : id + 1);
      if (task.core < 0) {
        columns.core = cores++;
        engines += fmt::format("# CPU# {:03} stands for {}, which runs on no core\n", columns.core, comm);
      }
      tasks.push_back(std::move(columns));
    }
    line = "# tracer: nop\n#\n";
    line += fmt::format("# secmmu {}, kernel {}, seed {}, #P:{}\n", one_line(run.scenario), one_line(run.kernel),
                        run.seed, run.cores);
    line += engines;
    line += "# TIMESTAMP is modelled time in seconds, exact to the picosecond\n#\n";
    line += kColumns;
    out.write(line);
  }

  static std::string one_line(std::string_view text) {
    std::string result;
    for (const char c : text) result += c >= ' ' && c <= '~' ? c : '_';
    return result;
  }

  TaskColumns& columns_of(unsigned task) {
    // A task that the description does not name: it came with no machine, as in tests.
    while (tasks.size() <= task)
      tasks.push_back({fmt::format("{:>16}-{:<7}", "<...>", tasks.size() + 1), run.cores, {}});
    return tasks[task];
  }

  void append_prefix(const Stamp& stamp) {
    const TaskColumns& task = columns_of(stamp.task);
    const unsigned depth =
        task.preempt_depth[stamp.in_interrupt ? 1 : 0] + (stamp.in_interrupt ? task.preempt_depth[0] : 0);
    const char depth_flag = depth == 0 ? '.' : "123456789abcdef"[depth > 15 ? 14 : depth - 1];
    line = task.comm_pid;
    fmt::format_to(std::back_inserter(line), " [{:03}] {}.{}{}. {}.{:012}: ",
                   stamp.processor >= 0 ? static_cast<unsigned>(stamp.processor) : task.core,
                   stamp.in_interrupt ? 'd' : '.', stamp.in_interrupt ? 'h' : '.', depth_flag,
                   stamp.at.ps / kPicosecondsPerSecond, stamp.at.ps % kPicosecondsPerSecond);
  }

  void event(const AnyEvent& event) {
    last = event.stamp;
    // Depth is that at the event: a lock's own line shows it taken.
    unsigned& depth = columns_of(event.stamp.task).preempt_depth[event.stamp.in_interrupt ? 1 : 0];
    const auto* taken = event.as<LockAcquired>();
    if (taken != nullptr && taken->kind == "spinlock") {
      ++depth;
      if (!spinlocks.contains(taken->lock)) spinlocks.emplace(taken->lock);
    }
    if (filter.wants(event)) {
      append_prefix(event.stamp);
      line += event.type.name;
      line += ':';
      TraceFields fields(line);
      event.describe(fields);
      line += '\n';
      out.write(line);
    }
    const auto* released = event.as<LockReleased>();
    if (released != nullptr && depth > 0 && spinlocks.contains(released->lock)) --depth;
  }

  // Where a task is: the event that the violation is about may be still to come.
  Stamp stamp_of(std::string_view task) const {
    Stamp stamp = last;
    for (unsigned id = 0; id < run.tasks.size(); ++id) {
      if (run.tasks[id].name != task || id == last.task) continue;
      stamp.task = id;
      stamp.processor = run.tasks[id].core;
      stamp.in_interrupt = false;
    }
    return stamp;
  }

  ByteSink& out;
  const RunDescription run;
  EventFilter filter;
  std::vector<TaskColumns> tasks;
  std::set<std::string, std::less<>> spinlocks;  // names that were seen as such: a release does not tell the kind
  Stamp last;
  std::string line;  // kept for its memory
};

TextTrace::TextTrace(ByteSink& out, const RunDescription& run, SinkOptions options)
    : impl_(std::make_unique<Impl>(out, run, std::move(options))) {
  impl_->header();
}

TextTrace::~TextTrace() = default;

void TextTrace::attach(Bus& bus) {
  bus.listen_to_all([impl = impl_.get()](const AnyEvent& event) { impl->event(event); });
}

void TextTrace::violation(const Violation& violation) {
  Stamp stamp = impl_->stamp_of(violation.task);
  stamp.at = violation.at;
  impl_->append_prefix(stamp);
  std::string& line = impl_->line;
  line += "violation: rule=";
  append_text(line, violation.rule);
  line += " summary=";
  append_text(line, violation.summary);
  line += '\n';
  impl_->out.write(line);
}

void TextTrace::finish(Time end) {
  const EventFilter& filter = impl_->filter;
  std::string& line = impl_->line;
  line = fmt::format("# entries-in-buffer/entries-written: {}/{}   #P:{}\n", filter.written(), filter.seen(),
                     impl_->run.cores);
  if (const std::string left_out = filter.left_out(); !left_out.empty()) line += "# left out: " + left_out + "\n";
  line += "# the run ended at " + to_text(end) + "\n";
  impl_->out.write(line);
}

}  // namespace secmmu
