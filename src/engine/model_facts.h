// Reads a model's facts from its header, runnable or not.
#pragma once
#include <string>

#include "engine/loaded_model.h"
#include "formats/model_source.h"

namespace fastserve {

// From metadata and the tensor table; `runnable` and `refusal` are left open.
ModelFacts describe_model(const ModelSource& source);
// Adds what the tokeniser knows of its first and last tokens.
void describe_tokenizer(const Tokenizer& tokenizer, ModelFacts& facts);
// describe_model, and whether this build can run the model: `refusal` says why not. Never fails for content.
ModelFacts try_model(const ModelSource& source);
// Metadata and tensors as one JSON object.
std::string describe_model_json(const ModelSource& source);
// Tensors with the kernels that serve them on this processor, as one JSON object.
std::string plan_model_json(const ModelSource& source);

// kOk if every tensor that the family wants is there with the right shape and a type that this build runs. The
// message has the tensor, what was expected and what was found.
Status check_tensors(const ModelSource& source, ModelDef& def);
// One tensor of that check.
Status check_tensor(const ModelSource& source, const TensorSpec& spec);

}  // namespace fastserve
