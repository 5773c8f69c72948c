// rms_norm and layer_norm. All CPU tables share this arithmetic to the bit: sums run in 16 interleaved lanes
// (column c in lane c % 16), product rounded before it is added, and lanes fold in halves: 8, 4, 2, 1.
#include <cmath>
#include <cstring>

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/fused_quantize.h"

namespace fastserve::kernels::reference {
namespace {

constexpr int kLanes = 16;

float fold_lanes(float* lanes) {
  for (int half = kLanes / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  }
  return lanes[0];
}

float rms_scale(const RmsNormArgs& args, const float* x) {
  float lanes[kLanes] = {};
  for (int64_t c = 0; c < args.cols; ++c) lanes[c % kLanes] += x[c] * x[c];
  const float mean = fold_lanes(lanes) / static_cast<float>(args.cols);
  return 1.0f / std::sqrt(mean + args.eps);
}

// Columns [begin, end) of a vector into out[0..end - begin).
void scale_columns(const RmsNormArgs& args, const float* x, float scale, int64_t begin, int64_t end, float* out) {
  for (int64_t c = begin; c < end; ++c) {
    const float normed = x[c] * scale;
    out[c - begin] = args.weight != nullptr ? normed * (args.weight[c] + args.weight_offset) : normed;
  }
}

void layer_norm_vector(const LayerNormArgs& args, const float* x, float* out) {
  const float count = static_cast<float>(args.cols);
  float lanes[kLanes] = {};
  for (int64_t c = 0; c < args.cols; ++c) lanes[c % kLanes] += x[c];
  const float mean = fold_lanes(lanes) / count;
  for (float& lane : lanes) lane = 0.0f;
  for (int64_t c = 0; c < args.cols; ++c) {
    const float centred = x[c] - mean;
    lanes[c % kLanes] += centred * centred;
  }
  const float scale = 1.0f / std::sqrt(fold_lanes(lanes) / count + args.eps);
  for (int64_t c = 0; c < args.cols; ++c) {
    float value = (x[c] - mean) * scale;
    if (args.weight != nullptr) value *= args.weight[c];
    if (args.bias != nullptr) value += args.bias[c];
    out[c] = value;
  }
}

}  // namespace

void rms_norm(const RmsNormArgs* args) {
  const int64_t parts = args->parts > 0 ? args->parts : 1;
  for (int64_t row = args->row_begin; row < args->row_end; ++row) {
    for (int64_t part = 0; part < parts; ++part) {
      const int64_t offset = part * args->cols;
      const float* x = args->input + row * args->input_stride + offset;
      scale_columns(*args, x, rms_scale(*args, x), 0, args->cols, args->output + row * args->output_stride + offset);
    }
  }
}

void rms_norm_quantize(const RmsNormQuantizeArgs* args) {
  const RmsNormArgs& norm = args->norm;
  for (int64_t row = norm.row_begin; row < norm.row_end; ++row) {
    const float* x = norm.input + row * norm.input_stride;
    const float scale = rms_scale(norm, x);
    for (int64_t c = 0; c < norm.cols; c += kQuantizeChunk) {
      const int64_t end = c + kQuantizeChunk < norm.cols ? c + kQuantizeChunk : norm.cols;
      float chunk[kQuantizeChunk];
      scale_columns(norm, x, scale, c, end, chunk);
      if (norm.output != nullptr) memcpy(norm.output + row * norm.output_stride + c, chunk, (end - c) * sizeof(float));
      quantize_columns(quantize_q8, *args->quantized, chunk, row, c, end);
    }
  }
}

void layer_norm(const LayerNormArgs* args) {
  for (int64_t row = args->row_begin; row < args->row_end; ++row) {
    layer_norm_vector(*args, args->input + row * args->input_stride, args->output + row * args->output_stride);
  }
}

}  // namespace fastserve::kernels::reference
