// Rows on their way into a product: normalised, gated or as they are; and the forms that kernels read: floats, int8
// with a scale for 32 values, bf16. One device function makes all of them, so that an op of its own, the input of a
// product and a prologue inside a product give the same bits.
#pragma once
#include "kernels/cuda/simt.cuh"
#include "kernels/device_kernels.h"

namespace fastserve::kernels::cuda {

struct RowSource {
  const float* rows = nullptr;
  int64_t stride = 0;
  int64_t cols = 0;
  int64_t parts = 1;  // vectors of `cols` in a row, each for itself
  DevicePrologue prologue = DevicePrologue::kNone;
  Activation activation = Activation::kSilu;
  const float* up = nullptr;
  int64_t up_stride = 0;
  const float* norm_weight = nullptr;
  const float* norm_bias = nullptr;
  float weight_offset = 0.0f;
  float eps = 0.0f;
  const int32_t* row_map = nullptr;  // row i of the sink is row row_map[i] of the source
};

// What is not null is written. Rows of `values` and `rounded` start at multiples of 16 bytes.
struct RowSink {
  float* floats = nullptr;
  int64_t stride = 0;
  int8_t* values = nullptr;
  int64_t values_stride = 0;
  float* scales = nullptr;
  int32_t* sums = nullptr;
  int64_t scales_stride = 0;
  uint16_t* rounded = nullptr;
  int64_t rounded_stride = 0;
};

__device__ __forceinline__ float activate(Activation activation, float x) {
  switch (activation) {
    case Activation::kSilu:
      return x / (1.0f + expf(-x));
    case Activation::kGeluTanh:
      return 0.5f * x * (1.0f + tanhf(0.7978845608f * (x + 0.044715f * x * x * x)));
    case Activation::kGeluErf:
      return 0.5f * x * (1.0f + erff(x * 0.70710678118f));
    case Activation::kRelu:
      return x > 0.0f || x != x ? x : 0.0f;  // NaN stays visible
  }
  return x;
}

// Columns [c, c + 4) of a row; zeros from `cols` on.
__device__ __forceinline__ float4 load_columns(const float* row, int64_t c, int64_t cols) {
  if (c + 4 <= cols && (reinterpret_cast<uintptr_t>(row + c) & 15) == 0) {
    return *reinterpret_cast<const float4*>(row + c);
  }
  float4 x = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
  if (c < cols) x.x = row[c];
  if (c + 1 < cols) x.y = row[c + 1];
  if (c + 2 < cols) x.z = row[c + 2];
  if (c + 3 < cols) x.w = row[c + 3];
  return x;
}

__device__ __forceinline__ void store_columns(float* row, int64_t c, int64_t cols, const float4& x) {
  if (c + 4 <= cols && (reinterpret_cast<uintptr_t>(row + c) & 15) == 0) {
    *reinterpret_cast<float4*>(row + c) = x;
    return;
  }
  if (c < cols) row[c] = x.x;
  if (c + 1 < cols) row[c + 1] = x.y;
  if (c + 2 < cols) row[c + 2] = x.z;
  if (c + 3 < cols) row[c + 3] = x.w;
}

// Mean and factor of a norm: (x - mean) * scale.
struct NormFactors {
  float mean, scale;
};

__device__ inline NormFactors norm_factors(const RowSource& source, const float* row, float* room) {
  NormFactors factors = {0.0f, 1.0f};
  if (source.prologue != DevicePrologue::kRmsNorm && source.prologue != DevicePrologue::kLayerNorm) return factors;
  const auto count = static_cast<float>(source.cols);
  if (source.prologue == DevicePrologue::kLayerNorm) {
    float sum = 0.0f;
    for (int64_t c = 4 * threadIdx.x; c < source.cols; c += 4 * kThreads) {
      const float4 x = load_columns(row, c, source.cols);
      sum += (x.x + x.y) + (x.z + x.w);
    }
    factors.mean = block_sum(sum, room) / count;
  }
  float squares = 0.0f;
  for (int64_t c = 4 * threadIdx.x; c < source.cols; c += 4 * kThreads) {
    const float4 x = load_columns(row, c, source.cols);
    const float values[4] = {x.x, x.y, x.z, x.w};
    for (int i = 0; i < 4; ++i) {
      const float centred = c + i < source.cols ? values[i] - factors.mean : 0.0f;
      squares += centred * centred;
    }
  }
  factors.scale = 1.0f / sqrtf(block_sum(squares, room) / count + source.eps);
  return factors;
}

__device__ inline float4 source_columns(const RowSource& source, int64_t row, int64_t part, int64_t c,
                                        const NormFactors& factors) {
  const int64_t cols = source.cols;
  const float4 x = load_columns(source.rows + row * source.stride + part * cols, c, cols);
  if (source.prologue == DevicePrologue::kNone) return x;
  float values[4] = {x.x, x.y, x.z, x.w};
  if (source.prologue == DevicePrologue::kGated) {
    for (float& value : values) value = activate(source.activation, value);
    if (source.up != nullptr) {
      const float4 up = load_columns(source.up + row * source.up_stride, c, cols);
      return make_float4(values[0] * up.x, values[1] * up.y, values[2] * up.z, values[3] * up.w);
    }
  } else {
    for (int i = 0; i < 4; ++i) {
      if (c + i >= cols) continue;
      float value = (values[i] - factors.mean) * factors.scale;
      if (source.norm_weight != nullptr) value *= source.norm_weight[c + i] + source.weight_offset;
      if (source.norm_bias != nullptr) value += source.norm_bias[c + i];
      values[i] = value;
    }
  }
  return make_float4(values[0], values[1], values[2], values[3]);
}

// Quantises 32 columns, four of them in each of eight neighbouring lanes; all lanes of the warp take part.
__device__ inline void quantize_columns(const RowSink& sink, int64_t row, int64_t c, int64_t cols, const float4& x) {
  const float values[4] = {x.x, x.y, x.z, x.w};
  uint32_t top = 0;
  for (float value : values) {
    const uint32_t magnitude = __float_as_uint(value) & 0x7fffffffu;
    top = magnitude > top ? magnitude : top;
  }
  for (int step = 4; step > 0; step /= 2) {
    const uint32_t other = __shfl_xor_sync(kAllLanes, top, step);
    top = other > top ? other : top;
  }
  const float amax = __uint_as_float(top);
  const bool broken = top >= 0x7f800000u, usable = !broken && amax >= kQuantizeTiny;
  const float inverse = usable ? 127.0f / amax : 0.0f;
  uint32_t packed = 0;
  int32_t sum = 0;
  for (int i = 0; i < 4; ++i) {
    // Adding 1.5 * 2^23 leaves the integer, rounded to nearest even; as two roundings, never one fused.
    const uint32_t rounded = __float_as_uint(__fadd_rn(__fmul_rn(values[i], inverse), 12582912.0f));
    const int32_t q = usable ? static_cast<int32_t>(rounded - 0x4b400000u) : 0;
    packed |= (static_cast<uint32_t>(q) & 255u) << (8 * i);
    sum += q;
  }
  for (int step = 4; step > 0; step /= 2) sum += __shfl_xor_sync(kAllLanes, sum, step);
  if (c >= cols) return;
  *reinterpret_cast<uint32_t*>(sink.values + row * sink.values_stride + c) = packed;
  if (c % kActivationBlock != 0) return;
  const int64_t index = row * sink.scales_stride + c / kActivationBlock;
  sink.scales[index] = broken ? __uint_as_float(0x7fc00000u) : usable ? amax / 127.0f : 0.0f;
  if (sink.sums != nullptr) sink.sums[index] = sum;
}

__device__ inline void round_columns(const RowSink& sink, int64_t row, int64_t c, const float4& x) {
  uint16_t* out = sink.rounded + row * sink.rounded_stride;
  const float values[4] = {x.x, x.y, x.z, x.w};
  for (int i = 0; i < 4; ++i) {
    if (c + i < sink.rounded_stride) out[c + i] = float_to_bf16_bits(values[i]);
  }
}

// Columns [begin, end) of a vector, by a whole block; `begin` and `end` are multiples of 32 or the last column.
// `target` is the row of the sink. `room` holds kWarps floats.
__device__ inline void prepare_columns(const RowSource& source, const RowSink& sink, int64_t row, int64_t part,
                                       int64_t target, int64_t begin, int64_t end, float* room) {
  const float* vector = source.rows + row * source.stride + part * source.cols;
  const NormFactors factors = norm_factors(source, vector, room);
  for (int64_t base = begin; base < end; base += 4 * kThreads) {
    const int64_t c = base + 4 * threadIdx.x;
    const float4 x = source_columns(source, row, part, c, factors);
    if (sink.values != nullptr) quantize_columns(sink, target, c, source.cols, x);
    if (c >= end) continue;
    if (sink.floats != nullptr)
      store_columns(sink.floats + target * sink.stride + part * source.cols, c, source.cols, x);
    if (sink.rounded != nullptr) round_columns(sink, target, c, x);
  }
}

// Launches what fills a sink from rows [row_begin, row_end) of a source, row for row.
DeviceResult prepare_rows(DeviceQueue* queue, const char* what, const RowSource& source, const RowSink& sink,
                          int64_t row_begin, int64_t row_end, DeviceMessage* message);

}  // namespace fastserve::kernels::cuda
