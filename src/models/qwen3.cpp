// Qwen3, dense and with routed experts ("qwen3moe"): heads of their own size with norms on q and k.
#include "models/decoder.h"

namespace fastserve {
namespace {

class Qwen3 final : public Decoder {
 public:
  Status configure(const ModelSource& source, std::string_view architecture) {
    FSV_TRY(read_llama(source, architecture));
    config_.attention.rope_kind = kernels::RopeKind::kHalves;
    config_.has_qk_norm = true;
    describe_shape();
    return {};
  }
};

}  // namespace

Result<std::unique_ptr<ModelDef>> create_qwen3(const ModelSource& source, std::string_view architecture) {
  return configured<Qwen3>(source, architecture);
}

}  // namespace fastserve
