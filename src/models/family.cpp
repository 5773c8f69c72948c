// Helpers of families.
#include "models/family.h"

#include <cmath>

#include "base/format.h"
#include "ops/elementwise.h"

namespace fastserve {

Result<int32_t> Hyperparameters::count(std::string_view name, int32_t maximum) const {
  FSV_ASSIGN(const uint64_t value, source_.get_uint(key(name)));
  if (value < 1 || value > static_cast<uint64_t>(maximum)) {
    return Status(StatusCode::kCorrupt, format(key(name), " is ", value, ", expected 1 to ", maximum));
  }
  return static_cast<int32_t>(value);
}

Result<int32_t> Hyperparameters::count_or(std::string_view name, int32_t fallback, int32_t maximum) const {
  FSV_ASSIGN(const uint64_t value, source_.uint_or(key(name), static_cast<uint64_t>(fallback)));
  if (value > static_cast<uint64_t>(maximum)) {
    return Status(StatusCode::kCorrupt, format(key(name), " is ", value, ", expected at most ", maximum));
  }
  return static_cast<int32_t>(value);
}

Result<float> Hyperparameters::number(std::string_view name) const {
  FSV_ASSIGN(const double value, source_.get_float(key(name)));
  if (!std::isfinite(value)) return Status(StatusCode::kCorrupt, format(key(name), " is not finite"));
  return static_cast<float>(value);
}

Result<float> Hyperparameters::number_or(std::string_view name, float fallback) const {
  return has(name) ? number(name) : Result<float>(fallback);
}

Result<bool> Hyperparameters::flag_or(std::string_view name, bool fallback) const {
  return source_.bool_or(key(name), fallback);
}

Result<std::string_view> Hyperparameters::text_or(std::string_view name, std::string_view fallback) const {
  return source_.string_or(key(name), fallback);
}

void add_matrix(std::vector<TensorSpec>& specs, std::string name, int64_t rows, int64_t cols, Weight& weight,
                bool required, int64_t stack) {
  specs.push_back({std::move(name), TensorRole::kMatrix, rows, cols, &weight, required, stack});
}

void add_vector(std::vector<TensorSpec>& specs, std::string name, int64_t size, Weight& weight, bool required) {
  specs.push_back({std::move(name), TensorRole::kVector, size, 1, &weight, required, 1});
}

std::vector<float> rope_frequencies(float base, int32_t dims) {
  std::vector<float> frequencies(static_cast<size_t>(dims / 2));
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(dims);
    frequencies[i] = 1.0f / std::pow(base, exponent);
  }
  return frequencies;
}

Rows output_head(const ForwardPass& pass, const int32_t* rows, int32_t row_count, const ops::NormSpec& norm,
                 const Weight& output, PanelRange panels, bool with_maxima) {
  const Rows hidden = pass.hidden();
  const Rows selected = pass.workspace->selected(row_count);
  ops::select_rows(*pass.device, hidden, rows, selected);
  const Rows logits = pass.workspace->logits(row_count);
  ops::MatmulOutput product{&output, logits.data, logits.stride};
  product.panel_begin = panels.begin;
  product.panel_end = panels.end;
  if (with_maxima) {
    const Rows maxima = pass.workspace->logit_maxima(row_count);
    product.block_max = maxima.data;
    product.block_max_stride = maxima.stride;
  }
  ops::matmul_normed(*pass.device, selected, norm, pass.workspace->input(), {product});
  const int64_t begin = int64_t{panels.begin} * kernels::kPanelRows;
  const int64_t end = std::min(int64_t{panels.end} * kernels::kPanelRows, logits.cols);
  return {logits.data + begin, logits.stride, logits.count, end - begin};
}

Result<int32_t> vocabulary_rows(const ModelSource& source, std::string_view embedding_name) {
  const TensorInfo* embedding = source.find_tensor(embedding_name);
  if (embedding == nullptr) return Status(StatusCode::kNotFound, format("tensor ", embedding_name, " is missing"));
  constexpr int64_t kVocabularyMax = 1 << 22;
  const int64_t rows = embedding->dimensions[1];
  if (rows < 1 || rows > kVocabularyMax) {
    return Status(StatusCode::kCorrupt, format("tensor ", embedding_name, " has ", rows, " rows"));
  }
  return static_cast<int32_t>(rows);
}

}  // namespace fastserve
