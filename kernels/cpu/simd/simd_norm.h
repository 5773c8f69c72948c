// rms_norm and layer_norm on Vec, for include after a vec16.h: the bits of reference/norm.cpp.
#pragma once
#include "kernels/cpu/fused_quantize.h"

namespace fastserve::kernels {
namespace {

inline float rms_scale(const RmsNormArgs& args, const float* x) {
  Vec sum = zero();
  int64_t c = 0;
  for (; c + kLanes <= args.cols; c += kLanes) {
    const Vec v = load(x + c);
    sum = sum + v * v;
  }
  if (c < args.cols) {
    const Vec v = load_first(x + c, static_cast<int>(args.cols - c));
    sum = sum + v * v;
  }
  const float mean = sum_lanes(sum) / static_cast<float>(args.cols);
  return 1.0f / square_root(mean + args.eps);
}

inline Vec apply_weight(const RmsNormArgs& args, Vec normed, Vec weight) {
  return normed * (weight + splat(args.weight_offset));
}

// Columns [begin, end) of a vector into out[0..end - begin).
inline void scale_columns(const RmsNormArgs& args, const float* x, float scale, int64_t begin, int64_t end,
                          float* out) {
  const Vec factor = splat(scale);
  const float* weight = args.weight;
  int64_t c = begin;
  for (; c + kLanes <= end; c += kLanes) {
    const Vec normed = load(x + c) * factor;
    store(out + (c - begin), weight != nullptr ? apply_weight(args, normed, load(weight + c)) : normed);
  }
  if (c < end) {
    const int rest = static_cast<int>(end - c);
    const Vec normed = load_first(x + c, rest) * factor;
    store_first(out + (c - begin),
                weight != nullptr ? apply_weight(args, normed, load_first(weight + c, rest)) : normed, rest);
  }
}

inline void rms_norm_rows(const RmsNormArgs& args) {
  const int64_t parts = args.parts > 0 ? args.parts : 1;
  for (int64_t row = args.row_begin; row < args.row_end; ++row) {
    for (int64_t part = 0; part < parts; ++part) {
      const int64_t offset = part * args.cols;
      const float* x = args.input + row * args.input_stride + offset;
      scale_columns(args, x, rms_scale(args, x), 0, args.cols, args.output + row * args.output_stride + offset);
    }
  }
}

inline void rms_norm_quantize_rows(const RmsNormQuantizeArgs& args, void (*quantize)(const QuantizeArgs*)) {
  const RmsNormArgs& norm = args.norm;
  for (int64_t row = norm.row_begin; row < norm.row_end; ++row) {
    const float* x = norm.input + row * norm.input_stride;
    const float scale = rms_scale(norm, x);
    for (int64_t c = 0; c < norm.cols; c += kQuantizeChunk) {
      const int64_t end = c + kQuantizeChunk < norm.cols ? c + kQuantizeChunk : norm.cols;
      float chunk[kQuantizeChunk];
      float* out = norm.output != nullptr ? norm.output + row * norm.output_stride + c : chunk;
      scale_columns(norm, x, scale, c, end, out);
      quantize_columns(quantize, *args.quantized, out, row, c, end);
    }
  }
}

inline float sum_of(const float* x, int64_t cols) {
  Vec sum = zero();
  int64_t c = 0;
  for (; c + kLanes <= cols; c += kLanes) sum = sum + load(x + c);
  if (c < cols) sum = sum + load_first(x + c, static_cast<int>(cols - c));
  return sum_lanes(sum);
}

inline float sum_of_squares_around(float mean, const float* x, int64_t cols) {
  Vec sum = zero();
  int64_t c = 0;
  for (; c + kLanes <= cols; c += kLanes) {
    const Vec centred = load(x + c) - splat(mean);
    sum = sum + centred * centred;
  }
  if (c < cols) {
    const int rest = static_cast<int>(cols - c);
    const Vec centred = keep_lanes(load_first(x + c, rest) - splat(mean), 0, rest, zero());
    sum = sum + centred * centred;
  }
  return sum_lanes(sum);
}

inline void layer_norm_rows(const LayerNormArgs& args) {
  const float count = static_cast<float>(args.cols);
  for (int64_t row = args.row_begin; row < args.row_end; ++row) {
    const float* x = args.input + row * args.input_stride;
    float* out = args.output + row * args.output_stride;
    const float mean = sum_of(x, args.cols) / count;
    const float scale = 1.0f / square_root(sum_of_squares_around(mean, x, args.cols) / count + args.eps);
    for (int64_t c = 0; c < args.cols; c += kLanes) {
      const int lanes = args.cols - c < kLanes ? static_cast<int>(args.cols - c) : kLanes;
      Vec value = (load_first(x + c, lanes) - splat(mean)) * splat(scale);
      if (args.weight != nullptr) value = value * load_first(args.weight + c, lanes);
      if (args.bias != nullptr) value = value + load_first(args.bias + c, lanes);
      store_first(out + c, value, lanes);
    }
  }
}

}  // namespace
}  // namespace fastserve::kernels
