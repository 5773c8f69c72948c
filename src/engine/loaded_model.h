// LoadedModel: a model ready to run: family and weights, tokeniser and template, and the engine's KV and activations
// for it. Shared by handles and requests; freed with the last of them.
#pragma once
#include <memory>
#include <optional>
#include <string>

#include "base/os.h"
#include "blocks/workspace.h"
#include "engine/device_step.h"
#include "engine/grant_pacer.h"
#include "formats/model_files.h"
#include "memory/budget.h"
#include "models/model_def.h"
#include "sampling/sampler.h"
#include "sampling/sampling_parameters.h"
#include "scheduler/batch_controller.h"
#include "scheduler/cost_model.h"
#include "state/kv_cache.h"
#include "state/prefix_tree.h"
#include "tensor/dtype.h"
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
  int32_t bos_token_id = -1, eos_token_id = -1;
  bool adds_bos = false, adds_eos = false;
};

// What a host asks of a load beyond the file. Loads of one file that ask for the same share a model.
struct LoadOptions {
  std::optional<DType> dtype;  // of float matrices; none: as stored
  bool text_only = false;      // tokeniser and chat template, nothing that runs
  bool operator==(const LoadOptions&) const = default;
};

struct LoadedModel {
  std::shared_ptr<LimitResource> memory;  // first: outlives every buffer below
  os::File::Identity identity;
  LoadOptions load_options;
  uint64_t fingerprint = 0;  // see ModelFingerprint
  ModelFacts facts;
  std::unique_ptr<ModelDef> def;  // null: loaded for its text alone
  Buffer weights;
  Buffer host_weights, derived;  // on a device: vectors that the family reads itself, and those it derives
  std::unique_ptr<Tokenizer> tokenizer;
  std::unique_ptr<ChatTemplate> chat_template;
  SamplingParameters default_sampling;
  MemoryCharge heap;         // of tokeniser and template
  uint64_t served_turn = 0;  // when the engine last looked at its requests; models with work take turns
  // Used by the engine thread alone once the load has ended.
  KvCache kv;
  PrefixTree prefixes;  // of ended texts, where the engine keeps them
  Workspace workspace;
  std::vector<SamplerScratch> sampling;  // one for each part of the executor
  MemoryCharge sampling_heap;
  std::unique_ptr<DeviceStep> device_step;  // null: computed by the CPU
  GrantPacer pacer;
  CostModel cost;              // of its steps
  BatchController batching;    // guarded by the engine's mutex, as cost
  int32_t context_tokens = 0;  // longest sequence in this engine

  uint64_t heap_bytes() const { return heap.size_bytes() + sampling_heap.size_bytes(); }

  // Where its memory is; guarded by the engine's mutex. What is gone can be read again.
  enum class Residence : uint32_t { kHere = 0, kGone = 1, kComing = 2 };
  Residence residence = Residence::kHere;
  bool is_unwanted = false;    // to be evicted when its step is over
  uint64_t runtime_bytes = 0;  // weights and activations, while it is here
  struct Source {
    bool can_reload = false;
    std::shared_ptr<ModelFiles> files;  // null: the engine's
    std::string path;
  } source;
  // Weights, activations and what steps on a device need, now; they are what `to`, which has none, receives.
  uint64_t resident_bytes() noexcept;
  void move_resident(LoadedModel& to) noexcept;
  // The weights of the same model, read again; it computes as before.
  Status take_weights(LoadedModel& fresh);

  std::unique_ptr<LoadedModel> next_retired;  // see RetiredModels
};

}  // namespace fastserve
