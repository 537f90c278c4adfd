#include "sim/scenario/schema_values.hpp"

#include "sim/scenario/place.hpp"
#include "sim/scenario/values.hpp"

namespace secmmu::language {
namespace {

Json text(std::string_view pattern) { return {{"type", "string"}, {"pattern", pattern}}; }

Json or_list(Json item, bool empty_is_fine = true) {
  Json list = {{"type", "array"}, {"uniqueItems", true}};
  if (!empty_is_fine) list["minItems"] = 1;
  list["items"] = item;
  return {{"anyOf", {std::move(item), std::move(list)}}};
}

// A number, or text that readers of other YAML versions leave as text.
Json number(std::uint64_t low, std::uint64_t high, std::string_view pattern = kNumberPattern) {
  Json plain = {{"type", "integer"}, {"minimum", low}};
  if (high != UINT64_MAX) plain["maximum"] = high;
  return {{"anyOf", {std::move(plain), text(pattern)}}};
}

Json for_each_kernel(Json value, Json kernel) {
  return {
      {"anyOf", {value, {{"type", "object"}, {"propertyNames", std::move(kernel)}, {"additionalProperties", value}}}}};
}

}  // namespace

Json SchemaValues::one_of_words(const std::vector<std::string>& words) {
  if (words.empty()) return {{"type", "string"}};
  return {{"enum", words}};
}

// One kernel, a range of them, or all.
Json SchemaValues::kernel_key() const {
  return {{"anyOf",
           {one_of_words(names_in(known_.kernels)),
            {{"type", "string"}, {"pattern", "^(all|v[0-9][-0-9.a-z]*[.][.]v[0-9][-0-9.a-z]*)$"}}}}};
}

Json SchemaValues::words_or_list(const std::vector<std::string>& words) { return or_list(one_of_words(words)); }

Json SchemaValues::shape(Shape shape) const {
  switch (shape) {
    case Shape::version:
      return {{"const", 1}};
    case Shape::text:
    case Shape::task:
      return {{"type", "string"}};
    case Shape::file:
      return {{"type", "string"}, {"minLength", 1}};
    case Shape::scenario_name:
      return text(kScenarioNamePattern);
    case Shape::flag:
      return {{"type", "boolean"}};
    case Shape::number:
    case Shape::page:
      return number(0, UINT64_MAX);
    case Shape::count:
      return number(1, UINT64_MAX);
    case Shape::hundredths:
      return {{"anyOf", {{{"type", "number"}, {"minimum", 0}}, text("^(0|[1-9][0-9]*)(\\.[0-9]{1,2})?$")}}};
    case Shape::duration:
      return text(kDurationPattern);
    case Shape::address: {
      Json address = number(kPageSize, (1ULL << 47) - kPageSize);
      address["anyOf"][0]["multipleOf"] = kPageSize;
      return address;
    }
    case Shape::pages:
      return {{"anyOf", {{{"type", "integer"}, {"minimum", 0}}, text(kPagesPattern), text(kNumberPattern)}}};
    case Shape::offset:
      return number(0, kPageSize - 8);
    case Shape::protection:
      return one_of_words(protection_words());
    case Shape::backing:
      return one_of_words(backing_words());
    case Shape::pattern:
      return one_of_words(pattern_words());
    case Shape::lock_kind:
      return one_of_words(lock_kind_words());
    case Shape::result:
      return for_each_kernel(one_of_words(result_words()), kernel_key());
    case Shape::want:
      return for_each_kernel(number(0, UINT64_MAX), kernel_key());
    case Shape::value_or_absent: {
      Json value = number(0, UINT64_MAX);
      value["anyOf"].push_back({{"const", "absent"}});
      return value;
    }
    case Shape::kernel:
      return one_of_words(names_in(known_.kernels));
    case Shape::kernels:
      return or_list(kernel_key(), false);
    case Shape::kind:
      return one_of_words(names_in(known_.devices));
    case Shape::rules:
      return words_or_list(names_in(known_.rules));
    case Shape::counter_checks:
      return or_list(text("^[a-z][a-z0-9_.]* *(==|!=|<=?|>=?) *-?[0-9][0-9a-fA-Fx_]*$"));
    case Shape::process:
    case Shape::device:
    case Shape::buffer:
    case Shape::new_buffer:
    case Shape::new_process:
    case Shape::meeting:
    case Shape::lock:
    case Shape::step_id:
      return text(kNamePattern);
    case Shape::processes:
      return or_list(text(kNamePattern));
    case Shape::watched:
    case Shape::step_names:
      return or_list(text(kStepPattern));
    case Shape::event:
      return one_of_words(names_in(known_.events));
    case Shape::protocol_rules:
    case Shape::steps:
    case Shape::block:
      break;  // made where they stand
  }
  return Json::object();
}

Json SchemaValues::parameter(const Parameter& row) const {
  Json value;
  switch (row.type) {
    case ParameterType::integer:
      value = number(row.low, row.high);
      break;
    case ParameterType::size:
      value = number(row.low, row.high, kSizePattern);
      break;
    case ParameterType::duration:
      value = shape(Shape::duration);
      break;
    case ParameterType::flag:
      value = shape(Shape::flag);
      break;
    case ParameterType::choice:
      value = one_of_words(row.choices);
      break;
  }
  value["description"] = row.sentence;
  if (const auto* count = std::get_if<std::uint64_t>(&row.fallback)) value["default"] = *count;
  if (const auto* time = std::get_if<Time>(&row.fallback)) value["default"] = print_duration(*time);
  if (const auto* flag = std::get_if<bool>(&row.fallback)) value["default"] = *flag;
  if (const auto* word = std::get_if<std::string>(&row.fallback)) value["default"] = *word;
  return value;
}

}  // namespace secmmu::language
