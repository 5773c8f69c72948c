// Qwen2 and Qwen2.5: a llama with biases on q, k and v, and rotary halves.
#include "models/decoder.h"

namespace fastserve {
namespace {

class Qwen2 final : public Decoder {
 public:
  Status configure(const ModelSource& source, std::string_view architecture) {
    FSV_TRY(read_common(source, architecture));
    FSV_TRY(read_rope_scaling(Hyperparameters(source, architecture), config_.rope_sets[0]));
    FSV_TRY(read_windows(source, architecture, 0, [](int32_t) { return true; }));
    config_.attention.rope_kind = kernels::RopeKind::kHalves;
    config_.has_qkv_bias = true;
    describe_shape();
    return {};
  }
};

}  // namespace

Result<std::unique_ptr<ModelDef>> create_qwen2(const ModelSource& source, std::string_view architecture) {
  return configured<Qwen2>(source, architecture);
}

}  // namespace fastserve
