// What families share: the registry line, checked look-ups of hyperparameters, rotary frequencies, the final head.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "models/model_def.h"
#include "ops/matmul.h"

namespace fastserve {

// One line in registry.cpp for each family.
using CreateFamily = Result<std::unique_ptr<ModelDef>> (*)(const ModelSource& source, std::string_view architecture);
Result<std::unique_ptr<ModelDef>> create_gemma2(const ModelSource& source, std::string_view architecture);
Result<std::unique_ptr<ModelDef>> create_gemma3(const ModelSource& source, std::string_view architecture);
Result<std::unique_ptr<ModelDef>> create_gpt2(const ModelSource& source, std::string_view architecture);
Result<std::unique_ptr<ModelDef>> create_llama(const ModelSource& source, std::string_view architecture);
Result<std::unique_ptr<ModelDef>> create_phi3(const ModelSource& source, std::string_view architecture);
Result<std::unique_ptr<ModelDef>> create_qwen2(const ModelSource& source, std::string_view architecture);
Result<std::unique_ptr<ModelDef>> create_qwen3(const ModelSource& source, std::string_view architecture);

// Makes a family's ModelDef and lets it read its configuration.
template <typename Family>
Result<std::unique_ptr<ModelDef>> configured(const ModelSource& source, std::string_view architecture) {
  auto model = std::make_unique<Family>();
  FSV_TRY(model->configure(source, architecture));
  return std::unique_ptr<ModelDef>(std::move(model));
}

// Hyperparameters of "<architecture>.<name>" keys, range-checked: every value fits what follows from it without
// overflow. The message names the key.
class Hyperparameters {
 public:
  Hyperparameters(const ModelSource& source, std::string_view architecture)
      : source_(source), prefix_(std::string(architecture) + ".") {}
  Result<int32_t> count(std::string_view name, int32_t maximum) const;                       // at least 1
  Result<int32_t> count_or(std::string_view name, int32_t fallback, int32_t maximum) const;  // at least 0
  Result<float> number(std::string_view name) const;
  Result<float> number_or(std::string_view name, float fallback) const;
  Result<bool> flag_or(std::string_view name, bool fallback) const;
  Result<std::string_view> text_or(std::string_view name, std::string_view fallback) const;
  bool has(std::string_view name) const { return source_.find(prefix_ + std::string(name)) != nullptr; }
  std::string key(std::string_view name) const { return prefix_ + std::string(name); }

 private:
  const ModelSource& source_;
  std::string prefix_;
};

// One more tensor that a family wants.
void add_matrix(std::vector<TensorSpec>& specs, std::string name, int64_t rows, int64_t cols, Weight& weight,
                bool required = true, int64_t stack = 1);
void add_vector(std::vector<TensorSpec>& specs, std::string name, int64_t size, Weight& weight, bool required = true);

// 1 / base^(2i/dims), computed as transformers does (float power of a float base).
std::vector<float> rope_frequencies(float base, int32_t dims);

// logits = output(norm(hidden[rows])), of the panels asked for, and where nothing changes them afterwards their maxima;
// returns those columns.
Rows output_head(const ForwardPass& pass, const int32_t* rows, int32_t row_count, const ops::NormSpec& norm,
                 const Weight& output, PanelRange panels, bool with_maxima);

// The tensor's columns of the vocabulary: the embedding decides the vocabulary's size.
Result<int32_t> vocabulary_rows(const ModelSource& source, std::string_view embedding_name);

}  // namespace fastserve
