// The families that this build runs: one line each.
#include "base/format.h"
#include "models/family.h"

namespace fastserve {
namespace {

struct FamilyEntry {
  std::string_view architecture;
  CreateFamily create;
};
constexpr FamilyEntry kFamilies[] = {
    {"gemma2", create_gemma2}, {"gemma3", create_gemma3}, {"gpt2", create_gpt2},   {"llama", create_llama},
    {"phi3", create_phi3},     {"qwen2", create_qwen2},   {"qwen3", create_qwen3}, {"qwen3moe", create_qwen3},
};

}  // namespace

Result<std::unique_ptr<ModelDef>> create_model_def(const ModelSource& source) {
  FSV_ASSIGN(const std::string_view architecture, source.get_string("general.architecture"));
  for (const FamilyEntry& family : kFamilies) {
    if (family.architecture == architecture) return family.create(source, architecture);
  }
  return Status(StatusCode::kUnsupported, format("architecture \"", architecture, "\" is not supported"));
}

}  // namespace fastserve
