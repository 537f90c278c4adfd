#include "sim/scenario/schema.hpp"

#include "sim/scenario/place.hpp"
#include "sim/scenario/schema_values.hpp"
#include "sim/scenario/verbs.hpp"

namespace secmmu {
namespace language {
namespace {

std::string program_of(User user) {
  switch (user) {
    case User::cpu:
      return "cpu_program";
    case User::device:
      return "device_program";
    case User::probe:
      return "probe_script";
  }
  return "";
}

class Schema {
 public:
  explicit Schema(const Catalogue& known) : known_(known), values_(known) {}

  Json make() {
    Json schema = {{"$schema", "http://json-schema.org/draft-07/schema#"},
                   {"$id", "scenario-1.schema.json"},
                   {"title", "A secmmu scenario, version 1"}};
    schema.update(object_of(scenario_keys()));
    schema["not"] = {{"required", {"kernel", "kernels"}}};
    Json& definitions = schema["definitions"];
    for (const User user : {User::cpu, User::device, User::probe}) {
      definitions[program_of(user)] = {{"type", "array"}, {"minItems", 1}, {"items", step(user)}};
    }
    return schema;
  }

 private:
  static Json reference(const std::string& name) { return {{"$ref", "#/definitions/" + name}}; }

  static Json strict(Json properties) {
    return {{"type", "object"}, {"additionalProperties", false}, {"properties", std::move(properties)}};
  }

  static Json named(Json value) {
    return {{"type", "object"},
            {"additionalProperties", false},
            {"patternProperties", {{std::string(kNamePattern), std::move(value)}}}};
  }

  static Json list(Json item) { return {{"type", "array"}, {"items", std::move(item)}}; }

  Json value_of(const Key& key) {
    Json value = key.shape == Shape::block   ? block(key.block)
                 : key.shape == Shape::steps ? Json(true)
                                             : values_.shape(key.shape);
    if (value.is_boolean()) value = Json::object();
    value["description"] = key.sentence;
    return value;
  }

  Json properties_of(const Keys& keys) {
    Json properties = Json::object();
    for (const Key& key : keys) properties[std::string(key.name)] = value_of(key);
    return properties;
  }

  static void require(Json& object, const Keys& keys) {
    for (const Key& key : keys)
      if (key.required) object["required"].push_back(key.name);
  }

  Json object_of(const Keys& keys) {
    Json object = strict(properties_of(keys));
    require(object, keys);
    return object;
  }

  Json block(std::string_view name) {
    if (name == "machine") return machine();
    if (name == "behaviour") return behaviour();
    if (name == "processes") return named(object_of(process_keys()));
    if (name == "buffers") return named(object_of(buffer_keys()));
    if (name == "devices") return named(device());
    if (name == "callbacks") return Json::object();  // by kind: see device()
    if (name == "actors") {
      Json actors = named(actor());
      actors["minProperties"] = 1;
      return actors;
    }
    if (name == "program") return object_of(program_keys());
    if (name == "expect") return object_of(expect_keys());
    if (name == "orders") return list(object_of(order_keys()));
    if (name == "event") return pattern();
    if (name == "values") return list(object_of(value_keys()));
    if (name == "per_kernel") return per_kernel();
    if (name == "kept") return object_of(plain_expect_keys());
    return false;
  }

  void add_rows(Json& properties, const ParameterRows* rows) {
    if (rows == nullptr) return;
    for (const Parameter& row : rows->rows) properties[row.name] = values_.parameter(row);
  }

  Json machine() {
    Json properties = Json::object();
    for (const ParameterGroup& group : known_.groups) {
      const std::size_t dot = group.path.find('.');
      if (dot == std::string::npos) {
        add_rows(properties, group.rows);
        continue;
      }
      Json rows = Json::object();
      add_rows(rows, group.rows);
      Json& inner = properties[group.path.substr(dot + 1)] = strict(std::move(rows));
      inner["description"] = group.sentence;
    }
    return strict(std::move(properties));
  }

  Json behaviour() {
    Json properties = Json::object();
    for (const Behaviour& one : known_.behaviours) {
      Json value =
          one.values.empty() ? Json{{"type", {"string", "integer", "boolean"}}} : values_.one_of_words(one.values);
      value["description"] = one.sentence;
      properties[one.name] = std::move(value);
    }
    return strict(std::move(properties));
  }

  // Which keys there are is said for each kind.
  Json device() {
    Json any = {{"type", "object"}, {"required", {"kind"}}, {"properties", {{"kind", values_.shape(Shape::kind)}}}};
    for (const DeviceKind& kind : known_.devices) {
      Json properties = Json::object();
      for (const Key& key : device_keys()) {
        if (key.name == "callbacks" && kind.callbacks.empty()) continue;
        if (key.name == "without" && kind.protocol.empty()) continue;
        Json value = value_of(key);
        if (key.name == "without") value.update(values_.words_or_list(names_in(kind.protocol)));
        if (key.name == "callbacks") value.update(callbacks(kind));
        properties[std::string(key.name)] = std::move(value);
      }
      add_rows(properties, kind.rows);
      any["allOf"].push_back({{"if", {{"required", {"kind"}}, {"properties", {{"kind", {{"const", kind.name}}}}}}},
                              {"then", {{"additionalProperties", false}, {"properties", std::move(properties)}}}});
    }
    return any;
  }

  static Json callbacks(const DeviceKind& kind) {
    Json properties = Json::object();
    for (const NamedSentence& callback : kind.callbacks) {
      properties[callback.name] = {{"description", callback.sentence},
                                   {"allOf", Json::array({reference(program_of(User::probe))})}};
    }
    return strict(std::move(properties));
  }

  Json actor() {
    Json object = object_of(actor_keys());
    object["oneOf"] = {{{"required", {"do"}}}, {{"required", {"program"}}}};
    object["dependencies"] = {{"context", {"device"}},
                              {"mirror", {"program"}},
                              {"program", {"process", "cpu"}},
                              {"worker", {"process", "cpu"}}};
    object["not"] = {{"required", {"device", "program"}}};
    object["if"] = {{"required", {"device"}}};
    object["then"] = {{"properties", {{"do", reference(program_of(User::device))}}}};
    object["else"] = {{"required", {"cpu"}}, {"properties", {{"do", reference(program_of(User::cpu))}}}};
    return object;
  }

  Json pattern() {
    Json object = object_of(pattern_keys());
    object["additionalProperties"] = {{"type", {"string", "integer", "boolean"}}};
    for (const EventKind& kind : known_.events) {
      if (kind.fields.empty()) continue;
      std::vector<std::string> keys = names_of(pattern_keys());
      keys.insert(keys.end(), kind.fields.begin(), kind.fields.end());
      object["allOf"].push_back({{"if", {{"required", {"event"}}, {"properties", {{"event", {{"const", kind.name}}}}}}},
                                 {"then", {{"propertyNames", {{"enum", keys}}}}}});
    }
    return object;
  }

  Json per_kernel() {
    return {{"type", "object"},
            {"propertyNames", values_.kernel_key()},
            {"additionalProperties", {{"anyOf", {object_of(plain_expect_keys()), {{"const", "absent"}}}}}}};
  }

  Json arguments(const Verb& verb, User user) {
    if (verb.arguments.empty()) return {{"anyOf", {{{"type", "null"}}, {{"type", "object"}, {"maxProperties", 0}}}}};
    Json properties = Json::object();
    Keys keys;
    for (const Argument& argument : verb.arguments) {
      keys.push_back(argument.key);
      Json value = value_of(argument.key);
      if (argument.key.shape == Shape::steps) value["allOf"] = Json::array({reference(program_of(user))});
      properties[std::string(argument.key.name)] = std::move(value);
    }
    Json object = strict(properties);
    require(object, keys);
    if (verb.name == "mremap")
      object["oneOf"] = {{{"required", {"to"}}}, {{"required", {"onto"}}}, {{"required", {"grow_to"}}}};
    if (verb.shorthand.empty()) return object;
    return {{"anyOf", {properties[std::string(verb.shorthand)], std::move(object)}}};
  }

  Json step(User user) {
    Json properties = Json::object();
    for (const Key& key : modifier_keys())
      if (may_use_modifier(user, key.name)) properties[std::string(key.name)] = value_of(key);
    Json bare = Json::array();
    Json one = Json::array();
    for (const Verb& verb : verbs()) {
      if (!verb.may(user)) continue;
      Json value = arguments(verb, user);
      value["description"] = verb.sentence;
      properties[std::string(verb.name)] = std::move(value);
      one.push_back({{"required", {verb.name}}});
      if (verb.bare()) bare.push_back(verb.name);
    }
    Json object = strict(std::move(properties));
    object["oneOf"] = std::move(one);
    if (bare.empty()) return object;
    return {{"anyOf", {{{"enum", bare}}, std::move(object)}}};
  }

  const Catalogue& known_;
  SchemaValues values_;
};

}  // namespace
}  // namespace language

std::string json_schema(const Catalogue& known) { return language::Schema(known).make().dump(2) + "\n"; }

}  // namespace secmmu
