#include "sim/output/event_stream.hpp"

#include <charconv>

#include "sim/output/event_filter.hpp"

namespace secmmu {
namespace {

constexpr std::string_view kFormat = "secmmu.events/1";
constexpr std::string_view kOmits = "hits are counted, not listed, except on watched pages";

void append_number(std::string& json, std::uint64_t value, int base = 10) {
  char digits[20];
  const auto end = std::to_chars(digits, digits + sizeof digits, value, base).ptr;
  json.append(digits, end);
}

void append_integer(std::string& json, std::int64_t value) {
  char digits[21];
  const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  json.append(digits, end);
}

void append_hexadecimal(std::string& json, std::uint64_t value) {
  json += "\"0x";
  append_number(json, value, 16);
  json += '"';
}

// Length of the well-formed UTF-8 sequence at the start of `text`; 0: there is none.
std::size_t sequence_length(std::string_view text) {
  const auto byte = [text](std::size_t index) { return static_cast<unsigned char>(text[index]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return 1;
  std::size_t length = 0;
  unsigned char low = 0x80;
  unsigned char high = 0xBF;
  if (lead >= 0xC2 && lead <= 0xDF) {
    length = 2;
  } else if (lead >= 0xE0 && lead <= 0xEF) {
    length = 3;
    if (lead == 0xE0) low = 0xA0;   // longer than needed
    if (lead == 0xED) high = 0x9F;  // halves of surrogate pairs
  } else if (lead >= 0xF0 && lead <= 0xF4) {
    length = 4;
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;  // past the last character
  }
  if (length == 0 || text.size() < length || byte(1) < low || byte(1) > high) return 0;
  for (std::size_t index = 2; index < length; ++index)
    if (byte(index) < 0x80 || byte(index) > 0xBF) return 0;
  return length;
}

class JsonFields final : public FieldVisitor {
 public:
  explicit JsonFields(std::string& json) : json_(json) {}

  void integer(std::string_view field, std::int64_t value) override {
    key(field);
    append_integer(json_, value);
  }
  void address(std::string_view field, VirtAddr value) override {
    key(field);
    append_hexadecimal(json_, value.value);
  }
  void frame(std::string_view field, Pfn value) override {
    key(field);
    if (value == kNoPfn)
      json_ += "null";
    else
      append_hexadecimal(json_, value.value);
  }
  void range(std::string_view field, PageRange value) override {
    key(field);
    json_ += '[';
    append_hexadecimal(json_, address_of(value.first).value);
    json_ += ',';
    append_hexadecimal(json_, address_of(value.end).value);
    json_ += ']';
  }
  void time(std::string_view field, Time value) override {
    key(field);
    append_number(json_, value.ps);
  }
  void flag(std::string_view field, bool value) override {
    key(field);
    json_ += value ? "true" : "false";
  }
  void text(std::string_view field, std::string_view value) override {
    key(field);
    append_json_text(json_, value);
  }

 private:
  void key(std::string_view field) {
    if (!first_) json_ += ',';
    first_ = false;
    append_json_text(json_, field);
    json_ += ':';
  }

  std::string& json_;
  bool first_ = true;
};

void append_texts(std::string& json, const std::vector<std::string>& texts) {
  json += '[';
  for (const std::string& text : texts) {
    if (json.back() != '[') json += ',';
    append_json_text(json, text);
  }
  json += ']';
}

}  // namespace

void append_json_text(std::string& json, std::string_view text) {
  json += '"';
  while (!text.empty()) {
    const char c = text.front();
    if (const std::size_t length = sequence_length(text); length != 1) {
      json.append(length == 0 ? std::string_view("\xEF\xBF\xBD") : text.substr(0, length));
      text.remove_prefix(length == 0 ? 1 : length);
      continue;
    }
    if (c == '"' || c == '\\') {
      json += '\\';
      json += c;
    } else if (c == '\n') {
      json += "\\n";
    } else if (c == '\t') {
      json += "\\t";
    } else if (static_cast<unsigned char>(c) < 0x20) {
      json += "\\u00";
      json += "01"[c >> 4 & 1];
      json += "0123456789abcdef"[c & 15];
    } else {
      json += c;
    }
    text.remove_prefix(1);
  }
  json += '"';
}

struct EventStream::Impl {
  Impl(ByteSink& sink, const RunDescription& description, SinkOptions options)
      : out(sink), run(description), filter(run, std::move(options)) {
    for (const RunDescription::TaskInfo& task : run.tasks) {
      tasks.emplace_back();
      append_json_text(tasks.back(), task.name);
    }
  }

  void header() {
    line = "{\"format\":";
    append_json_text(line, kFormat);
    line += ",\"scenario\":";
    append_json_text(line, run.scenario);
    line += ",\"kernel\":";
    append_json_text(line, run.kernel);
    line += ",\"seed\":";
    append_number(line, run.seed);
    line += ",\"cores\":";
    append_number(line, run.cores);
    line += ",\"time_unit\":\"ps\",\"omits\":";
    append_json_text(line, kOmits);
    line += ",\"watched\":";
    append_texts(line, run.watched);
    const SinkOptions& options = filter.options();
    if (options.from != Time{}) {
      line += ",\"from\":";
      append_number(line, options.from.ps);
    }
    if (options.to != kForever) {
      line += ",\"to\":";
      append_number(line, options.to.ps);
    }
    if (!options.lanes.empty()) {
      line += ",\"lanes\":";
      append_texts(line, options.lanes);
    }
    line += "}\n";
    out.write(line);
  }

  void append_stamp(const Stamp& stamp) {
    line = "{\"t\":";
    append_number(line, stamp.at.ps);
    line += ",\"n\":";
    append_number(line, stamp.number);
    line += ",\"task\":";
    if (stamp.task < tasks.size()) {
      line += tasks[stamp.task];
    } else {
      line += "\"task ";
      append_number(line, stamp.task);
      line += '"';
    }
    if (stamp.processor >= 0) {
      line += ",\"core\":";
      append_integer(line, stamp.processor);
    }
    if (stamp.in_interrupt) line += ",\"irq\":true";
  }

  void event(const AnyEvent& event) {
    if (!filter.wants(event)) return;
    append_stamp(event.stamp);
    line += ",\"event\":";
    append_json_text(line, event.type.name);
    line += ",\"fields\":{";
    JsonFields fields(line);
    event.describe(fields);
    line += "}}\n";
    out.write(line);
  }

  ByteSink& out;
  const RunDescription run;
  EventFilter filter;
  std::vector<std::string> tasks;  // their names, quoted
  std::string line;                // kept for its memory
};

EventStream::EventStream(ByteSink& out, const RunDescription& run, SinkOptions options)
    : impl_(std::make_unique<Impl>(out, run, std::move(options))) {
  impl_->header();
}

EventStream::~EventStream() = default;

void EventStream::attach(Bus& bus) {
  bus.listen_to_all([impl = impl_.get()](const AnyEvent& event) { impl->event(event); });
}

void EventStream::violation(const Violation& violation) {
  std::string& line = impl_->line;
  line = "{\"t\":";
  append_number(line, violation.at.ps);
  line += ",\"n\":";
  append_number(line, violation.event);
  line += ",\"task\":";
  append_json_text(line, violation.task);
  line += ",\"violation\":";
  append_json_text(line, violation.rule);
  line += ",\"summary\":";
  append_json_text(line, violation.summary);
  line += "}\n";
  impl_->out.write(line);
}

void EventStream::finish(Time end) {
  const EventFilter& filter = impl_->filter;
  std::string& line = impl_->line;
  line = "{\"end\":";
  append_number(line, end.ps);
  line += ",\"events\":";
  append_number(line, filter.seen());
  if (const std::string left_out = filter.left_out(); !left_out.empty()) {
    line += ",\"listed\":";
    append_number(line, filter.written());
    line += ",\"left_out\":";
    append_json_text(line, left_out);
  }
  line += "}\n";
  impl_->out.write(line);
}

std::uint64_t EventStream::events() const { return impl_->filter.seen(); }

}  // namespace secmmu
