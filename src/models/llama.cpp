// The llama family: also SmolLM, TinyLlama, Mistral and Llama 3.x as GGUF files label them ("llama"), with the rope
// factors that Llama 3.x brings as a tensor, linear rope scaling, and Mixtral's routed experts.
#include "models/decoder.h"

namespace fastserve {
namespace {

class Llama final : public Decoder {
 public:
  Status configure(const ModelSource& source, std::string_view architecture) {
    const Hyperparameters parameters(source, architecture);
    FSV_TRY(read_common(source, architecture));
    FSV_TRY(read_rope_scaling(parameters, config_.rope_sets[0]));
    FSV_TRY(read_experts(parameters, config_));
    FSV_TRY(read_windows(source, architecture, 0, [](int32_t) { return true; }));
    config_.has_rope_factors = true;
    describe_shape();
    return {};
  }
};

}  // namespace

Result<std::unique_ptr<ModelDef>> create_llama(const ModelSource& source, std::string_view architecture) {
  return configured<Llama>(source, architecture);
}

}  // namespace fastserve
