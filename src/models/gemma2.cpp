// Gemma 2: soft caps on scores and logits; every other layer sees a window.
#include "models/gemma.h"

namespace fastserve {
namespace {

constexpr int32_t kLayersOf27B = 46;

class Gemma2 final : public Gemma {
 public:
  Status configure(const ModelSource& source, std::string_view architecture) {
    FSV_TRY(read_gemma(source, architecture, kLayersOf27B, 50.0f, 30.0f));
    FSV_TRY(read_windows(source, architecture, 4096, [](int32_t index) { return index % 2 == 0; }));
    describe_shape();
    return {};
  }
};

}  // namespace

Result<std::unique_ptr<ModelDef>> create_gemma2(const ModelSource& source, std::string_view architecture) {
  return configured<Gemma2>(source, architecture);
}

}  // namespace fastserve
