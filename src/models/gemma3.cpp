// Gemma 3: norms on q and k too; five layers that see a window with their own rotary base, then one that sees
// everything.
#include "models/gemma.h"

namespace fastserve {
namespace {

constexpr int32_t kWindowPattern = 6;  // every sixth layer is global
constexpr float kLocalRopeBase = 10000.0f;
constexpr int32_t kLayersOf27B = 62;

class Gemma3 final : public Gemma {
 public:
  Status configure(const ModelSource& source, std::string_view architecture) {
    const Hyperparameters parameters(source, architecture);
    FSV_TRY(read_gemma(source, architecture, kLayersOf27B, 0, 0));
    FSV_TRY(read_rope_scaling(parameters, config_.rope_sets[0]));
    FSV_TRY(read_windows(source, architecture, 0, [](int32_t index) { return (index + 1) % kWindowPattern != 0; }));
    RopeSet local;
    FSV_ASSIGN(local.base, parameters.number_or("rope.freq_base_swa", kLocalRopeBase));
    config_.rope_sets.push_back(local);
    config_.local_rope_set = 1;
    config_.has_qk_norm = true;
    describe_shape();
    return {};
  }
};

}  // namespace

Result<std::unique_ptr<ModelDef>> create_gemma3(const ModelSource& source, std::string_view architecture) {
  return configured<Gemma3>(source, architecture);
}

}  // namespace fastserve
