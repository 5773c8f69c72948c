// The rotary part of a configuration.
#pragma once
#include <string_view>
#include <vector>

#include "formats/hf_config.h"
#include "formats/hf_view.h"

namespace fastserve {

struct HfRopeContext {
  std::string_view architecture;
  int64_t head_dim = 0;
  int64_t context_length = 0;
};

// Bases, scaling keys, and the factor tensors of llama3 and longrope scaling.
Status read_hf_rope(const HfConfigView& view, const HfRopeContext& context, HfMetadata& entries,
                    std::vector<DerivedTensor>& derived);

}  // namespace fastserve
