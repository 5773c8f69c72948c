// Qwen3, dense and with routed experts ("qwen3moe"): heads of their own size with norms on q and k.
#include "models/decoder.h"

namespace fastserve {
namespace {

class Qwen3 final : public Decoder {
 public:
  Status configure(const ModelSource& source, std::string_view architecture) {
    const Hyperparameters parameters(source, architecture);
    FSV_TRY(read_common(source, architecture));
    FSV_TRY(read_rope_scaling(parameters, config_.rope_sets[0]));
    FSV_TRY(read_experts(parameters, config_));
    FSV_TRY(read_windows(source, architecture, 0, [](int32_t) { return true; }));
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
