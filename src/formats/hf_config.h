// From a Hugging Face config.json to the metadata that a GGUF file of the same model has, so that models/ has one way.
#pragma once
#include <string>
#include <vector>

#include "base/json.h"
#include "formats/table_source.h"

namespace fastserve {

// How a family's tensors are named and stored; see hf_names.
enum class HfFamily : uint32_t { kLlama = 0, kQwen, kGemma, kPhi3, kGpt2 };

// A tensor that GGUF files have and folders have not: it follows from the configuration.
struct DerivedTensor {
  std::string name;
  std::vector<float> values;
};

struct HfModel {
  HfFamily family = HfFamily::kLlama;
  std::vector<MetaEntry> metadata;
  std::vector<DerivedTensor> derived;
  uint32_t layer_count = 0;
  uint32_t expert_count = 0;  // 0: none
  uint32_t head_count = 0, kv_head_count = 0;
  bool permutes_rotary = false;  // the family's GGUF files keep rotary pairs side by side, folders in two halves
  bool tied_output = false;      // the output matrix is the embedding; one in the file does not count
};

// kUnsupported names an architecture, activation, quantisation or rope scaling that is not known. Keys beyond those of
// llama.cpp's conversion, where a configuration says what GGUF leaves to the family's defaults:
//   <arch>.attention.sliding_window_pattern  one boolean a layer: true where the window applies
//   <arch>.attention.sliding_window          also of Mistral and Qwen, if their windows are on
//   <arch>.attention.scale                   Gemma: 1 / sqrt(query_pre_attn_scalar)
//   <arch>.expert_weights_norm               Qwen3 MoE: norm_topk_prob
Result<HfModel> read_hf_config(json::Value config, std::string_view file_name);

}  // namespace fastserve
