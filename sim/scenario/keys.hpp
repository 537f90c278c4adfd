// Every key of the language outside the steps, block by block: name, form of its value, whether it must
// be there, one sentence. The parser, its messages, the schema and the test of docs/scenarios.md read
// these tables, so a key exists in one place.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace secmmu::language {

enum class Shape {
  version,  // 1
  text,
  scenario_name,
  flag,
  number,  // any 64-bit count
  count,   // a number from 1
  hundredths,
  duration,
  address,  // of a page
  page,     // one page of a buffer
  pages,    // a range of pages of a buffer
  offset,   // of eight bytes in a page
  protection,
  backing,
  pattern,
  lock_kind,
  result,  // one, or one for each kernel
  want,    // a number, or one for each kernel
  value_or_absent,
  kernel,
  kernels,
  kind,   // of a device
  rules,  // of the oracle
  counter_checks,
  process,
  processes,  // one or several
  device,
  buffer,      // of the actor's process
  watched,     // process.buffer, several
  new_buffer,  // a name that the step brings in
  new_process,
  meeting,  // the name of a barrier
  lock,
  step_id,
  step_names,  // actor.id, one or several
  event,
  task,
  protocol_rules,  // of a device kind
  file,
  steps,
  block  // a mapping or list of its own: see Key::block
};

struct Key {
  std::string_view name;
  Shape shape = Shape::text;
  bool required = false;
  std::string_view sentence;
  std::string_view block = {};  // Shape::block: the word by which the schema knows it
};

using Keys = std::vector<Key>;

const Keys& scenario_keys();
const Keys& process_keys();
const Keys& buffer_keys();
const Keys& device_keys();  // beside the rows of the kind
const Keys& actor_keys();
const Keys& program_keys();
const Keys& expect_keys();
const Keys& plain_expect_keys();
const Keys& order_keys();
const Keys& pattern_keys();  // beside the fields of the event
const Keys& value_keys();
const Keys& modifier_keys();  // of a step, beside its operation

const Key* find_key(const Keys& keys, std::string_view name);
std::vector<std::string> names_of(const Keys& keys);

}  // namespace secmmu::language
