// Where a tensor of a Hugging Face folder goes: its name in GGUF, and what has to happen to its numbers on the way.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "formats/hf_config.h"

namespace fastserve {

enum class HfChange : uint32_t {
  kNone = 0,
  kPairs,      // rows of each head from rotary halves to pairs side by side
  kTranspose,  // [in][out] to [out][in] (GPT-2's Conv1D)
  kPlusOne,    // norm weights kept as their distance from one
};

struct HfPlace {
  std::string name;  // in GGUF
  HfChange change = HfChange::kNone;
  int32_t expert = -1;       // slice of a stacked tensor
  bool all_experts = false;  // holds every slice
  bool gate_and_up = false;  // each expert holds its gate's rows, then its up's; `name` is the gate's
  bool is_key = false;       // kPairs by the count of KV heads
};

// True for tensors that do not belong to the language model, or that say nothing: masks, inverse frequencies, vision.
bool hf_name_ignored(std::string_view name);
// nullopt for a name that the family does not have.
std::optional<HfPlace> hf_place(std::string_view name, const HfModel& model);

}  // namespace fastserve
