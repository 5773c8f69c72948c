// Model facts: from metadata, from the tensor table, and from a dry run of the family.
#include "engine/model_facts.h"

#include <map>

#include "base/format.h"
#include "engine/tokenizer_loading.h"
#include "tensor/dtype.h"
#include "tensor/packing.h"

namespace fastserve {
namespace {

std::string shape_text(int64_t cols, int64_t rows) { return format("[", cols, ", ", rows, "]"); }

std::string type_text(uint32_t type) {
  const char* name = gguf_type_name(type);
  return name != nullptr ? std::string(name) : format("type ", type);
}

uint32_t uint_or_zero(const ModelSource& source, const std::string& key) {
  const MetaValue* value = source.find(key);
  return value != nullptr && value->type == MetaType::kUint ? static_cast<uint32_t>(value->uint_value) : 0;
}

std::string string_or_empty(const ModelSource& source, std::string_view key) {
  const MetaValue* value = source.find(key);
  return value != nullptr && value->type == MetaType::kString ? value->string_value : std::string();
}

void describe_tensors(const ModelSource& source, ModelFacts& facts) {
  std::map<uint32_t, uint64_t> bytes_by_type;
  for (const TensorInfo& tensor : source.tensors()) {
    facts.weight_bytes += tensor.size_bytes;
    facts.parameter_count += static_cast<uint64_t>(tensor.element_count());
    bytes_by_type[tensor.type] += tensor.size_bytes;
  }
  uint64_t most = 0;
  for (const auto& [type, size] : bytes_by_type) {
    if (size >= most) {
      most = size;
      facts.weight_type = type_text(type);
    }
  }
  facts.tensor_count = static_cast<uint32_t>(source.tensors().size());
}

// Whether this build can run the model: the family, its tensors, the tokeniser.
Status try_out(const ModelSource& source, ModelFacts& facts) {
  FSV_ASSIGN(std::unique_ptr<ModelDef> def, create_model_def(source));
  FSV_TRY(check_tensors(source, *def));
  FSV_ASSIGN(std::unique_ptr<Tokenizer> tokenizer, load_tokenizer(source));
  describe_tokenizer(*tokenizer, facts);
  return {};
}

}  // namespace

Status check_tensor(const ModelSource& source, const TensorSpec& spec) {
  const TensorInfo* tensor = source.find_tensor(spec.name);
  if (tensor == nullptr) {
    if (!spec.required) return {};
    return Status(StatusCode::kNotFound, format("tensor ", spec.name, " is missing"));
  }
  const bool is_vector = spec.role == TensorRole::kVector;
  const int64_t cols = is_vector ? spec.rows : spec.cols;
  const int64_t rows = is_vector ? 1 : spec.rows * spec.stack;
  if (tensor->dimensions[0] != cols || tensor->element_count() != cols * rows) {
    return Status(StatusCode::kCorrupt,
                  format("tensor ", spec.name, " has shape ",
                         shape_text(tensor->dimensions[0], tensor->element_count() / tensor->dimensions[0]),
                         ", expected ", shape_text(cols, rows)));
  }
  const auto type = static_cast<DType>(tensor->type);
  if (!dtype_traits(tensor->type).has_value() || (!is_vector && packed_layout_for(type) == PackedLayout::kNone)) {
    return Status(StatusCode::kUnsupported,
                  format("tensor ", spec.name, " has type ", type_text(tensor->type), ", which is not supported"));
  }
  if (is_vector) return {};
  Status packable = check_packable(type, rows, cols);
  if (packable.ok()) return packable;
  return Status(packable.code(), format("tensor ", spec.name, ": ", packable.message()));
}

Status check_tensors(const ModelSource& source, ModelDef& def) {
  for (const TensorSpec& spec : def.tensors()) FSV_TRY(check_tensor(source, spec));
  return {};
}

ModelFacts describe_model(const ModelSource& source) {
  ModelFacts facts;
  facts.architecture = string_or_empty(source, "general.architecture");
  facts.name = string_or_empty(source, "general.name");
  facts.file_bytes = source.file_bytes();
  facts.has_chat_template = source.find("tokenizer.chat_template") != nullptr;
  const std::string& arch = facts.architecture;
  facts.context_tokens = uint_or_zero(source, arch + ".context_length");
  facts.layer_count = uint_or_zero(source, arch + ".block_count");
  facts.embedding_size = uint_or_zero(source, arch + ".embedding_length");
  facts.head_count = uint_or_zero(source, arch + ".attention.head_count");
  facts.kv_head_count = uint_or_zero(source, arch + ".attention.head_count_kv");
  if (facts.kv_head_count == 0) facts.kv_head_count = facts.head_count;
  if (const MetaValue* tokens = source.find("tokenizer.ggml.tokens"); tokens != nullptr) {
    facts.vocabulary_size = static_cast<uint32_t>(tokens->array_size());
  }
  const std::string pre = string_or_empty(source, "tokenizer.ggml.pre");
  facts.tokenizer = string_or_empty(source, "tokenizer.ggml.model");
  if (!pre.empty()) facts.tokenizer += "/" + pre;
  describe_tensors(source, facts);
  return facts;
}

void describe_tokenizer(const Tokenizer& tokenizer, ModelFacts& facts) {
  if (facts.tokenizer.empty()) facts.tokenizer = tokenizer.name();
  facts.vocabulary_size = static_cast<uint32_t>(tokenizer.vocabulary_size());
  facts.bos_token_id = tokenizer.bos_id();
  facts.eos_token_id = tokenizer.eos_id();
  std::vector<int32_t> added;  // around an empty text
  if (!tokenizer.encode("", {.add_bos_eos = true}, added).ok() || added.empty()) return;
  facts.adds_bos = added.front() == facts.bos_token_id;
  facts.adds_eos = added.back() == facts.eos_token_id && (!facts.adds_bos || added.size() > 1);
}

ModelFacts try_model(const ModelSource& source) {
  ModelFacts facts = describe_model(source);
  const Status status = try_out(source, facts);
  facts.runnable = status.ok();
  if (!status.ok()) facts.refusal = status.message();
  return facts;
}

}  // namespace fastserve
