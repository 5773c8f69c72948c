// The llama family: also SmolLM, TinyLlama, Mistral and Llama 3.x as GGUF files label them ("llama"), with the rope
// factors that Llama 3.x brings as a tensor, linear rope scaling, and Mixtral's routed experts.
#include "models/decoder.h"

namespace fastserve {
namespace {

class Llama final : public Decoder {
 public:
  Status configure(const ModelSource& source, std::string_view architecture) {
    FSV_TRY(read_llama(source, architecture));
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
