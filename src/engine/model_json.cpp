// A model file's header as JSON, for people and tools.
#include <charconv>

#include "base/json_writer.h"
#include "engine/model_facts.h"
#include "tensor/dtype.h"

namespace fastserve {
namespace {

constexpr size_t kArrayShown = 8;  // longer arrays are cut to their length

void write_array(JsonWriter& json, const MetaValue& value) {
  const size_t size = value.array_size();
  if (size > kArrayShown) {
    json.begin_object().key("array_length").value(static_cast<uint64_t>(size)).end_object();
    return;
  }
  json.begin_array();
  for (size_t i = 0; i < value.strings.size(); ++i) json.value(value.strings[i]);
  for (const int64_t item : value.integers) json.value(item);
  for (const double item : value.floats) json.value(item);
  json.end_array();
}

void write_value(JsonWriter& json, const MetaValue& value) {
  switch (value.type) {
    case MetaType::kUint:
      json.value(value.uint_value);
      break;
    case MetaType::kInt:
      json.value(value.int_value);
      break;
    case MetaType::kFloat:
      json.value(value.float_value);
      break;
    case MetaType::kBool:
      json.value(value.bool_value);
      break;
    case MetaType::kString:
      json.value(value.string_value);
      break;
    case MetaType::kArray:
      write_array(json, value);
      break;
    case MetaType::kNone:
      json.null();
      break;
  }
}

void write_tensor(JsonWriter& json, const TensorInfo& tensor) {
  const char* type = gguf_type_name(tensor.type);
  json.begin_object();
  json.key("name").value(tensor.name);
  json.key("type").value(type != nullptr ? std::string_view(type) : std::string_view("unknown"));
  json.key("shape").begin_array();
  for (uint32_t i = 0; i < tensor.dimension_count; ++i) json.value(tensor.dimensions[i]);
  json.end_array();
  json.key("offset").value(tensor.offset_bytes);
  json.key("size_bytes").value(tensor.size_bytes);
  json.end_object();
}

}  // namespace

std::string describe_model_json(const ModelSource& source) {
  const ModelFacts facts = try_model(source);
  JsonWriter json;
  json.begin_object();
  json.key("format").value(source.format());
  json.key("architecture").value(facts.architecture);
  json.key("name").value(facts.name);
  json.key("runnable").value(facts.runnable);
  json.key("refusal").value(facts.refusal);
  json.key("weight_type").value(facts.weight_type);
  json.key("tokenizer").value(facts.tokenizer);
  json.key("file_bytes").value(facts.file_bytes);
  json.key("weight_bytes").value(facts.weight_bytes);
  json.key("parameter_count").value(facts.parameter_count);
  json.key("metadata").begin_object();
  for (const std::string_view key : source.keys()) {
    json.key(key);
    write_value(json, *source.find(key));
  }
  json.end_object();
  json.key("tensors").begin_array();
  for (const TensorInfo& tensor : source.tensors()) write_tensor(json, tensor);
  json.end_array();
  json.end_object();
  return json.take();
}

}  // namespace fastserve
