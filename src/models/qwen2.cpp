// Qwen2 and Qwen2.5: a llama with biases on q, k and v, and rotary halves.
#include "models/decoder.h"

namespace fastserve {
namespace {

class Qwen2 final : public Decoder {
 public:
  Status configure(const ModelSource& source, std::string_view architecture) {
    FSV_TRY(read_llama(source, architecture));
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
