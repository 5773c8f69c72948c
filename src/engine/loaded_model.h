// LoadedModel: a model ready to run: family and weights, tokeniser and template, and the engine's KV and activations
// for it. Shared by handles and requests; freed with the last of them.
#pragma once
#include <memory>
#include <string>

#include "base/os.h"
#include "blocks/workspace.h"
#include "memory/budget.h"
#include "models/model_def.h"
#include "state/kv_cache.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace fastserve {

// Facts for people and hosts, readable without an engine.
struct ModelFacts {
  bool runnable = false;
  std::string refusal;
  std::string architecture, name, weight_type, tokenizer;
  uint64_t file_bytes = 0, weight_bytes = 0, parameter_count = 0;
  uint32_t tensor_count = 0, vocabulary_size = 0, context_tokens = 0, layer_count = 0;
  uint32_t embedding_size = 0, head_count = 0, kv_head_count = 0;
  bool has_chat_template = false;
};

struct LoadedModel {
  std::shared_ptr<LimitResource> memory;  // first: outlives every buffer below
  os::File::Identity identity;
  ModelFacts facts;
  std::unique_ptr<ModelDef> def;
  Buffer weights;
  std::unique_ptr<Tokenizer> tokenizer;
  std::unique_ptr<ChatTemplate> chat_template;
  uint64_t served_turn = 0;  // when the engine last looked at its requests; models with work take turns
  // Used by the engine thread alone once the load has ended.
  KvCache kv;
  Workspace workspace;
  int32_t context_tokens = 0;  // longest sequence in this engine
};

}  // namespace fastserve
